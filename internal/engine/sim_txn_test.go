package engine

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// simTxnID is a transactional id as its coordinator knows it.
type simTxnID struct {
	name    string
	epoch   int
	state   txnState
	run     *simTxnRun // the transaction that is open or ending
	started time.Time
	ended   txnOutcome // of the last transaction
	todo    []*simLog  // without a marker yet; nil is the log of the group's offsets
}

type txnState uint8

const (
	txnIdle txnState = iota
	txnOngoing
	txnEnding // decided; markers are being written
)

// simTxnRun is one transaction.
type simTxnRun struct {
	id       *simTxnID
	outcome  txnOutcome
	logs     []*simLog
	offsets  []record.Position // pending
	withMark bool              // offsets were added
}

type txnOutcome uint8

const (
	txnOpen txnOutcome = iota
	txnCommitted
	txnAborted
)

var errBusy = errors.New("concurrent transactions")

func (b *simBroker) txnID(name string) *simTxnID {
	for _, id := range b.ids {
		if id.name == name {
			return id
		}
	}
	id := &simTxnID{name: name}
	b.ids = append(b.ids, id)
	return id
}

// init takes the id over: an open transaction is aborted first.
func (id *simTxnID) init(w *world) (epoch int, err error) {
	switch id.state {
	case txnOngoing:
		id.epoch++
		id.end(w, txnAborted)
		return 0, errBusy
	case txnEnding:
		return 0, errBusy
	}
	id.epoch++
	return id.epoch, nil
}

// begin checks an epoch and opens a transaction where none is.
func (id *simTxnID) begin(w *world, epoch int) error {
	switch {
	case epoch != id.epoch:
		return kerr.InvalidProducerEpoch
	case id.state == txnEnding:
		return errBusy
	case id.state == txnIdle:
		id.state, id.started, id.run = txnOngoing, w.now, &simTxnRun{id: id}
	}
	return nil
}

// produce appends records to a partition. A partition that is in the transaction
// already asks nobody, even where the transaction has been decided; before
// transaction.version 2 a client adds the partition first.
func (id *simTxnID) produce(w *world, epoch int, l *simLog, outs []kafka.Out) (base int64, err error) {
	if id.run != nil && (w.faults.transactions2 || id.state == txnOngoing) {
		if in := l.inTxn(id.run); in != nil && in.epoch == epoch {
			return id.write(l, outs), nil
		}
	}
	if err := id.begin(w, epoch); err != nil {
		return 0, err
	}
	if l.misled == (misled{id, epoch}) {
		return 0, kerr.OutOfOrderSequenceNumber
	}
	id.run.logs = append(id.run.logs, l)
	l.open = append(l.open, &txnIn{txn: id.run, epoch: epoch, first: l.end()})
	return id.write(l, outs), nil
}

func (id *simTxnID) write(l *simLog, outs []kafka.Out) int64 {
	base := l.end()
	for i := range outs {
		o := &outs[i]
		l.append(simEntry{txn: id.run, rec: cloneRecord(o.Key, o.Value, o.Headers, o.Timestamp)})
	}
	return base
}

// again answers a produce request that has been carried out before: nothing is
// written twice, nor after the transaction's end.
func (id *simTxnID) again(w *world, epoch int, l *simLog, base int64) (int64, error) {
	if id.run != nil {
		if in := l.inTxn(id.run); in != nil && in.epoch == epoch {
			return base, nil
		}
	}
	if !w.faults.transactions2 && epoch == id.epoch {
		l.misled = misled{id, epoch}
		return 0, kerr.InvalidTxnState
	}
	return 0, kerr.InvalidProducerEpoch
}

// addGroup announces the group's offsets, as it was before transaction.version 2.
func (id *simTxnID) addGroup(w *world, epoch int) error {
	if err := id.begin(w, epoch); err != nil {
		return err
	}
	id.run.withMark = true
	return nil
}

// addOffsets makes the group's offsets part of the transaction.
func (id *simTxnID) addOffsets(w *world, epoch int, f kafka.Fence, ps []record.Position) error {
	if !w.faults.transactions2 && epoch == id.epoch && (id.state != txnOngoing || !id.run.withMark) {
		return kerr.InvalidTxnState
	}
	if err := id.begin(w, epoch); err != nil {
		return err
	}
	if !w.mutant.noFence {
		if err := w.broker.group.validate(f); err != nil {
			return err
		}
	}
	id.run.withMark = true
	id.run.offsets = append(id.run.offsets, ps...)
	return nil
}

// endTxn decides the transaction. It returns the epoch of the next. Since
// transaction.version 2 the coordinator takes an end under the epoch before for one
// that it has been asked before, though it was its own: of a transaction that timed
// out, or stood in the way of an heir.
func (id *simTxnID) endTxn(w *world, epoch int, o txnOutcome) (int, error) {
	two := w.faults.transactions2
	switch {
	case epoch == id.epoch && id.state == txnOngoing:
		if two {
			id.epoch++
		}
		id.end(w, o)
		return id.epoch, nil
	case epoch == id.epoch && id.state == txnIdle && two && o == txnAborted:
		id.epoch++ // an empty transaction may be aborted
		return id.epoch, nil
	case epoch == id.epoch && !two, two && epoch == id.epoch-1 && id.state != txnOngoing: // asked again
		if id.ended == o {
			return id.epoch, nil
		}
		return 0, kerr.InvalidTxnState
	}
	return 0, kerr.InvalidProducerEpoch
}

func (id *simTxnID) end(w *world, o txnOutcome) {
	id.run.outcome, id.ended, id.state = o, o, txnEnding
	w.say("%s: %s", id.name, map[txnOutcome]string{txnCommitted: "commits", txnAborted: "aborts"}[o])
	id.todo = append(id.todo[:0], id.run.logs...)
	if id.run.withMark {
		id.todo = append(id.todo, nil)
	}
	if o == txnCommitted {
		w.checkCommit(id.run)
	}
	if len(id.todo) == 0 {
		id.complete()
	}
}

func (id *simTxnID) complete() { id.state, id.run = txnIdle, nil }

// act writes one of the markers that are missing.
func (id *simTxnID) act(w *world) {
	i := w.rng.IntN(len(id.todo))
	l := id.todo[i]
	id.todo = append(id.todo[:i], id.todo[i+1:]...)
	if l == nil {
		w.say("%s: marker of the offsets", id.name)
		if id.run.outcome == txnCommitted {
			for _, p := range id.run.offsets {
				w.broker.offsets[p.Of()] = p.Offset
			}
		}
	} else {
		l.close(id.run)
		w.say("%s: marker on %s at %d", id.name, l.part, l.end()-1)
	}
	if len(id.todo) == 0 {
		id.complete()
	}
}

// expire aborts a transaction that outlives its timeout, and its producer.
func (id *simTxnID) expire(w *world) {
	if id.state == txnOngoing && w.now.Sub(id.started) > w.faults.txnTimeout {
		w.say("%s: timed out", id.name)
		id.epoch++
		id.end(w, txnAborted)
	}
}

func (id *simTxnID) offer(w *world) {
	if id.state == txnOngoing {
		w.wake(id.started.Add(w.faults.txnTimeout + time.Millisecond))
	}
}

// wake is due for those that act by themselves.
func (w *world) wake(at time.Time) {
	if at.After(w.now) && (w.next.IsZero() || at.Before(w.next)) {
		w.next = at
	}
}

// unstable reports whether a decision on the task's offsets is pending.
func (b *simBroker) unstable(task int32) bool {
	for _, id := range b.ids {
		if id.run == nil {
			continue
		}
		for _, p := range id.run.offsets {
			if p.Partition == task {
				return true
			}
		}
	}
	return false
}
