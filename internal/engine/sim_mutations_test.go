package engine

import (
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/state"
)

// mutation is a fault in the protocol. The zero value has none. Each is made in the
// worker's surroundings: in what it is told, and in what becomes of what it asks.
type mutation struct {
	name string

	noFence          bool // offsets are taken whatever the generation
	freshFence       bool // offsets carry the generation as of now, not as of the tasks
	hastyRevoke      bool // a revoke is acknowledged at once, and made after the next assignment
	ignoreLost       bool // the workers do not hear of lost tasks
	hastyBalance     bool // tasks are given away before their owners have let go
	restoreToStable  bool // a restore ends at the last stable offset
	earlyEnds        bool // the high watermarks are read before the assignment
	readUncommitted  bool
	storeEarly       bool // the store is written before the commit
	keepOld          bool // stores are used however old they are
	tornBatch        bool // a crash tears the last batch of a store
	keepOverlay      bool // an abort leaves the state as it is
	positionsOutside bool // positions are written outside of the transaction
	lateInit         bool // the producer is initialized after the restore
	offsetsFirst     bool // offsets before the flush
	keepFailed       bool // a failed callback's writes stay
	seekStays        bool // reading goes on where it is after an abort
	ignoreEpoch      bool // batches of an earlier life are taken
	unknownCommits   bool // an unknown outcome counts as a commit
	unknownAborts    bool // an unknown outcome counts as an abort
	staleIsFine      bool // a refused generation is passed over
	abortSkipped     bool // aborts are not sent
	failedFlush      bool // a failed flush counts as one that worked
	anyoneRestores   bool // a restore of a task that another worker has by now goes on
	missedIsFine     bool // a member that has missed a generation keeps its tasks
	commitAborts     bool // the client sends a commit as an abort and says that it was made
	newEpoch         bool // the client takes a new epoch amid a transaction, and goes on
	endless          bool // the workers do not hear that inputs end
	drop             bool // a lost batch: records are passed over
}

var mutations = []mutation{
	{name: "no generation in the commit", noFence: true},
	{name: "the generation is read again at the commit", freshFence: true},
	{name: "a revoke is acknowledged before the boundary and the fence renewed", hastyRevoke: true},
	{name: "lost tasks are kept", ignoreLost: true, freshFence: true},
	{name: "tasks are given away before they are let go", hastyBalance: true},
	{name: "a restore ends at the last stable offset", restoreToStable: true},
	{name: "high watermarks are read before the assignment", earlyEnds: true},
	{name: "uncommitted records are read", readUncommitted: true},
	{name: "the store is written before the commit", storeEarly: true},
	{name: "old stores are used", keepOld: true},
	{name: "a crash tears a batch of the store", tornBatch: true},
	{name: "the overlay is kept after an abort", keepOverlay: true},
	{name: "positions are written outside of the transaction", positionsOutside: true},
	{name: "the producer is initialized after the restore", lateInit: true},
	{name: "offsets are committed before the flush", offsetsFirst: true},
	{name: "writes of a failed callback are kept", keepFailed: true},
	{name: "inputs are not sought back after an abort", seekStays: true},
	{name: "batches of an earlier life are taken", ignoreEpoch: true},
	{name: "an unknown outcome counts as a commit", unknownCommits: true},
	{name: "an unknown outcome counts as an abort", unknownAborts: true},
	{name: "a stale generation is passed over", staleIsFine: true},
	{name: "aborts are not sent", abortSkipped: true},
	{name: "a failed flush is passed over", failedFlush: true},
	{name: "a worker restores what another has by now", anyoneRestores: true},
	{name: "a member that has missed a generation keeps its tasks", missedIsFine: true},
	{name: "a commit is sent as an abort", commitAborts: true},
	{name: "a transaction goes on under a new epoch", newEpoch: true},
	{name: "an input's end is passed over", endless: true},
	{name: "a record is lost on the way", drop: true},
}

// provoke makes more of what it takes to tell the mutation, where that is rare.
func (m *mutation) provoke(f *simFaults) {
	if m.missedIsFine {
		f.blows[blowLaggard] += 4
		f.blows[blowDisconnect] += 4
		f.strike = f.strike/2 + 1
	}
}

// event changes what a worker is told; nil: nothing.
func (m *mutation) event(r *simRunner, ev event) event {
	switch e := ev.(type) {
	case *evBatch:
		if h := r.worker.task(e.part.Partition); m.ignoreEpoch && h != nil && h.core != nil {
			e.epoch = h.epoch
		}
		if m.drop && len(e.records) > 1 && r.w.chance(10) {
			e.records = e.records[1:]
		}
		if m.keepFailed {
			m.keep(r, e)
		}
	case evEnded:
		if e.Outcome == kafka.Unknown && r.worker.await == awaitCommit && (m.unknownCommits || m.unknownAborts) {
			e.Outcome = kafka.OK
			if m.unknownAborts {
				e.Outcome = kafka.Aborted
			}
			r.client.reset()
			r.client.epoch = r.client.id.epoch
			return e
		}
		if m.keepOverlay && e.Outcome == kafka.OK && r.worker.await == awaitAbort {
			for _, h := range r.worker.txn.tasks {
				if h.core != nil {
					h.core.State().Table.Commit()
				}
			}
		}
	case evOffsets:
		if m.staleIsFine && e.Outcome == kafka.Stale {
			return evOffsets{}
		}
	case evInputEnd:
		if m.endless {
			return nil
		}
	case evFlushed:
		if m.failedFlush && e.Outcome == kafka.Aborted {
			r.client.failed = kafka.Result{}
			r.client.acked++
			return evFlushed{acks: r.client.acks()}
		}
	}
	return ev
}

// keep writes to the table what a failing callback would.
func (m *mutation) keep(r *simRunner, e *evBatch) {
	h := r.worker.task(e.part.Partition)
	if h == nil || h.core == nil || r.worker.txn.open || e.part.Topic != simIn {
		return
	}
	for i := range e.records {
		if string(e.records[i].Value) == "bad" {
			_ = h.core.State().Table.Set(state.TableKey(nil, e.records[i].Key), make([]byte, 8))
			h.core.State().Table.Commit()
		}
	}
}

// effect changes what becomes of what a worker asks; nil: nothing.
func (m *mutation) effect(r *simRunner, e effect) effect {
	switch d := e.(type) {
	case doInit:
		if m.lateInit && r.client.epoch == 0 && !r.ready {
			r.op = &simOp{effect: e, from: r.w.now.Add(time.Millisecond), begun: true, answer: evInit{}}
			return nil
		}
	case doOffsets:
		if m.freshFence {
			d.fence = kafka.Fence{Group: simPlan.Group, Member: r.p.member.id, Generation: r.p.member.generation, Instance: r.p.name}
			return d
		}
		if m.offsetsFirst {
			r.op = &simOp{effect: e, begun: true, answer: evOffsets{}}
			return nil
		}
	case doFlush:
		if c := r.client; m.newEpoch && c.acked > 0 && c.id.state == txnOngoing && c.epoch == c.id.epoch && r.w.chance(10) {
			c.id.epoch++
			c.id.end(r.w, txnAborted)
			c.epoch = c.id.epoch
		}
		if m.offsetsFirst && r.client.open {
			f := r.worker.fence
			if err := r.client.id.addOffsets(r.w, r.client.epoch, f, nil); err != nil {
				r.client.failed = judged(fateArrives, err, kafka.Aborted)
			}
			r.op = &simOp{effect: e, from: r.w.now.Add(r.w.between(0, r.w.faults.txnTimeout/2))} // a slow one
			return nil
		}
	case doEnd:
		if m.storeEarly && d.commit {
			m.storeNow(r)
		}
		if m.abortSkipped && !d.commit {
			r.client.reset()
			r.op = &simOp{effect: e, begun: true, answer: evEnded{}}
			return nil
		}
	}
	return e
}

// storeNow writes what is about to be committed to the store.
func (m *mutation) storeNow(r *simRunner) {
	r.worker.shareEnds()
	for _, h := range r.worker.txn.tasks {
		s := h.core.State()
		h.core.Commit(h.ends)
		f, err := s.BeginFlush()
		if err != nil || f == nil {
			continue
		}
		s.EndFlush(f, f.Run())
	}
}
