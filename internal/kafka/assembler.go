package kafka

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// maxHeld bounds the memory of transactions that are waited for. A single
// transaction, or a chain of overlapping ones, that has more bytes in one
// partition is handed on in parts.
const maxHeld = 256 << 20

// assembler puts transactions together again: it releases records in the order of
// the log, and only up to offsets at which no transaction is half seen.
//
// A transaction that the broker shows is decided, but its end may lie beyond the
// answer, or even beyond the last stable offset when another transaction is open.
// Its marker ends it; so does, for logs that lost the marker, a position at the
// high watermark as of when the last stable offset was reached, for the marker of
// a decided transaction is never beyond that.
type assembler struct {
	pos  int64           // next offset to ask for
	open map[int64]int64 // producers of half-seen transactions → offset that ends them, 0 unknown
	held []record.Record
	size int

	cut      int   // held[:cut] may be released …
	cutNext  int64 // … and this is the position then
	cutEpoch int32 // leader epoch of what lies right before cutNext, -1 where unknown
	given    int64 // position of the last release

	seen      int64 // offset after the last record seen, markers too …
	seenEpoch int32 // … and its leader epoch
}

func newAssembler(from int64) *assembler {
	return &assembler{pos: from, cutNext: from, cutEpoch: -1, given: from, open: make(map[int64]int64)}
}

// add takes over the records of an answer, its end, and the limits it named.
func (a *assembler) add(recs []*kgo.Record, next, lastStable, highWatermark int64) {
	if free := cap(a.held) - len(a.held); free < len(recs) {
		held := make([]record.Record, len(a.held), len(a.held)+len(recs))
		copy(held, a.held)
		a.held = held
	}
	for _, r := range recs {
		a.one(r)
		if len(a.open) == 0 {
			a.cutAt(a.seen)
		}
	}
	a.pos = max(a.pos, next)
	for pid, end := range a.open {
		if end == 0 && a.pos >= lastStable {
			end = max(highWatermark, 1)
			a.open[pid] = end
		}
		if end > 0 && a.pos >= end {
			delete(a.open, pid)
		}
	}
	if len(a.open) == 0 || a.size > maxHeld {
		a.cutAt(a.pos)
	}
}

// cutAt notes that all that is held may be released, with this position. A marker
// may be of a later leader than the records that it ends, so its epoch counts.
func (a *assembler) cutAt(next int64) {
	a.cut, a.cutNext, a.cutEpoch = len(a.held), next, -1
	if next == a.seen {
		a.cutEpoch = a.seenEpoch
	}
}

func (a *assembler) one(r *kgo.Record) {
	a.seen, a.seenEpoch = r.Offset+1, r.LeaderEpoch
	if r.Attrs.IsControl() {
		if endsTransaction(r.Key) {
			delete(a.open, r.ProducerID)
		}
		return
	}
	if r.Attrs.IsTransactional() {
		if _, ok := a.open[r.ProducerID]; !ok {
			a.open[r.ProducerID] = 0
		}
	}
	a.held = append(a.held, record.Record{
		Topic:       r.Topic,
		Partition:   r.Partition,
		LeaderEpoch: r.LeaderEpoch,
		Offset:      r.Offset,
		Timestamp:   r.Timestamp.UnixMilli(),
		Key:         r.Key,
		Value:       r.Value,
		Headers:     headersOf(r.Headers),
	})
	a.size += len(r.Key) + len(r.Value)
}

func headersOf(hs []kgo.RecordHeader) []record.Header {
	if len(hs) == 0 {
		return nil
	}
	out := make([]record.Header, len(hs))
	for i, h := range hs {
		out[i] = record.Header(h)
	}
	return out
}

// endsTransaction reports whether a control record's key is that of a commit or
// abort marker: a version and a type, two bytes each.
func endsTransaction(key []byte) bool {
	return len(key) >= 4 && binary.BigEndian.Uint16(key[2:]) <= 1
}

// take releases what can be released, if that is any progress.
func (a *assembler) take() (record.Batch, bool) {
	if a.cutNext <= a.given {
		return record.Batch{}, false
	}
	b := record.Batch{Records: a.held[:a.cut:a.cut], Next: a.cutNext, LeaderEpoch: a.cutEpoch}
	rest := a.held[a.cut:]
	a.held, a.size = nil, 0
	for i := range rest {
		a.held = append(a.held, rest[i])
		a.size += len(rest[i].Key) + len(rest[i].Value)
	}
	a.cut, a.given = 0, a.cutNext
	return b, true
}
