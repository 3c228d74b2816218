package tiered

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// rawBatch is a batch's header and as many bytes of records.
func rawBatch(base int64, records int32, size int) []byte {
	b := make([]byte, archive.BatchHeaderSize+size)
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	binary.BigEndian.PutUint32(b[23:], uint32(records-1))
	binary.BigEndian.PutUint32(b[57:], uint32(records))
	return b
}

func TestPiecesAreWholeBatchesAndAllOfTheChunk(t *testing.T) {
	var raw []byte
	next := int64(100)
	for i := range 100 {
		size := 40_000
		if i == 50 {
			size = 2 * pieceBytes
		}
		raw = append(raw, rawBatch(next, 7, size)...)
		next += 9 // the cleaner has left holes
	}
	c := &archive.Chunk{Raw: raw, From: 103, Next: record.Position{Offset: 1200}}
	var joined []byte
	n, at := 0, int64(103)
	for p := range pieces(c) {
		if p.from != at || p.until <= p.from {
			t.Fatalf("piece %d is of [%d, %d), want it from %d on", n, p.from, p.until, at)
		}
		for b, err := range archive.Batches(p.raw) {
			if err != nil || b.LastOffset() >= p.until {
				t.Fatalf("piece %d up to %d: batch to %d, %v", n, p.until, b.LastOffset(), err)
			}
		}
		joined, at = append(joined, p.raw...), p.until
		n++
	}
	if !bytes.Equal(joined, raw) || at != 1200 || n != 8 {
		t.Errorf("%d pieces of %d of %d bytes, up to %d", n, len(joined), len(raw), at)
	}
	c.Aborted = []archive.AbortedTxn{{ProducerID: 1, First: 100}}
	n = 0
	for p := range pieces(c) {
		if n++; len(p.raw) != len(raw) || p.from != 103 || p.until != 1200 {
			t.Errorf("a piece with aborted transactions: %d bytes, [%d, %d)", len(p.raw), p.from, p.until)
		}
	}
	if n != 1 {
		t.Errorf("%d pieces of a chunk with aborted transactions", n)
	}
	for p := range pieces(&archive.Chunk{From: 5, Next: record.Position{Offset: 9}}) {
		if p.from != 5 || p.until != 9 || len(p.raw) != 0 {
			t.Errorf("an empty chunk: %+v", p)
		}
	}
}
