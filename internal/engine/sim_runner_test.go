package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
)

// simRunner brings a real worker its events and carries its effects out, one at a
// time, as runner.go does: between any two of them anything else may happen.
type simRunner struct {
	w       *world
	p       *simProcess
	name    string
	txnID   string
	worker  *worker
	client  *simClient
	box     []event
	effects []effect
	op      *simOp
	wakeAt  time.Time // zero: to be asked for
	thaw    time.Time
	ready   bool
	done    bool
	queued  int // bytes fetched and not released
}

// simOp is an effect with an outcome, under way.
type simOp struct {
	effect effect
	from   time.Time // not begun before
	begun  bool
	answer event // nil until it is there
}

func newSimRunner(p *simProcess, i int) *simRunner {
	w := p.w
	r := &simRunner{w: w, p: p, name: fmt.Sprintf("%s/%d", p, i), txnID: fmt.Sprintf("sim.%s.%d", p.name, i), thaw: w.now}
	r.client = newClient(r)
	r.worker = newWorker(workerConfig{
		plan: simPlan, commitInterval: w.faults.commitInterval, batchBytes: 4 << 10, overlayBytes: 1 << 20,
		txnTimeout: w.faults.txnTimeout, fenceWait: 2 * simSessionTimeout, partitions: w.broker.topics,
		produce:   func(o *kafka.Out) { r.client.produce(o) },
		nextEpoch: func() uint64 { p.epoch++; return p.epoch },
	})
	r.perform(r.worker.start())
	return r
}

func (r *simRunner) String() string { return r.name }

func (r *simRunner) post(ev event) {
	if r.done {
		r.refuse(ev)
		return
	}
	r.box = append(r.box, ev)
}

// refuse answers what nobody will take.
func (r *simRunner) refuse(ev event) {
	switch e := ev.(type) {
	case evRevoked:
		e.done()
	case evVisit:
		e.done(0, ErrVisitAborted)
	case *evBatch:
		e.release()
	case evRestored:
		if e.core != nil {
			r.p.closeState(doClose{e.partition, e.core.State(), false})
		}
	case evStored:
		e.state.EndFlush(e.flush, e.err)
		r.p.closeState(doClose{e.partition, e.state, false})
	}
}

func (r *simRunner) offer(w *world) {
	if r.done {
		return
	}
	r.client.offer(w, r.flushing())
	switch {
	case r.thaw.After(w.now):
		w.wake(r.thaw)
	case r.op != nil && !r.op.begun:
		if _, end := r.op.effect.(doEnd); !end || !r.client.sending() {
			w.due(r, 8, r.op.from)
		}
	case r.op != nil:
		if r.op.answer != nil || (r.flushing() && r.client.flushed()) {
			w.offer(r, 8)
		}
	case len(r.effects) > 0, len(r.box) > 0, r.worker.busy(w.now):
		w.offer(r, 8)
	default:
		if r.wakeAt.IsZero() {
			r.wakeAt = r.worker.wake(w.now)
			r.checkWake()
		}
		w.due(r, 8, r.wakeAt)
	}
}

// checkWake: a worker does not sleep beyond the end of its transaction.
func (r *simRunner) checkWake() {
	t := &r.worker.txn
	if t.open && !t.ending && r.wakeAt.After(r.w.now) && r.wakeAt.After(t.started.Add(r.w.faults.commitInterval)) {
		r.w.violate("%s sleeps for %v over a transaction that is due", r, r.wakeAt.Sub(r.w.now))
	}
}

func (r *simRunner) flushing() bool {
	if r.op == nil || !r.op.begun {
		return false
	}
	_, ok := r.op.effect.(doFlush)
	return ok
}

func (r *simRunner) act(w *world) {
	switch {
	case r.op != nil && !r.op.begun:
		r.op.begun = true
		r.begin(r.op)
	case r.op != nil:
		r.finish()
	case len(r.effects) > 0:
		e := r.effects[0]
		r.effects = r.effects[1:]
		r.carryOut(e)
		if r.worker.stopped && len(r.effects) == 0 {
			r.stop()
		}
	case len(r.box) > 0:
		ev := r.box[0]
		r.box = r.box[1:]
		r.take(ev)
	default:
		r.take(evTick{})
	}
}

// take steps the worker.
func (r *simRunner) take(ev event) {
	ev = r.w.mutant.event(r, ev)
	if ev == nil {
		return
	}
	r.countOutcome(ev)
	if r.w.tell {
		r.w.say("%s takes %s", r, showEvent(ev))
	}
	effects := r.worker.step(r.w.now, ev)
	r.perform(effects)
	r.checkWorker()
	r.wakeAt = time.Time{}
}

// checkWorker holds the worker against what it promises of itself.
func (r *simRunner) checkWorker() {
	k := r.worker
	for _, h := range k.txn.tasks {
		if k.txn.open && k.await != awaitAbort && (k.task(h.partition) != h || h.core == nil) {
			r.w.violate("%s has task %d in its transaction and does not run it", r, h.partition)
		}
	}
	for _, p := range k.order {
		if h := k.task(p); (h.phase == Running) != (h.core != nil) {
			r.w.violate("%s: task %d is %s, with a core: %v", r, p, h.phase, h.core != nil)
		}
	}
	if k.txn.open && (k.await == awaitInit || k.await == awaitRebuild) {
		r.w.violate("%s makes its producer anew over an open transaction", r)
	}
	if len(k.order) != len(k.tasks) || !slices.IsSorted(k.order) {
		r.w.violate("%s: order %v of %d tasks", r, k.order, len(k.tasks))
	}
}

// countOutcome counts what commits come to.
func (r *simRunner) countOutcome(ev event) {
	switch e := ev.(type) {
	case evFlushed:
		r.w.count("flush " + e.Outcome.String())
	case evOffsets:
		r.w.count("offsets " + e.Outcome.String())
	case evEnded:
		step := "abort "
		if r.worker.await == awaitCommit {
			step = "commit "
		}
		r.w.count(step + e.Outcome.String())
	}
}

func (r *simRunner) perform(effects []effect) {
	for i, e := range effects {
		if hasOutcome(e) && slices.ContainsFunc(effects[i+1:], hasOutcome) {
			r.w.violate("%s: two outcomes are asked for in one step: %T and another", r, e)
		}
	}
	r.effects = append(r.effects[:0], effects...)
}

func hasOutcome(e effect) bool {
	switch e.(type) {
	case doInit, doRebuild, doFlush, doOffsets, doEnd:
		return true
	}
	return false
}

func (r *simRunner) carryOut(e effect) {
	e = r.w.mutant.effect(r, e)
	if r.w.tell && e != nil {
		r.w.say("%s %s", r, showEffect(e))
	}
	switch e := e.(type) {
	case doInit:
		r.op = &simOp{effect: e, from: r.w.now.Add(e.wait)}
	case doRebuild:
		r.op = &simOp{effect: e, from: r.w.now.Add(e.wait)}
	case doFlush, doOffsets, doEnd:
		r.op = &simOp{effect: e, from: r.w.now}
	case doReady:
		r.ready = true
	case doRestore:
		r.p.restore(r, e)
	case doSeek:
		r.p.fetcher.seek(e.seeks)
	case doStop:
		r.p.fetcher.stop(e.parts)
	case doStore:
		r.p.store(r, e)
	case doClose:
		r.p.closeState(e)
	case doAbandon:
		if o := r.p.opens[e.partition]; o != nil && o.epoch == e.epoch {
			o.cancelled = true
		}
	case doCall:
		e.fn()
	case doTaskFailed:
		r.p.fail(fmt.Errorf("task %d: %w", e.partition, e.err), errors.Is(e.err, errDisk))
	case doFatal:
		r.p.fail(e.err, false)
	}
}

// stop is the end of the runner's loop.
func (r *simRunner) stop() {
	r.done = true
	for _, v := range r.worker.visits {
		v.done(v.committed.keys, ErrVisitAborted)
	}
	for _, ev := range append(r.worker.control, r.box...) {
		r.refuse(ev)
	}
	r.box = nil
	r.client.close()
}
