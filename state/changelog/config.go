package changelog

import (
	"context"
	"hash/fnv"
	"log/slog"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// Config says which task's state to restore, from where and to where.
type Config struct {
	Store      string // name in DB, such as "group/3"
	DB         state.DB
	Cluster    string // id of the cluster behind Logs
	Partition  int32
	TableTopic string   // "" where the group has no table
	StateTopic string   // always there
	JoinTopics []string // co-partitioned input tables

	// DeleteRetention is the smallest delete.retention.ms of the topics: a local
	// copy older than half of it may have missed a deletion, and is wiped. Zero
	// means that copies never grow too old.
	DeleteRetention time.Duration

	Clock state.Clock
	Logs  record.LogSource // where it is an EpochSource, too, truncated logs are noticed
	Table state.TableOptions
	Flush FlushOptions
	Log   *slog.Logger // default: discards

	// OnProgress is called about once a second during a restore and at its end.
	OnProgress func(Progress)
}

// FlushOptions say when a flush is due: by whichever comes first.
type FlushOptions struct {
	Bytes int64         // unflushed bytes in memory; default 3/8 of the table's memory
	Tail  int64         // log records that a restart would replay; default 1,000,000
	Age   time.Duration // since the last flush; default 10–30 s, by the store's name, so that tasks take turns
}

// EpochSource is implemented by log sources that know where leader epochs ended.
type EpochSource interface {
	// EpochEnd returns the first offset after the last record that p holds of
	// epoch, or of the largest one before it.
	EpochEnd(ctx context.Context, p record.Partition, epoch int32) (int64, error)
}

// Progress says how far a restore has come with one log.
type Progress struct {
	Store     string
	Partition record.Partition
	From      int64         // offset at which the replay began
	Next      int64         // next offset to replay
	To        int64         // offset at which the replay ends
	Records   int64         // replayed so far, from this log
	Rate      float64       // records per second
	ETA       time.Duration // until Next reaches To at the present pace, -1 where unknown
	Done      bool
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Table.MemoryBytes <= 0 {
		c.Table.MemoryBytes = state.DefaultMemoryBytes
	}
	if c.Flush.Bytes <= 0 {
		c.Flush.Bytes = c.Table.MemoryBytes / 8 * 3
	}
	if c.Flush.Tail <= 0 {
		c.Flush.Tail = 1_000_000
	}
	if c.Flush.Age <= 0 {
		c.Flush.Age = stagger(c.Store, 10*time.Second, 30*time.Second)
	}
	return c
}

// stagger spreads names evenly over [from, to).
func stagger(name string, from, to time.Duration) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(name))
	return from + time.Duration(h.Sum32())*(to-from)/(1<<32)
}
