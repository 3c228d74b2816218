package views

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// logs is what following needs of a cluster.
type logs interface {
	record.LogSource
	EndsOf(ctx context.Context, parts ...record.Partition) (map[record.Partition]record.Ends, error)
}

// replica is the copy of one table topic in one store, and the goroutines that
// follow the topic. Readers hold it between acquire and release.
type replica struct {
	source
	slot  string // name of the store
	store state.Store
	logs  logs
	clock state.Clock
	log   *slog.Logger
	cache *cache    // nil where there is none
	keys  sync.Pool // of *[]byte, for store keys
	subs  subscribers
	moved *signal // broadcast after each progress, error and catch-up
	every time.Duration

	headMu sync.Mutex // guards head
	head   header

	// applying is read-locked from before a batch reads old values until its
	// changes are published: a checkpoint cannot write a position that is older
	// than the data, and a new subscriber misses nothing of a batch under way.
	applying sync.RWMutex
	places   []atomic.Pointer[place] // per partition; what the store contains
	troubles []atomic.Pointer[string]
	records  atomic.Int64
	caught   chan struct{} // closed when the copy has first held all of the log

	cancel context.CancelFunc
	wg     sync.WaitGroup
	broken chan string // why it cannot go on; capacity 1

	refs   atomic.Int64  // readers, and one of the view until it is retired
	unused chan struct{} // closed when refs reaches 0

	inputsMu sync.Mutex // guards inputs and stopped
	inputs   *inputs
	stopped  bool
}

// open loads what the store knows. The header must fit; places is set from the
// store, or from the starts of the logs where the store is new.
func (r *replica) open(h header, ends map[record.Partition]record.Ends) error {
	r.head = h
	r.places = make([]atomic.Pointer[place], r.Partitions)
	r.troubles = make([]atomic.Pointer[string], r.Partitions)
	r.broken, r.unused, r.caught = make(chan string, 1), make(chan struct{}), make(chan struct{})
	r.refs.Store(1)
	for p := range r.Partitions {
		at := place{Offset: ends[record.Partition{Topic: r.Topic, Partition: p}].Start, Epoch: -1}
		b, found, err := r.store.Get(positionKey(p), nil)
		if err != nil {
			return fmt.Errorf("read the position of %s/%d: %w", r.Topic, p, err)
		}
		if found {
			if at, err = parsePlace(b); err != nil {
				return err
			}
		}
		r.places[p].Store(&at)
	}
	return nil
}

// start starts the goroutines; stop ends them.
func (r *replica) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	for p := range r.Partitions {
		f := follower{replica: r, partition: p, seen: make(map[uint64]struct{})}
		r.wg.Go(func() { f.run(ctx) })
	}
	r.wg.Go(func() { r.keep(ctx) })
}

// stop ends following; reads go on. It waits for the goroutines.
func (r *replica) stop() {
	r.cancel()
	r.inputsMu.Lock()
	r.stopped = true
	in := r.inputs
	r.inputsMu.Unlock()
	if in != nil {
		in.stop()
	}
	r.wg.Wait()
}

// retire stops following, waits for the last reader, makes the store durable and
// closes it.
func (r *replica) retire() error {
	r.stop()
	r.release()
	<-r.unused
	err := r.checkpoint(nil)
	if err = errors.Join(err, r.store.Close()); err != nil {
		return fmt.Errorf("close the view's store %q: %w", r.slot, err)
	}
	return nil
}

// acquire keeps the store open until release; false where it is gone.
func (r *replica) acquire() bool {
	for {
		n := r.refs.Load()
		if n == 0 {
			return false
		}
		if r.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (r *replica) release() {
	if r.refs.Add(-1) == 0 {
		close(r.unused)
	}
}

// position returns how far the copy has followed a partition.
func (r *replica) position(partition int32) record.Position {
	at := r.places[partition].Load()
	return record.Position{Cluster: r.Cluster, Topic: r.Topic, TopicID: r.ID,
		Partition: partition, Offset: at.Offset, LeaderEpoch: at.Epoch}
}

// caughtUp reports whether the copy has held all of the log since it was opened.
func (r *replica) caughtUp() bool {
	select {
	case <-r.caught:
		return true
	default:
		return false
	}
}

// fail says that the copy can never go on from where it is.
func (r *replica) fail(reason string) {
	select {
	case r.broken <- reason:
	default:
	}
	r.moved.broadcast()
}

// checkpoint writes header and places, after change where given, and makes all
// durable.
func (r *replica) checkpoint(change func(*header)) error {
	r.headMu.Lock()
	defer r.headMu.Unlock()
	if change != nil {
		change(&r.head)
	}
	if err := r.writeMeta(); err != nil {
		return err
	}
	return r.store.Sync()
}

// writeMeta keeps batches out: else a place could be older than the data.
func (r *replica) writeMeta() error {
	r.applying.Lock()
	defer r.applying.Unlock()
	var b state.Batch
	b.Set(headerKey(), r.head.append(nil))
	for p := range r.Partitions {
		b.Set(positionKey(p), r.places[p].Load().append(nil))
	}
	return r.store.Apply(&b)
}
