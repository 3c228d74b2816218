package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// commitDue reports whether the open transaction should end now.
func (w *worker) commitDue() bool {
	age := w.now.Sub(w.txn.started)
	return w.txn.ending || age >= w.cfg.commitInterval || age >= w.cfg.txnTimeout/2 ||
		w.txn.bytes >= w.cfg.batchBytes || w.txn.dirty+w.txn.emitted >= w.cfg.overlayBytes
}

// countDirty takes in what a task has written since it was asked last. It is asked
// for after each slice: to ask all tasks would cost a slice of few records more than
// its records do.
func (w *worker) countDirty(h *held) {
	_, bytes := h.core.State().Table.Dirty()
	w.txn.dirty += bytes - h.dirty
	h.dirty = bytes
}

// tryCommit begins the commit unless callbacks have deferred it. It returns false
// where there is nothing to do but wait.
func (w *worker) tryCommit() bool {
	w.txn.ending = true
	for _, h := range w.txn.tasks {
		open, err := h.core.Deferred()
		if err == nil && open > 0 && w.now.Sub(w.txn.started) >= w.cfg.txnTimeout/2 {
			err = task.ErrDeferred
		}
		if err != nil {
			w.failTask(h, fmt.Errorf("task %s/%d: %w", w.cfg.plan.Group, h.partition, err))
			return true
		}
		if open > 0 {
			return false
		}
	}
	w.beginCommit()
	return true
}

// idleDue reports whether something is to be committed that nothing else will
// commit soon: positions that have moved over markers only, or the proof that a
// task is still held.
func (w *worker) idleDue() bool {
	if len(w.queue) > 0 || !w.staleAt.IsZero() || w.now.Before(w.holdUntil) {
		return false
	}
	if !w.lastMoved.IsZero() && w.now.Sub(w.lastMoved) >= idleMove {
		return true
	}
	return slices.ContainsFunc(w.order, func(p int32) bool { return w.proofDue(w.task(p)) })
}

func (w *worker) proofDue(h *held) bool { return h.core != nil && h.core.State().CommitDue(w.now) }

// commitIdle commits positions that moved over control records, so that lag and
// archives see them pass, and those that are to be proven. It ends: positions go to
// a topic that no task reads.
func (w *worker) commitIdle() {
	w.lastMoved = time.Time{}
	for _, p := range w.order {
		if h := w.task(p); w.proofDue(h) || h.core != nil && h.core.Moved() {
			w.open(h)
		}
	}
	if w.txn.open {
		w.beginCommit()
	}
}

// beginCommit writes the changelog of every task in the transaction and flushes.
func (w *worker) beginCommit() {
	w.txn.sealed = w.now
	for _, p := range w.order { // tasks that only moved ride along
		if h := w.task(p); h.core != nil && h.core.Moved() {
			w.open(h)
		}
	}
	w.lastMoved = time.Time{}
	for _, h := range w.txn.tasks {
		if err := w.seal(h); err != nil {
			w.failTask(h, err)
			return
		}
	}
	w.await = awaitFlush
	w.do(doFlush{})
}

// seal produces a task's changelog. The last record of each topic is tracked, so
// that the flush tells where the changelog ends.
func (w *worker) seal(h *held) error {
	var last kafka.Out
	write := func(track bool) {
		if last.Topic != "" {
			last.Track = track
			w.cfg.produce(&last)
			w.txn.changes++
		}
	}
	err := h.core.Seal(func(c task.Change) error {
		write(c.Topic != last.Topic)
		last = kafka.Out{Topic: c.Topic, Partition: h.partition, Key: c.Key, Value: c.Value, Timestamp: c.Timestamp}
		return nil
	})
	if err == nil {
		write(true)
	}
	return err
}

// outcome takes the answer that the worker waits for. An answer that it does not
// wait for is of a time before a rebuild and means nothing.
func (w *worker) outcome(ev event) {
	switch e := ev.(type) {
	case evInit:
		w.initDone(e.Result)
	case evRebuilt:
		w.rebuilt(e.err)
	case evFlushed:
		if w.await == awaitFlush {
			w.flushed(e)
		}
	case evOffsets:
		if w.await == awaitOffsets {
			w.offsetsDone(e.Result)
		}
	case evEnded:
		w.ended(e.Result)
	}
}

func (w *worker) initDone(r kafka.Result) {
	if w.await != awaitInit {
		return
	}
	switch r.Outcome {
	case kafka.OK:
		w.await = awaitNothing
		if !w.ready {
			w.ready = true
			w.do(doReady{})
		}
		w.restoreAll()
	case kafka.Fatal:
		w.fatal(fmt.Errorf("initialize producer: %w", r.Err))
	default:
		w.do(doNote{r})
		w.rebuilds++
		w.do(doInit{wait: backoff(w.rebuilds)})
	}
}

func (w *worker) flushed(e evFlushed) {
	if e.Outcome != kafka.OK {
		w.commitFailed(e.Result)
		return
	}
	w.txn.acks = e.acks
	positions := make([]record.Position, 0, len(w.txn.tasks)*len(w.cfg.plan.Inputs))
	for _, h := range w.txn.tasks {
		if w.task(h.partition) != h {
			w.abort(AbortLost) // never commit for a task that is not held
			return
		}
		positions = h.core.AppendPositions(positions)
	}
	if len(w.cfg.past) > 0 {
		positions = w.knownToKafka(positions)
	}
	w.await = awaitOffsets
	w.do(doOffsets{w.fence, positions})
}

// knownToKafka leaves out positions of topics that Kafka does not know. Where nothing is
// left of a task, how far its state goes stands for it: without any offset the group's
// coordinator would not be asked whether the fence is valid.
func (w *worker) knownToKafka(positions []record.Position) []record.Position {
	positions = slices.DeleteFunc(positions, func(p record.Position) bool { return slices.Contains(w.cfg.past, p.Topic) })
	if len(w.cfg.past) < len(w.cfg.plan.Inputs) {
		return positions
	}
	for _, a := range w.txn.acks {
		if a.Topic == w.cfg.plan.StateTopic {
			positions = append(positions, a)
		}
	}
	return positions
}

func (w *worker) offsetsDone(r kafka.Result) {
	if r.Outcome != kafka.OK {
		w.commitFailed(r)
		return
	}
	w.await = awaitCommit
	w.do(doEnd{commit: true})
}

// commitFailed leaves a commit before its end: by an abort where the producer can
// go on, by a rebuild where it cannot.
func (w *worker) commitFailed(r kafka.Result) {
	w.do(doNote{r})
	switch r.Outcome {
	case kafka.Stale:
		w.staleAt = w.now
		w.abort(AbortStale)
	case kafka.Fenced:
		w.rebuild(AbortFenced)
	case kafka.Unknown:
		w.rebuild(AbortUnknown)
	case kafka.Fatal:
		w.fatal(fmt.Errorf("commit: %w", r.Err))
	default:
		w.aborts++
		w.holdUntil = w.now.Add(backoff(w.aborts))
		w.abort(AbortProduce)
	}
}

func (w *worker) abort(cause AbortCause) {
	w.txn.cause = cause
	w.await = awaitAbort
	w.do(doEnd{commit: false})
}

func (w *worker) ended(r kafka.Result) {
	if r.Outcome != kafka.OK {
		w.do(doNote{r})
	}
	switch {
	case w.await == awaitCommit && r.Outcome == kafka.OK:
		w.committed()
	case w.await == awaitCommit && r.Outcome == kafka.Aborted:
		// It may stand open still: what it holds must not join the next one.
		w.aborts++
		w.holdUntil = w.now.Add(backoff(w.aborts))
		w.abort(AbortProduce)
	case w.await == awaitAbort && (r.Outcome == kafka.OK || r.Outcome == kafka.Aborted):
		w.rewind()
	case r.Outcome == kafka.Fatal:
		w.fatal(fmt.Errorf("end transaction: %w", r.Err))
	case w.await == awaitCommit && r.Outcome == kafka.Fenced:
		w.rebuild(AbortFenced)
	case w.await == awaitCommit:
		w.rebuild(AbortUnknown)
	case w.await == awaitAbort:
		w.rebuild(w.txn.cause)
	}
}

// committed makes what the transaction held the committed state.
func (w *worker) committed() {
	w.await, w.aborts, w.rebuilds = awaitNothing, 0, 0
	w.shareEnds()
	for _, h := range w.txn.tasks {
		h.core.Commit(h.ends)
		w.purge(h)
	}
	w.figures.committed(&w.txn, w.now)
	w.visitsCommitted()
	w.closeTxn()
	w.storeDue()
}

// shareEnds gives each task of the transaction the ends of its logs.
func (w *worker) shareEnds() {
	for i := range w.txn.acks {
		a := &w.txn.acks[i]
		if h := w.task(a.Partition); h != nil && h.inTxn {
			h.ends = append(h.ends, *a)
		}
	}
}

// rewind drops the transaction and reads its records again.
func (w *worker) rewind() {
	w.await = awaitNothing
	w.figures.aborted(w.txn.cause)
	for _, h := range w.txn.tasks {
		if w.task(h.partition) != h || h.core == nil {
			continue
		}
		h.core.Abort()
		if _, failed := w.txn.failed[h.partition]; failed {
			continue
		}
		h.epoch = w.cfg.nextEpoch()
		w.do(doSeek{w.seeks(h)})
	}
	w.visitsAborted()
	failed := w.txn.failed
	w.closeTxn()
	w.txn.failed = failed
	w.settleFailed()
}

// closeTxn forgets the transaction.
func (w *worker) closeTxn() {
	for _, h := range w.txn.tasks {
		h.inTxn, h.dirty, h.ends = false, 0, h.ends[:0]
	}
	w.txn = transaction{tasks: w.txn.tasks[:0]}
}

// rebuild is the way on where it is not known what the broker holds: memory is
// dropped, the producer is made anew, its initialization decides the open
// transaction, and the logs tell what has been committed.
func (w *worker) rebuild(cause AbortCause) {
	w.figures.aborted(cause)
	w.figures.rebuilds++
	w.await = awaitRebuild
	failed := w.txn.failed
	for _, p := range w.order {
		if h := w.task(p); h.phase != Failed {
			w.letGo(h, false)
			h.phase = Restoring
		}
	}
	w.visitsAborted()
	w.closeTxn()
	w.txn.failed = failed
	for p, err := range failed {
		w.task(p).phase, w.task(p).err = Failed, err
		w.do(doTaskFailed{p, err})
	}
	w.txn.failed = nil
	w.rebuilds++
	w.do(doRebuild{wait: backoff(w.rebuilds)})
}

func (w *worker) rebuilt(err error) {
	if w.await != awaitRebuild {
		return
	}
	if err != nil {
		w.rebuilds++
		w.do(doRebuild{wait: backoff(w.rebuilds)})
		return
	}
	w.await = awaitInit
	w.do(doInit{})
}

// restoreAll asks for the state of every task that has none.
func (w *worker) restoreAll() {
	for _, p := range w.order {
		if h := w.task(p); h.phase == Restoring {
			w.restore(h)
		}
	}
}

func (w *worker) fatal(err error) {
	w.stopped = true
	w.do(doFatal{fmt.Errorf("group %s: %w", w.cfg.plan.Group, err)})
}
