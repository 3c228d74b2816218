package engine

import (
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// workerConfig is what a worker is made of.
type workerConfig struct {
	plan           *topology.Plan
	commitInterval time.Duration
	batchBytes     int64
	overlayBytes   int64
	txnTimeout     time.Duration
	fenceWait      time.Duration // how long a stale worker waits for a new fence before it tries again
	partitions     map[string]int32
	past           []string // inputs that Kafka does not know: it takes no offsets for them
	// produce writes a record within the open transaction. It has no outcome of
	// its own: the next doFlush tells.
	produce   func(*kafka.Out)
	nextEpoch func() uint64
}

// worker is the commit protocol of several tasks that share one transactional
// producer, as a pure state machine: [worker.step] takes an event and the time
// and returns effects. It starts nothing, waits for nothing and reads no clock,
// so the simulation can drive it through every interleaving.
//
// Invariants:
//   - the open transaction holds records of tasks that are held, and of no others;
//   - while an outcome is awaited, no record is stepped and no task is taken or
//     given up;
//   - a fence is used only as far as membership events have been taken in order:
//     a task that was lost is dropped before a newer fence is seen;
//   - a revoke is acknowledged only when no transaction is open.
type worker struct {
	cfg     workerConfig
	now     time.Time
	tasks   map[int32]*held
	order   []int32 // keys of tasks, ascending
	fence   kafka.Fence
	await   awaiting
	ready   bool
	stopped bool
	txn     transaction
	queue   []*evBatch
	control []event
	closing map[*changelog.State]doClose // given up while being written to disk
	visits  []*visit
	placed  map[string]bool // inputs whose first key has been held against the hasher
	effects []effect

	staleAt   time.Time // zero unless waiting for a newer fence
	holdUntil time.Time // backing off after an abort
	aborts    int       // in a row
	rebuilds  int       // in a row
	lastMoved time.Time // since when positions wait to be committed that moved over markers only, zero: none do
	figures   figures

	at      whereabouts
	out     kafka.Out // being produced: one for all, for it escapes
	placing struct {  // the output that was produced to last
		topic string
		n     int32
	}
}

// held is a task that the worker holds.
type held struct {
	partition int32
	phase     TaskPhase
	epoch     uint64 // of the fetched batches that are for it
	topics    []string
	core      *task.Task // nil unless running
	err       error
	storing   bool
	purged    int64

	// Of the open transaction:
	inTxn bool
	dirty int64             // bytes that it has written, as transaction.dirty counts them
	ends  []record.Position // of its logs, once it is committed
}

// transaction is what is open.
type transaction struct {
	open    bool
	ending  bool // no more records: commit as soon as nothing defers it
	started time.Time
	sealed  time.Time
	tasks   []*held
	bytes   int64 // of the input
	dirty   int64 // bytes of state written
	emitted int64 // bytes of the output
	records int64
	emits   int64
	muted   int64 // records for outputs that were dropped: the group is reset with silent outputs
	changes int64
	acks    []record.Position
	cause   AbortCause
	failed  map[int32]error
}

// awaiting is the outcome that the worker waits for.
type awaiting uint8

const (
	awaitNothing awaiting = iota
	awaitInit
	awaitRebuild
	awaitFlush
	awaitOffsets
	awaitCommit
	awaitAbort
)

const (
	sliceRecords  = 64              // stepped between two looks at the clock
	idleMove      = time.Second     // after which positions that moved over markers only are committed
	purgeRecords  = 10_000          // of a loop, behind which they are deleted
	maxBackoff    = 5 * time.Second // between attempts that fail
	backoffFactor = 50 * time.Millisecond
)

func newWorker(c workerConfig) *worker {
	return &worker{cfg: c, tasks: map[int32]*held{}, placed: map[string]bool{}, closing: map[*changelog.State]doClose{}, figures: newFigures()}
}

// start returns the first effects.
func (w *worker) start() []effect {
	w.await = awaitInit
	return []effect{doInit{}}
}

// step takes one event and returns the effects to carry out in order. The result
// is valid until the next call.
func (w *worker) step(now time.Time, ev event) []effect {
	w.now, w.effects = now, w.effects[:0]
	switch e := ev.(type) {
	case evTick:
	case *evBatch:
		w.queue = append(w.queue, e)
	case evRestored:
		w.restored(e)
	case evStored:
		w.stored(e)
	case evInit, evRebuilt, evFlushed, evOffsets, evEnded:
		w.outcome(e)
	default:
		w.control = append(w.control, e)
	}
	w.advance()
	return w.effects
}

// busy reports whether a tick now would step records: the runner then looks for
// other events first, without waiting for them.
func (w *worker) busy(now time.Time) bool {
	return w.await == awaitNothing && !w.txn.ending && !w.stopped && w.staleAt.IsZero() && !now.Before(w.holdUntil) &&
		(len(w.queue) > 0 || len(w.visits) > 0)
}

// wake returns when the next tick is due at the latest; it may have passed.
func (w *worker) wake(now time.Time) time.Time {
	next := now.Add(idleMove)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	switch {
	case w.txn.open && w.txn.ending: // deferred by a callback: look often
		earlier(now.Add(5 * time.Millisecond))
	case w.txn.open:
		earlier(w.txn.started.Add(w.cfg.commitInterval))
	}
	if w.holdUntil.After(now) {
		earlier(w.holdUntil)
	}
	if !w.lastMoved.IsZero() && !w.txn.open && w.staleAt.IsZero() && !w.holdUntil.After(now) {
		earlier(w.lastMoved.Add(idleMove))
	}
	return next
}

// advance does what can be done now: membership first, then commits, then records.
func (w *worker) advance() {
	if !w.staleAt.IsZero() && w.now.Sub(w.staleAt) >= w.cfg.fenceWait {
		w.staleAt = time.Time{} // no rebalance came: try again under the same fence
	}
	for w.await == awaitNothing && w.ready && !w.stopped {
		if len(w.control) > 0 {
			if !w.takeControl() {
				return
			}
			continue
		}
		switch {
		case w.txn.open && w.commitDue():
			if !w.tryCommit() {
				return
			}
		case !w.txn.open && w.idleDue():
			w.commitIdle()
		case w.busy(w.now):
			w.work()
			return // one slice a tick
		default:
			w.storeDue()
			return
		}
	}
}

func (w *worker) do(e effect) { w.effects = append(w.effects, e) }

func (w *worker) task(p int32) *held { return w.tasks[p] }

func (w *worker) add(h *held) {
	w.tasks[h.partition] = h
	at, _ := slices.BinarySearch(w.order, h.partition)
	w.order = slices.Insert(w.order, at, h.partition)
}

func (w *worker) remove(p int32) {
	delete(w.tasks, p)
	if at, ok := slices.BinarySearch(w.order, p); ok {
		w.order = slices.Delete(w.order, at, at+1)
	}
}

// backoff returns the wait before attempt n (from 1).
func backoff(n int) time.Duration {
	return min(maxBackoff, backoffFactor<<min(n-1, 10))
}
