package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	"github.com/seed-73111be4/kappa/topology"
)

// ErrVisitAborted says that a visit ended early because a task that it ran on was
// given up.
var ErrVisitAborted = errors.New("visit aborted: a task moved or stopped before all its keys were visited")

// work steps one slice of what is waiting: a running visit and the oldest batch
// take turns.
func (w *worker) work() {
	if len(w.visits) > 0 && !w.visitSlice() {
		return
	}
	for len(w.queue) > 0 {
		b := w.queue[0]
		h := w.task(b.part.Partition)
		if h == nil || h.core == nil || h.epoch != b.epoch {
			w.popBatch()
			b.release()
			continue
		}
		w.slice(h, b)
		return
	}
}

func (w *worker) popBatch() {
	w.queue[0] = nil
	w.queue = w.queue[1:]
	if len(w.queue) == 0 {
		w.queue = nil
	}
}

// slice steps the next records of the batch.
func (w *worker) slice(h *held, b *evBatch) {
	n := min(sliceRecords, len(b.records))
	if n > 0 {
		w.open(h)
		w.checkPlace(b.part, b.records[:n])
		if err := h.core.Preload(b.part.Topic, b.records[:n]); err != nil {
			w.failTask(h, err)
			return
		}
	}
	w.at.enter(b.records[:n])
	defer w.at.leave()
	for i := range b.records[:n] {
		w.at.step(i)
		fx, err := h.core.Step(b.part.Topic, &b.records[i])
		if err != nil {
			w.failTask(h, err)
			return
		}
		w.emit(fx.Emits)
		w.txn.muted += int64(fx.Muted)
	}
	b.records = b.records[n:]
	w.txn.records += int64(n)
	if n > 0 {
		w.countDirty(h)
	}
	if len(b.records) > 0 {
		return
	}
	h.core.Advance(b.part.Topic, b.next)
	if h.core.Moved() && w.lastMoved.IsZero() {
		w.lastMoved = w.now
	}
	w.popBatch()
	if w.txn.open {
		w.txn.bytes += b.bytes
	}
	b.release()
}

// checkPlace holds the first key of each stream against the group's hasher: what
// was placed by another one does not meet what the group itself writes.
func (w *worker) checkPlace(p record.Partition, records []record.Record) {
	if w.placed[p.Topic] || records[0].Key == nil {
		return
	}
	w.placed[p.Topic] = true
	n := w.cfg.partitions[p.Topic]
	if want := w.cfg.plan.Hasher.Partition(records[0].Key, max(n, 1)); n > 1 && want != p.Partition {
		w.do(doWarnPlace{p, string(records[0].Key), want})
	}
}

// open begins a transaction, or lets the task take part in the open one.
func (w *worker) open(h *held) {
	if !w.txn.open {
		w.txn = transaction{open: true, started: w.now, tasks: w.txn.tasks[:0]}
	}
	if !h.inTxn {
		h.inTxn = true
		w.txn.tasks = append(w.txn.tasks, h)
	}
}

func (w *worker) emit(outs []task.Out) {
	for i := range outs {
		o := &outs[i]
		w.out = kafka.Out{
			Topic: o.Topic, Partition: w.place(o.Topic, o.Key),
			Key: o.Key, Value: o.Value, Headers: o.Headers, Timestamp: o.Timestamp,
		}
		w.cfg.produce(&w.out)
		w.txn.emitted += int64(len(o.Key) + len(o.Value))
	}
	w.txn.emits += int64(len(outs))
}

// place returns the partition of a key in an output.
func (w *worker) place(topic string, key []byte) int32 {
	if w.placing.topic != topic {
		w.placing.topic, w.placing.n = topic, w.cfg.partitions[topic]
	}
	if w.placing.n <= 1 {
		return 0
	}
	return w.cfg.plan.Hasher.Partition(key, w.placing.n)
}

// failTask notes that the task cannot go on. The open transaction is aborted: the
// other tasks' part of it is done again.
func (w *worker) failTask(h *held, err error) {
	if w.txn.failed == nil {
		w.txn.failed = map[int32]error{}
	}
	w.txn.failed[h.partition] = err
	if w.txn.open {
		w.abort(AbortTask)
		return
	}
	w.settleFailed()
}

// settleFailed gives up the tasks that have failed.
func (w *worker) settleFailed() {
	for _, p := range w.order {
		err, failed := w.txn.failed[p]
		if !failed {
			continue
		}
		h := w.task(p)
		w.letGo(h, true)
		h.phase, h.err = Failed, err
		w.do(doTaskFailed{p, err})
	}
	w.txn.failed = nil
}

// visit is a visitor's run over all keys of the tasks that were running when it
// was asked for.
type visit struct {
	evVisit
	at, committed visitCursor
}

type visitCursor struct {
	parts []int32 // still to visit; the first is under way
	after []byte  // last key visited of parts[0]
	keys  int64
}

func (w *worker) startVisit(e evVisit) {
	v := &visit{evVisit: e}
	for _, p := range w.order {
		if w.task(p).core != nil {
			v.at.parts = append(v.at.parts, p)
		}
	}
	v.committed = v.at
	w.visits = append(w.visits, v)
}

// visitSlice visits some keys. It returns false where the worker cannot go on to
// records in this step.
func (w *worker) visitSlice() bool {
	v := w.visits[0]
	if len(v.at.parts) == 0 {
		if !w.txn.open {
			w.endVisit(nil)
			return true
		}
		w.txn.ending = true // ends with the commit
		return false
	}
	h := w.task(v.at.parts[0])
	if h == nil || h.core == nil {
		w.endVisit(ErrVisitAborted)
		return true
	}
	keys, err := h.core.Keys(context.Background(), v.at.after, sliceRecords)
	if err != nil {
		w.failTask(h, err)
		return false
	}
	if len(keys) == 0 {
		v.at = visitCursor{parts: v.at.parts[1:], keys: v.at.keys}
		return true
	}
	w.open(h)
	for _, key := range keys {
		fx, err := h.core.Visit(v.plan, key, v.meta, w.now.UnixMilli())
		if err != nil {
			w.failTask(h, err)
			return false
		}
		w.emit(fx.Emits)
		v.at.after, v.at.keys = key, v.at.keys+1
	}
	w.countDirty(h)
	return true
}

func (w *worker) endVisit(err error) {
	v := w.visits[0]
	w.visits = w.visits[1:]
	w.do(doCall{func() { v.done(v.committed.keys, err) }})
}

// visitsCommitted and visitsAborted keep the cursors with the transaction.
func (w *worker) visitsCommitted() {
	if len(w.visits) > 0 {
		v := w.visits[0]
		v.committed = v.at
		if len(v.at.parts) == 0 {
			w.endVisit(nil)
		}
	}
}

func (w *worker) visitsAborted() {
	if len(w.visits) > 0 {
		w.visits[0].at = w.visits[0].committed
	}
}

// inputError fails the task whose input cannot be read on.
func (w *worker) inputError(e evInputError) {
	h := w.task(e.part.Partition)
	if h == nil || h.core == nil || h.epoch != e.epoch {
		return
	}
	w.failTask(h, fmt.Errorf("task %s/%d: input %s: %w", w.cfg.plan.Group, h.partition, e.part, e.err))
}

// inputEnd sees to it that the task's positions are committed soon, even where they
// have not moved: others wait for the offsets of all partitions, and a run from the
// latest records on has to leave behind where it began.
func (w *worker) inputEnd(e evInputEnd) {
	h := w.task(e.part.Partition)
	if h == nil || h.core == nil || h.epoch != e.epoch {
		return
	}
	h.core.Settle()
	soon := w.now.Add(w.cfg.commitInterval - idleMove)
	if w.lastMoved.IsZero() || soon.Before(w.lastMoved) {
		w.lastMoved = soon
	}
}

// seeks returns where the task's inputs go on.
func (w *worker) seeks(h *held) []sources.Seek {
	var out []sources.Seek
	for _, p := range h.core.Positions() {
		if assigned(h.topics, p.Topic) {
			out = append(out, sources.Seek{Partition: p.Of(), Offset: p.Offset, Epoch: h.epoch, TopicID: p.TopicID})
		}
	}
	return out
}

func (w *worker) inputs(p int32) []record.Partition {
	out := make([]record.Partition, 0, len(w.cfg.plan.Inputs))
	for _, in := range w.cfg.plan.Inputs {
		out = append(out, record.Partition{Topic: in.Topic, Partition: p})
	}
	return out
}

// loops returns the committed position of the group's own loop in a task.
func (w *worker) loops(h *held) (record.Partition, int64, bool) {
	for _, in := range w.cfg.plan.Inputs {
		if in.Kind == topology.LoopInput {
			return record.Partition{Topic: in.Topic, Partition: h.partition}, h.core.Next(in.Topic), true
		}
	}
	return record.Partition{}, 0, false
}
