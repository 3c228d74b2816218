package tiered

import (
	"iter"
	"sync/atomic"

	"github.com/seed-73111be4/kappa/archive"
)

// pieceBytes is how much of a chunk is decoded at a time, at least a batch: what is
// decoded of it still lies in the processor's cache when it is stepped, and the memory
// of decoded records, twice that of the bytes and more, stays small beside the chunk.
const pieceBytes = 512 << 10

// piece is a run of whole batches of a chunk.
type piece struct {
	raw         []byte
	from, until int64
}

func whole(c *archive.Chunk) piece { return piece{c.Raw, c.From, c.Next.Offset} }

// pieces cuts a chunk. One with aborted transactions stays whole: who decodes a piece
// would have to be told of those alone that have records or their marker in it.
func pieces(c *archive.Chunk) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		p := piece{from: c.From}
		rest := c.Raw
		if len(c.Aborted) == 0 {
			for b, err := range archive.Batches(c.Raw) {
				if err != nil {
					break // who decodes it says so
				}
				size := len(p.raw) + len(b.Raw)
				if p.raw, p.until = rest[:size], b.LastOffset()+1; size < pieceBytes || len(rest) == size {
					continue
				}
				if rest = rest[size:]; !yield(p) {
					return
				}
				p = piece{from: p.until}
			}
		}
		p.raw, p.until = rest, c.Next.Offset
		yield(p)
	}
}

// shared is a chunk that several pieces alias; it is given back with the last of them.
type shared struct {
	chunk *archive.Chunk
	users atomic.Int32
}

// share returns a chunk with one user.
func share(c *archive.Chunk) *shared {
	s := &shared{chunk: c}
	s.users.Add(1)
	return s
}

// more adds a user.
func (s *shared) more() *shared {
	s.users.Add(1)
	return s
}

func (s *shared) release() {
	if s.users.Add(-1) == 0 {
		s.chunk.Release()
	}
}
