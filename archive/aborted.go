package archive

import (
	"cmp"
	"fmt"
	"slices"
)

// OpenEnd is the Last of a transaction whose marker comes after the segment.
const OpenEnd = -1

// AbortedTxn is an aborted transaction: the transactional batches of the producer from
// First to the marker at Last are to be left out. A broker's answer to a fetch has no
// Last: give OpenEnd, the archive finds the marker.
type AbortedTxn struct {
	ProducerID int64
	First      int64 // offset of the transaction's first record
	Last       int64 // offset of its marker, or OpenEnd
}

// txns follows the transactions through the batches of one segment.
type txns struct {
	open    []AbortedTxn    // aborted, their marker not seen yet
	closed  []AbortedTxn    // aborted, marker seen
	started map[int64]int64 // producer → its first data batch since its last marker
}

// learn takes what a fetch says about aborted transactions.
func (t *txns) learn(aborted []AbortedTxn) {
	for _, a := range aborted {
		if a.Last != OpenEnd {
			t.closed = append(t.closed, a)
		} else if !slices.Contains(t.open, a) && !t.knows(a) {
			t.open = append(t.open, a)
		}
	}
}

// knows reports whether the transaction has ended here already: a later fetch may
// mention it again.
func (t *txns) knows(a AbortedTxn) bool {
	return slices.ContainsFunc(t.closed, func(c AbortedTxn) bool {
		return c.ProducerID == a.ProducerID && c.First <= a.First && a.First <= c.Last
	})
}

// take follows one batch.
func (t *txns) take(b *Batch) error {
	if !b.Transactional() {
		return nil
	}
	if !b.Control() {
		if _, ok := t.started[b.ProducerID]; !ok {
			if t.started == nil {
				t.started = map[int64]int64{}
			}
			t.started[b.ProducerID] = b.BaseOffset
		}
		return nil
	}
	marker, err := b.Marker()
	if err != nil {
		return err
	}
	switch marker {
	case Abort:
		t.abort(b.ProducerID, b.BaseOffset)
	case Commit:
		if i := t.find(b.ProducerID, b.BaseOffset); i >= 0 {
			return fmt.Errorf("%w: producer %d commits at offset %d what aborted transactions have from %d on",
				ErrContradiction, b.ProducerID, b.BaseOffset, t.open[i].First)
		}
	}
	if marker != NoMarker {
		delete(t.started, b.ProducerID)
	}
	return nil
}

// find returns the open transaction of the producer that a marker at offset would end.
func (t *txns) find(producer, offset int64) int {
	return slices.IndexFunc(t.open, func(a AbortedTxn) bool { return a.ProducerID == producer && a.First <= offset })
}

// abort ends the producer's transaction at the marker's offset. Where it began is what
// the broker said; where the broker said nothing, the producer's first batch here.
func (t *txns) abort(producer, marker int64) {
	first, has := int64(0), false
	for i := t.find(producer, marker); i >= 0; i = t.find(producer, marker) {
		if !has || t.open[i].First < first {
			first, has = t.open[i].First, true
		}
		t.open = slices.Delete(t.open, i, i+1)
	}
	if !has {
		first, has = t.started[producer]
	}
	if has {
		t.closed = append(t.closed, AbortedTxn{ProducerID: producer, First: first, Last: marker})
	}
}

// in returns the aborted transactions of [start, end), each once.
func (t *txns) in(start, end int64) []AbortedTxn {
	all := slices.DeleteFunc(slices.Concat(t.closed, t.open), func(a AbortedTxn) bool {
		return a.First >= end || a.Last != OpenEnd && a.Last < start
	})
	for i := range all {
		if all[i].Last >= end {
			all[i].Last = OpenEnd // its marker is another segment's
		}
	}
	slices.SortFunc(all, func(a, b AbortedTxn) int {
		return cmp.Or(cmp.Compare(a.ProducerID, b.ProducerID), cmp.Compare(uint64(a.Last), uint64(b.Last)), cmp.Compare(a.First, b.First))
	})
	all = slices.CompactFunc(all, func(a, b AbortedTxn) bool { return a.ProducerID == b.ProducerID && a.Last == b.Last })
	slices.SortFunc(all, func(a, b AbortedTxn) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.ProducerID, b.ProducerID))
	})
	return all
}

// after returns the aborted transactions of a fetch that go on beyond the batches that
// are not taken: those whose marker is among them are over.
func after(aborted []AbortedTxn, skipped *Batch) []AbortedTxn {
	if marker, err := skipped.Marker(); err != nil || marker != Abort {
		return aborted
	}
	return slices.DeleteFunc(slices.Clone(aborted), func(a AbortedTxn) bool {
		return a.Last == OpenEnd && a.ProducerID == skipped.ProducerID && a.First <= skipped.BaseOffset
	})
}
