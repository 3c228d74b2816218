package engine

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/state"
)

// Options configure an engine. Only Cluster is needed; each field's comment ends
// with its default.
type Options struct {
	Cluster *kafka.Cluster
	App     string // whose state directory it is; default: the first group's name

	// StateDir holds the local copies of the state and the instance id. Empty:
	// state lives in memory only and is restored from Kafka at every start.
	StateDir string
	// Instance names this process among the group's members and makes a restart
	// under the same name take its tasks back at once. Default: a random id kept
	// in StateDir.
	Instance string
	// Dynamic leaves static membership: a stopped process gives its tasks away
	// at once, and a restarted one triggers a rebalance. Default false.
	Dynamic bool

	// Standbys is how many other processes follow the logs of each task, so that one
	// of them can take it over at once; the largest number in the group counts. Each
	// costs the reading of the logs and the disk of another copy. Default 0.
	Standbys int

	CommitInterval time.Duration // of a worker's transactions; 100 ms
	BatchBytes     int64         // input bytes after which a transaction commits early; 32 MiB
	OverlayBytes   int64         // state written and output made in a worker's transaction after which it commits early; of MemoryBytes
	QueueBytes     int64         // fetched input a worker may have waiting before its partitions pause; of MemoryBytes
	Workers        int           // per group, at most its tasks; the number of cores
	MemoryBytes    int64         // what the engine may hold: state, input, output, the store's cache (budget.go); 512 MiB
	CacheBytes     int64         // block cache of the store on disk; of MemoryBytes
	FlushInterval  time.Duration // write-behind: age after which committed state goes to disk; 10 to 30 s, staggered

	TransactionTimeout time.Duration // 10 s
	SessionTimeout     time.Duration // 10 s
	RebalanceTimeout   time.Duration // 60 s
	Watchdog           time.Duration // a callback that runs longer ends the process; 60 s, negative: never
	Compression        string        // of what is produced: none, snappy, lz4, zstd; none
	Replication        int16         // of topics that the engine creates; the broker's default

	// Archive holds the past of input topics: what is in it and not in Kafka any more
	// can be read as if it were. Default: none.
	Archive *archive.Archive
	// ArchiveBytes is the memory for what is read ahead from the archive; of MemoryBytes.
	ArchiveBytes int64

	// ReplayBytesPerSecond bounds what all groups together read from the archive, so that
	// the bucket, the network and the processor are left to others. Default 0: no bound.
	ReplayBytesPerSecond int64

	// Until makes the run end by itself, with its tasks given away, once the group's
	// committed offsets have reached the bounds of all inputs; nothing beyond them is
	// processed here. Default: it runs until it is stopped.
	Until *Until

	// KeepOld is how long the topics of a group's older generation are kept after readers
	// have switched to the one that a reset has begun. Default 10 min.
	KeepOld time.Duration

	// PauseFailed keeps the process running when a task fails; the others go on.
	// Default: the engine stops with the task's error.
	PauseFailed bool

	// OpenLookup opens a whole copy of a table for the groups' Lookup edges. It is
	// called once per table and closed with the engine.
	OpenLookup func(ctx context.Context, table string, decode func([]byte) (any, error)) (Lookup, error)

	Clock state.Clock  // time.Now
	Log   *slog.Logger // slog.Default()

	outputBytes, fetchBytes int64 // shares of MemoryBytes: of a worker, of a group
}

// Lookup is a table that a process keeps whole.
type Lookup interface {
	task.Lookup
	// WaitCaughtUp returns once the copy has reached the table's high watermarks
	// as of the call.
	WaitCaughtUp(ctx context.Context) error
	// Close releases the copy.
	Close() error
}

func (o Options) withDefaults(groups []string) (Options, error) {
	if o.Cluster == nil {
		return o, fmt.Errorf("engine: no cluster given")
	}
	if o.App == "" && len(groups) > 0 {
		o.App = groups[0]
	}
	set(&o.CommitInterval, 100*time.Millisecond)
	set(&o.BatchBytes, 32<<20)
	set(&o.Workers, runtime.GOMAXPROCS(0))
	set(&o.MemoryBytes, 512<<20)
	o.share(len(groups))
	set(&o.TransactionTimeout, 10*time.Second)
	set(&o.SessionTimeout, 10*time.Second)
	set(&o.RebalanceTimeout, time.Minute)
	set(&o.Watchdog, time.Minute)
	set(&o.KeepOld, 10*time.Minute)
	if o.Compression == "" {
		o.Compression = "none"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o, o.validate()
}

func (o Options) validate() error {
	for name, v := range map[string]int64{
		"commit interval": int64(o.CommitInterval), "batch bytes": o.BatchBytes, "overlay bytes": o.OverlayBytes,
		"queue bytes": o.QueueBytes, "workers": int64(o.Workers), "memory": o.MemoryBytes, "flush interval": int64(o.FlushInterval), "standbys": int64(o.Standbys), "archive memory": o.ArchiveBytes, "replay rate": o.ReplayBytesPerSecond, "time to keep old topics": int64(o.KeepOld),
	} {
		if v < 0 {
			return fmt.Errorf("engine: %s is negative", name)
		}
	}
	if o.CommitInterval > o.TransactionTimeout/2 {
		return fmt.Errorf("engine: the commit interval %v is more than half of the transaction timeout %v: transactions would time out; raise the one or lower the other",
			o.CommitInterval, o.TransactionTimeout)
	}
	return nil
}

func set[T comparable](p *T, def T) {
	var zero T
	if *p == zero {
		*p = def
	}
}
