package engine

import (
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/record"
)

// takeControl takes the oldest membership event. It returns false where that has
// to wait for an outcome or for a deferred commit.
func (w *worker) takeControl() bool {
	switch e := w.control[0].(type) {
	case evAssigned:
		w.assigned(e)
	case evInputError:
		w.control = w.control[1:]
		w.inputError(e)
		return true
	case evInputEnd:
		w.inputEnd(e)
	case evVisit:
		w.startVisit(e)
	case evLost:
		if w.txn.open && w.inTxn(e.tasks) {
			w.abort(AbortLost)
			return true
		}
		w.giveUp(e.tasks)
	case evRevoked:
		if !w.boundary() {
			return false
		}
		if w.txn.open {
			return true
		}
		w.giveUp(e.tasks)
		w.do(doCall{e.done})
	case evDrain:
		if !w.boundary() {
			return false
		}
		if w.txn.open {
			return true
		}
		w.drain()
	}
	if w.await == awaitNothing {
		w.control = w.control[1:]
	}
	return true
}

// boundary sees to it that no transaction is open, soon. It returns false where
// the worker can only wait.
func (w *worker) boundary() bool {
	if !w.txn.open {
		return true
	}
	if !w.staleAt.IsZero() {
		w.abort(AbortStale)
		return true
	}
	return w.tryCommit()
}

func (w *worker) inTxn(tasks []int32) bool {
	return slices.ContainsFunc(w.txn.tasks, func(h *held) bool { return slices.Contains(tasks, h.partition) })
}

// assigned takes a new fence and new tasks. Tasks that were held before the
// rebalance and are not lost have been held all along, so an open transaction of
// theirs may end under the new fence.
func (w *worker) assigned(e evAssigned) {
	w.fence, w.staleAt = e.fence, time.Time{}
	for _, t := range e.tasks {
		if h := w.task(t.Task); h == nil {
			h = &held{partition: t.Task, topics: slices.Clone(t.Topics)}
			w.add(h)
			w.restore(h)
		}
	}
}

func (w *worker) restore(h *held) {
	h.phase, h.epoch = Restoring, w.cfg.nextEpoch()
	w.do(doRestore{h.partition, h.epoch, slices.Clone(h.topics)})
}

// restored takes a task's state and begins to read its inputs.
func (w *worker) restored(e evRestored) {
	h := w.task(e.partition)
	if h == nil || h.epoch != e.epoch || h.phase != Restoring {
		if e.core != nil {
			w.do(doClose{e.partition, e.core.State(), false})
		}
		return
	}
	if e.err != nil {
		h.phase, h.err = Failed, e.err
		w.do(doTaskFailed{e.partition, e.err})
		return
	}
	h.core, h.phase, h.err = e.core, Running, nil
	w.do(doSeek{w.seeks(h)})
}

// giveUp drops tasks that the worker no longer owns, or is asked to hand over. No
// transaction that holds anything of them is open.
func (w *worker) giveUp(tasks []int32) {
	for _, p := range tasks {
		if h := w.task(p); h != nil {
			w.letGo(h, true)
			w.remove(p)
		}
	}
}

// letGo stops reading a task's inputs and gives its state up; what is committed
// may still go to disk.
func (w *worker) letGo(h *held, flush bool) {
	if h.core != nil { // else nothing is fetched for us, but perhaps for a new owner
		w.do(doStop{w.inputs(h.partition)})
		w.closeState(doClose{h.partition, h.core.State(), flush}, h.storing)
		h.core = nil
	} else if h.phase == Restoring {
		w.do(doAbandon{h.partition, h.epoch})
	}
	h.epoch, h.storing = w.cfg.nextEpoch(), false
}

// closeState gives a state up, once what is being written of it is on disk.
func (w *worker) closeState(e doClose, storing bool) {
	if storing {
		w.closing[e.state] = e
		return
	}
	w.do(e)
}

// drain gives everything up and stops.
func (w *worker) drain() {
	w.giveUp(slices.Clone(w.order))
	for _, b := range w.queue {
		b.release()
	}
	w.queue = nil
	for len(w.visits) > 0 {
		w.endVisit(ErrVisitAborted)
	}
	w.stopped = true
	w.do(doStopped{})
}

// store begins to write a task's committed state to disk where that is due.
func (w *worker) store(h *held) {
	if h.storing || h.core == nil || !h.core.State().FlushDue(w.now) {
		return
	}
	flush, err := h.core.State().BeginFlush()
	if err != nil {
		w.failTask(h, err)
		return
	}
	if flush != nil {
		h.storing = true
		w.do(doStore{h.partition, h.core.State(), flush})
	}
}

// storeDue looks after all tasks, between two transactions.
func (w *worker) storeDue() {
	if w.txn.open {
		return
	}
	for _, p := range w.order {
		w.store(w.task(p))
	}
}

// stored notes that a task's state is on disk. A disk that takes no more fails
// the task: memory would grow without bound.
func (w *worker) stored(e evStored) {
	e.state.EndFlush(e.flush, e.err)
	if c, ok := w.closing[e.state]; ok {
		delete(w.closing, e.state)
		w.do(c)
		return
	}
	h := w.task(e.partition)
	if h == nil || h.core == nil || h.core.State() != e.state {
		return
	}
	h.storing = false
	if e.err != nil && w.await == awaitNothing {
		w.failTask(h, e.err)
	}
}

// purge deletes what the group's own loop holds behind the committed position, but for
// the last offset: the broker of kappa dev forgets, with the last record of a log, where
// it ended.
func (w *worker) purge(h *held) {
	part, next, ok := w.loops(h)
	if ok && next-h.purged >= purgeRecords {
		h.purged = next
		w.do(doPurge{map[record.Partition]int64{part: next - 1}})
	}
}

func assigned(topics []string, topic string) bool { return slices.Contains(topics, topic) }

var _ task.Lookup = (Lookup)(nil)
