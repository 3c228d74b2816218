package archive

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/seed-73111be4/kappa/record"
)

// ReadConfig says what is read, and how far ahead.
type ReadConfig struct {
	// From is the first offset wanted; see also Archive.OffsetAfter.
	From int64
	// Until is the offset to end before. Default 0: the archive's end as of opening.
	Until int64
	// ChunkBytes is about how much one request reads and one Next returns. Default
	// 4 MiB. A batch larger than that is a chunk of its own.
	ChunkBytes int
	// Ahead is how many requests are under way at once. Default 4.
	Ahead int
	// Budget bounds memory and bandwidth together with other readers. Default: memory
	// for Ahead+1 chunks, any bandwidth.
	Budget *Budget
}

func (c ReadConfig) withDefaults(m *Manifest) ReadConfig {
	if c.Until <= 0 || c.Until > m.Next {
		c.Until = m.Next
	}
	if c.ChunkBytes <= 0 {
		c.ChunkBytes = 4 << 20
	}
	if c.Ahead <= 0 {
		c.Ahead = 4
	}
	if c.Budget == nil {
		c.Budget = NewBudget(BudgetConfig{MemoryBytes: int64(c.Ahead+1) * int64(c.ChunkBytes)})
	}
	return c
}

// Chunk is a run of whole batches, as the broker had them.
type Chunk struct {
	// Raw are the batches, verified. The first may begin below the wanted offset, the
	// last may end above Until: who decodes leaves those records out.
	Raw []byte
	// Aborted are the aborted transactions with batches in Raw, by first offset: what
	// a broker's answer to a read_committed fetch would name.
	Aborted []AbortedTxn
	// From is where the reader stood, Next where it stands now: the chunk answers for
	// all offsets between.
	From int64
	Next record.Position

	buf     []byte
	lease   *lease
	release *sync.Once
}

// Release gives the chunk's memory back; Raw is dead afterwards. It may be called from
// any goroutine, and more than once.
func (c *Chunk) Release() {
	if c.release == nil {
		return
	}
	c.release.Do(func() { c.lease.give(c.buf) })
}

// Reader reads a range of a log from the archive, in order, while it fetches ahead. It
// has one owner; Close waits for its goroutines.
type Reader struct {
	a     *Archive
	c     ReadConfig
	m     *Manifest
	next  int64
	lease *lease
	run   *prefetch
	wait  *fetched // taken from run, its result not seen yet
	err   error    // sticky
}

// Read opens a reader on the segments of a manifest. It does no I/O yet. A From outside
// of the archive is a RangeError, in a gap a GapError; From at the end is fine.
func (a *Archive) Read(m *Manifest, c ReadConfig) (*Reader, error) {
	if _, err := m.Find(c.From); err != nil {
		return nil, err
	}
	c = c.withDefaults(m)
	return &Reader{a: a, c: c, m: m, next: c.From, lease: &lease{b: c.Budget}}, nil
}

// Manifest returns the manifest that the reader reads by: a newer one than it was
// opened with, where segments were merged meanwhile.
func (r *Reader) Manifest() *Manifest { return r.m }

// Next returns the next chunk, io.EOF at the end of the range. Where ctx ends the first
// call nothing is lost: call again. Every other error is final and names what is wrong:
// CorruptError, GapError. It blocks while the budget is used up, so who holds chunks
// must be able to release them without it.
func (r *Reader) Next(ctx context.Context) (*Chunk, error) {
	for {
		c, err := r.nextOnce(ctx)
		if err == nil || r.err == nil { // a chunk, or the caller's context
			return c, err
		}
		if !errors.Is(err, ErrMissing) {
			return nil, err
		}
		if retry, moved := r.moveOn(ctx, err); !retry {
			return nil, moved
		}
	}
}

// nextOnce is Next for who reads these segments: one that is gone is an error.
func (r *Reader) nextOnce(ctx context.Context) (*Chunk, error) {
	if r.err != nil {
		return nil, r.err
	}
	if r.next >= r.c.Until {
		return nil, r.stop(io.EOF)
	}
	if r.run == nil {
		r.run = startPrefetch(r)
	}
	if r.wait == nil {
		select {
		case f, ok := <-r.run.ready:
			if !ok {
				return nil, r.stop(cmp.Or(r.run.err, io.EOF))
			}
			r.wait = f
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	select {
	case <-r.wait.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	f := r.wait
	r.wait = nil
	if f.err != nil {
		f.drop()
		return nil, r.stop(f.err)
	}
	r.next = f.chunk.Next.Offset
	return f.chunk, nil
}

// moveOn is what follows when a segment is gone: a newer manifest may say where its
// batches are now. It reports whether to go on.
func (r *Reader) moveOn(ctx context.Context, missing error) (bool, error) {
	m, err := r.a.Refresh(ctx, r.m)
	if err != nil {
		if ctx.Err() != nil {
			r.err = nil // the caller's context: the same happens at the next call
			return false, context.Cause(ctx)
		}
		return false, r.stop(err)
	}
	if m.Number == r.m.Number {
		return false, r.stop(missing)
	}
	if _, err := m.Find(r.next); err != nil {
		return false, r.stop(err)
	}
	r.m, r.err = m, nil
	return true, nil
}

// stop ends the prefetching and keeps the error.
func (r *Reader) stop(err error) error {
	r.err = err
	if r.run != nil {
		r.run.stop()
		r.run = nil
	}
	if r.wait != nil {
		<-r.wait.done
		r.wait.drop()
		r.wait = nil
	}
	return err
}

// Close ends the reader. Chunks that are not released stay valid until they are.
func (r *Reader) Close() { r.stop(errClosed) }

var errClosed = errors.New("the reader is closed")

// HasBatches reports whether the manifest's archive has batches with offsets from the
// given one on: it may answer for offsets beyond its last batch, where the cleaner had
// emptied them before they were archived.
func (a *Archive) HasBatches(ctx context.Context, m *Manifest, from int64) (bool, error) {
	if from >= m.Next {
		return false, nil
	}
	r, err := a.Read(m, ReadConfig{From: max(from, m.Start()), Ahead: 1})
	if err != nil {
		return false, err
	}
	defer r.Close()
	for {
		c, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		n := len(c.Raw)
		c.Release()
		if n > 0 {
			return true, nil
		}
	}
}
