package engine

import (
	"bytes"
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// simLog is one partition. An entry's offset is its index.
type simLog struct {
	b       *simBroker
	part    record.Partition
	entries []simEntry
	start   int64    // what lies before has been deleted
	high    int64    // high watermark: what is replicated
	open    []*txnIn // transactions without a marker here, by first offset
	misled  misled   // before transaction.version 2
}

// misled is an epoch whose records came again after their transaction's end: the
// partition takes what follows for out of order.
type misled struct {
	id    *simTxnID
	epoch int
}

type simEntry struct {
	txn     *simTxnRun // nil: not transactional
	control bool
	gone    bool      // compacted
	cleaned time.Time // of a deletion: when it was first passed over by a compaction
	rec     record.Record
}

// txnIn is a transaction's part in one partition.
type txnIn struct {
	txn   *simTxnRun
	epoch int
	first int64
}

func (l *simLog) end() int64 { return int64(len(l.entries)) }

// stable is the last stable offset.
func (l *simLog) stable() int64 {
	if len(l.open) > 0 {
		return min(l.high, l.open[0].first)
	}
	return l.high
}

// holds reports whether an offset can be read from, now or when there is more.
func (l *simLog) holds(offset int64) bool { return offset >= l.start && offset <= l.end() }

// append adds an entry; it may be replicated at once or later.
func (l *simLog) append(e simEntry) int64 {
	at := l.end()
	e.rec.Topic, e.rec.Partition, e.rec.Offset, e.rec.LeaderEpoch = l.part.Topic, l.part.Partition, at, 0
	l.entries = append(l.entries, e)
	if !l.b.w.chance(l.b.w.faults.lag) {
		l.high = l.end()
	}
	return at
}

// act replicates what is not replicated.
func (l *simLog) act(w *world) {
	l.high = l.end()
	w.say("%s is replicated to %d", l.part, l.high)
}

func (l *simLog) inTxn(t *simTxnRun) *txnIn {
	for _, in := range l.open {
		if in.txn == t {
			return in
		}
	}
	return nil
}

// close writes a transaction's marker.
func (l *simLog) close(t *simTxnRun) {
	l.append(simEntry{txn: t, control: true})
	l.open = slices.DeleteFunc(l.open, func(in *txnIn) bool { return in.txn == t })
}

// read returns copies of at most max committed records from an offset on, and the
// next offset. A transaction's records come together.
func (l *simLog) read(from int64, most int) (out []record.Record, next int64) {
	stable := l.stable()
	if l.b.w.mutant.readUncommitted {
		stable = l.high
	}
	for next = from; next < stable && len(out) < most; next++ {
		e := &l.entries[next]
		if e.control || e.gone || (e.txn != nil && e.txn.outcome != txnCommitted && !l.b.w.mutant.readUncommitted) {
			continue
		}
		out = append(out, e.rec.Clone())
	}
	return out, next
}

// compact removes what later records of the same key have replaced, what was
// aborted, and deletions for which that is long ago.
func (l *simLog) compact(retention time.Duration) {
	last := map[string]int64{}
	for i := range l.stable() {
		if e := &l.entries[i]; e.committed() {
			last[string(e.rec.Key)] = i
		}
	}
	for i := range l.stable() {
		e := &l.entries[i]
		old := !e.cleaned.IsZero() && l.b.w.now.Sub(e.cleaned) > retention
		if e.rec.Value == nil && e.cleaned.IsZero() {
			e.cleaned = l.b.w.now
		}
		e.gone = e.gone || !e.control && (!e.committed() || last[string(e.rec.Key)] != i || old)
	}
	l.b.w.say("%s is compacted", l.part)
}

// committed reports whether an entry is a record whose transaction, if any, is
// decided to commit, with or without its marker.
func (e *simEntry) committed() bool {
	return !e.control && (e.txn == nil || e.txn.outcome == txnCommitted)
}

func cloneRecord(key, value []byte, headers []record.Header, ts int64) record.Record {
	r := record.Record{Key: bytes.Clone(key), Value: bytes.Clone(value), Headers: headers, Timestamp: ts}
	return r.Clone()
}
