package views

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-73111be4/kappa/record"
)

// View is a read-only copy of one table that follows it. It is safe for
// concurrent use.
type View struct {
	cfg     Config
	cluster cluster
	moved   signal // see replica.moved

	current  atomic.Pointer[replica] // nil when closed
	switches atomic.Int64

	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error // of Close
}

// cluster is what a view needs of Kafka.
type cluster interface {
	logs
	describe(ctx context.Context, topic string) (source, error)
	resolve(ctx context.Context, name string) (topic string, err error)
	// watch calls changed whenever resolve may give another answer, until ctx ends.
	watch(ctx context.Context, changed func()) error
}

// Open resolves the table's name, opens the copy that an earlier view of that name
// left in the database, or a new one, and starts to follow the table. It returns
// without waiting for what is missing: see [View.WaitCaughtUp]. The caller closes
// the view.
func Open(ctx context.Context, c Config) (*View, error) {
	if c.Logs == nil {
		return nil, errors.New("views: Config.Logs is nil: open a cluster")
	}
	return open(ctx, c, kafkaCluster{c.Logs})
}

func open(ctx context.Context, c Config, k cluster) (*View, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	v := &View{cfg: c, cluster: k}
	topic, err := k.resolve(ctx, c.Table)
	if err != nil {
		return nil, fmt.Errorf("open view %s: %w", c.Table, err)
	}
	r, err := v.adopt(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("open view %s: %w", c.Table, err)
	}
	r.start()
	v.current.Store(r)
	ctx, v.cancel = context.WithCancel(context.Background())
	s := &switcher{View: v, aliases: make(chan struct{}, 1), want: topic}
	v.wg.Go(func() { s.watch(ctx) })
	v.wg.Go(func() { s.run(ctx) })
	return v, nil
}

// Close stops following, waits for reads under way and for all goroutines, and
// leaves the copy durable for the next view of this name. Subscriptions end.
func (v *View) Close() error {
	v.once.Do(func() {
		v.cancel()
		v.wg.Wait()
		r := v.current.Swap(nil)
		v.moved.broadcast()
		r.subs.endAll(ErrClosed)
		if v.err = r.retire(); v.err != nil {
			v.err = fmt.Errorf("close view %s: %w", v.cfg.Table, v.err)
		}
	})
	return v.err
}

// acquire returns the copy to read from; the caller releases it.
func (v *View) acquire() (*replica, error) {
	for {
		r := v.current.Load()
		if r == nil {
			return nil, ErrClosed
		}
		if r.acquire() {
			return r, nil
		}
	}
}

// Name returns the name that the view was opened with.
func (v *View) Name() string { return v.cfg.Table }

// Table returns the table topic that the view shows now, "" when it is closed.
func (v *View) Table() string {
	if r := v.current.Load(); r != nil {
		return r.Topic
	}
	return ""
}

// Positions returns how far the copy has followed each partition of the table.
func (v *View) Positions() ([]record.Position, error) {
	r, err := v.acquire()
	if err != nil {
		return nil, err
	}
	defer r.release()
	ps := make([]record.Position, r.Partitions)
	for i := range ps {
		ps[i] = r.position(int32(i))
	}
	return ps, nil
}
