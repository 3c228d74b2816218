package kappa

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/archive/bucket"
	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/pebble"
	"github.com/seed-73111be4/kappa/topology"
	"github.com/seed-73111be4/kappa/views"
)

// Options say how an engine runs. The zero value is sane; each comment ends with
// the default.
type Options struct {
	// App names the application whose state directory it is; the first group.
	App string
	// StateDir keeps local copies of the state and the instance's id, so that a
	// restart reads a tail and not all; none, state is in memory only.
	StateDir string
	// Instance names this process among the groups' members; a random id that the
	// state directory keeps.
	Instance string
	// CommitInterval is the time between commits, and so about how old what others
	// see may be; 100 ms.
	CommitInterval time.Duration
	// BatchBytes are the input bytes after which a transaction commits before the
	// interval is over; 32 MiB.
	BatchBytes int64
	// Watchdog ends the process when a callback runs for longer, naming its record;
	// a minute, negative: never.
	Watchdog time.Duration
	// Workers are how many tasks of a group run at once; the number of cores.
	Workers int
	// MemoryBytes bounds what the groups hold in memory: state, input, output, the
	// store's cache; 512 MiB. Garbage comes on top: programs without the verb run
	// bound it by runtime/debug.SetMemoryLimit.
	MemoryBytes int64
	// SessionTimeout is after how long without a word the instance's tasks go to
	// others; 10 s.
	SessionTimeout time.Duration
	// Standbys is how many other processes follow the state of each task, so that one
	// of them takes it over within moments; the largest number in the group counts; 0.
	Standbys int
	// Bucket is the URL of an archive, such as file:///archive or s3://name?region=…:
	// input that Kafka has forgotten is read from there, as if it were in Kafka; none.
	Bucket string
	// Archiver runs in this process, too: HTTP shows its figures and whether it does its
	// work; none.
	Archiver *Archiver
	// ReplayBytesPerSecond bounds what is read from the archive, all groups together;
	// 0, no bound.
	ReplayBytesPerSecond int64
	// PauseFailed keeps the process running when a task fails, without that task;
	// the engine ends with the task's error.
	PauseFailed bool
	// Start is where a group that has not run before begins, "earliest" or
	// "latest"; as its definition says.
	Start string
	// Until makes the engine end by itself, without an error, once the groups have
	// processed their inputs up to there, and nothing beyond: "now", the ends as of the
	// start; a time (RFC 3339, a date, or milliseconds since 1970), which is that of the
	// first record left out in each partition; or ends by name, TOPIC:PARTITION=OFFSET,
	// TOPIC=now or TOPIC=TIME, separated by commas, beside one of the first two for what
	// is not named. What the groups write for each other is read to its end; none.
	Until string
	// HTTP is the address of the face for metrics, health and views. Without a host
	// it is on loopback; none.
	HTTP string
}

// An Engine runs groups until it is stopped or one of them fails.
type Engine struct {
	*engine.Engine
	face   *face            // nil where nobody asked for it
	past   *archive.Archive // nil where there is none
	bucket io.Closer        // its bucket
	db     state.DB         // of views and looked-up tables, nil where there are none
}

// Start checks the groups, makes the topics that they own, and runs them. What is
// wrong with topics, permissions or the state directory is an error before the
// first record is read. The caller calls Wait, in any case.
func (c *Client) Start(ctx context.Context, groups []*topology.Def, o Options) (*Engine, error) {
	plans, err := topology.Build(groups...)
	if err != nil {
		return nil, err
	}
	if o.App == "" && len(plans) > 0 {
		o.App = plans[0].Group
	}
	e := new(Engine)
	if err := c.start(ctx, e, plans, o); err != nil {
		return nil, errors.Join(err, e.release())
	}
	return e, nil
}

func (c *Client) start(ctx context.Context, e *Engine, plans []*topology.Plan, o Options) (err error) {
	until, err := parseUntil(o.Until)
	if err != nil {
		return err
	}
	if plans, err = startAt(plans, o.Start); err != nil {
		return err
	}
	if e.db, err = openViews(plans, o); err != nil {
		return err
	}
	if o.Bucket != "" {
		b, err := bucket.Open(ctx, o.Bucket)
		if err != nil {
			return err
		}
		e.past, e.bucket = archive.New(b, archive.Config{}), b
	}
	if o.HTTP != "" {
		if e.face, err = c.serve(ctx, o.HTTP, o.Archiver, false); err != nil {
			return err
		}
	}
	eo := c.engineOptions(e, o)
	eo.Until = until
	if e.Engine, err = engine.Start(ctx, plans, eo); err != nil || e.face == nil {
		return err
	}
	e.face.engine.Store(e.Engine)
	if err := e.face.open(ctx, c, e.db, plans); err != nil {
		e.Kill()
		return err
	}
	return nil
}

func (c *Client) engineOptions(e *Engine, o Options) engine.Options {
	return engine.Options{
		Cluster: c.cluster, Archive: e.past, App: o.App, StateDir: o.StateDir, Instance: o.Instance,
		CommitInterval: o.CommitInterval, BatchBytes: o.BatchBytes, Watchdog: o.Watchdog, Workers: o.Workers, MemoryBytes: o.MemoryBytes,
		SessionTimeout: o.SessionTimeout, Standbys: o.Standbys, ReplayBytesPerSecond: o.ReplayBytesPerSecond, PauseFailed: o.PauseFailed, Log: c.log,
		OpenLookup: func(ctx context.Context, table string, decode func([]byte) (any, error)) (engine.Lookup, error) {
			v, err := views.Open(ctx, views.Config{Logs: c.cluster, Table: table, DB: e.db, Codec: decoder(decode), Log: c.log})
			if err != nil {
				return nil, err
			}
			return lookup{v}, nil
		},
	}
}

// startAt returns the plans with another start.
func startAt(plans []*topology.Plan, start string) ([]*topology.Plan, error) {
	at := topology.Earliest
	switch start {
	case "":
		return plans, nil
	case "earliest":
	case "latest":
		at = topology.Latest
	default:
		return nil, &usageError{fmt.Errorf("start %q: use earliest or latest", start)}
	}
	moved := make([]*topology.Plan, len(plans))
	for i, p := range plans {
		q := *p
		q.Start = at
		moved[i] = &q
	}
	return moved, nil
}

// viewCache bounds the block cache of the views' database.
const viewCache = 64 << 20

// openViews opens the database of the process's views and looked-up tables:
// beside the state, or in memory.
func openViews(plans []*topology.Plan, o Options) (state.DB, error) {
	needed := o.HTTP != "" || slices.ContainsFunc(plans, func(p *topology.Plan) bool { return len(p.Lookups) > 0 })
	if !needed {
		return nil, nil
	}
	if o.StateDir == "" {
		return state.NewMemory(), nil
	}
	db, err := pebble.Open(filepath.Join(o.StateDir, "views"), pebble.Options{App: o.App, CacheBytes: viewCache})
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", o.StateDir, err)
	}
	return db, nil
}

// decoder is a codec that decodes only.
type decoder func([]byte) (any, error)

func (d decoder) Decode(data []byte) (any, error) { return d(data) }

// lookup is a view as the engine takes it.
type lookup struct{ *views.View }

// Get returns the decoded value of key, nil where there is none.
func (l lookup) Get(key string) (any, error) {
	v, _, err := l.View.Get(key)
	return v, err
}

// GetBytes returns the encoded value of key.
func (l lookup) GetBytes(key []byte) ([]byte, bool, error) { return l.View.GetBytes(string(key)) }

// Wait blocks until the engine has ended and returns why: nil after Stop, the
// first failure otherwise.
func (e *Engine) Wait() error {
	err := e.Engine.Wait()
	return errors.Join(err, e.release())
}

// release closes what the engine does not close itself.
func (e *Engine) release() error {
	var errs []error
	if e.face != nil {
		errs = append(errs, e.face.close())
	}
	if e.db != nil {
		errs = append(errs, e.db.Close())
	}
	if e.bucket != nil {
		errs = append(errs, e.bucket.Close())
	}
	e.face, e.db, e.bucket = nil, nil, nil
	return errors.Join(errs...)
}
