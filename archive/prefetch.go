package archive

import (
	"context"
	"sync"
)

// prefetch fetches the chunks of a reader: one goroutine plans, some read. What they
// read is handed on in the order of the plan.
type prefetch struct {
	a     *Archive
	c     ReadConfig
	m     *Manifest
	lease *lease
	ready chan *fetched // in order; closed at the end, err is set then
	err   error

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// fetched is a chunk to be, done when done is closed.
type fetched struct {
	done  chan struct{}
	chunk *Chunk
	err   error
}

// drop gives the memory of a chunk back that nobody has seen.
func (f *fetched) drop() {
	if f.chunk != nil {
		f.chunk.Release()
	}
}

// startPrefetch begins at the reader's position.
func startPrefetch(r *Reader) *prefetch {
	ctx, cancel := context.WithCancel(context.Background())
	p := &prefetch{a: r.a, c: r.c, m: r.m, lease: r.lease, cancel: cancel, ready: make(chan *fetched, r.c.Ahead-1)}
	p.wg.Add(1)
	from := r.next
	go func() {
		defer p.wg.Done()
		p.err = p.plan(ctx, from)
		close(p.ready)
	}()
	return p
}

// stop waits for all goroutines and gives back what they have read.
func (p *prefetch) stop() {
	p.cancel()
	for f := range p.ready {
		<-f.done
		f.drop()
	}
	p.wg.Wait()
}

// plan fetches segment by segment. A hole is an error at its place in the order.
func (p *prefetch) plan(ctx context.Context, from int64) error {
	for from < p.c.Until {
		i, err := p.m.Find(from)
		if err != nil {
			return err
		}
		s := p.m.Segments[i]
		if s.Bytes() <= int64(p.c.ChunkBytes) {
			err = p.small(ctx, s, from)
		} else {
			err = p.large(ctx, s, from)
		}
		if err != nil {
			return inSegment(err, s)
		}
		from = s.End
	}
	return nil
}

// small reads a segment with one request, footer and all.
func (p *prefetch) small(ctx context.Context, s Segment, from int64) error {
	return p.fetch(ctx, int(s.Bytes()), func(buf []byte) (*Chunk, error) {
		var f *Footer
		err := p.a.checked(ctx, s.Key(p.m.Log), 0, buf, func() (err error) {
			if f, err = footerOf(buf[s.DataBytes:], p.m.Log, s); err != nil {
				return inObject(err, "", s.DataBytes)
			}
			return checkBlocks(buf, f.Blocks)
		})
		if err != nil {
			return nil, inSegment(err, s)
		}
		return p.chunk(f, buf[:s.DataBytes], f.Blocks, from)
	})
}

// large reads the footer, then the blocks that are wanted.
func (p *prefetch) large(ctx context.Context, s Segment, from int64) error {
	f, err := p.a.Footer(ctx, p.m.Log, s)
	if err != nil {
		return err
	}
	blocks := f.Blocks[f.blockOf(from):]
	for len(blocks) > 0 && blocks[0].Base < p.c.Until {
		n, size := p.some(blocks)
		run, at := blocks[:n], from
		err := p.fetch(ctx, int(size), func(buf []byte) (*Chunk, error) {
			err := p.a.checked(ctx, s.Key(p.m.Log), run[0].At, buf, func() error { return checkBlocks(buf, run) })
			if err != nil {
				return nil, inSegment(err, s)
			}
			return p.chunk(f, buf, run, at)
		})
		if err != nil {
			return err
		}
		if blocks = blocks[n:]; len(blocks) > 0 {
			from = blocks[0].Base
		}
	}
	return nil
}

// some returns how many blocks make a chunk, and their size.
func (p *prefetch) some(blocks []Block) (n int, size int64) {
	for n < len(blocks) && blocks[n].Base < p.c.Until && (n == 0 || size+blocks[n].Bytes <= int64(p.c.ChunkBytes)) {
		size += blocks[n].Bytes
		n++
	}
	return n, size
}

// fetch starts a read of size bytes once the budget and the reads under way allow it.
func (p *prefetch) fetch(ctx context.Context, size int, read func(buf []byte) (*Chunk, error)) error {
	buf, err := p.lease.take(ctx, size)
	if err != nil {
		return err
	}
	f := &fetched{done: make(chan struct{})}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		defer close(f.done)
		if f.err = p.c.Budget.pay(ctx, size); f.err == nil {
			f.chunk, f.err = read(buf)
		}
		if f.err != nil {
			p.lease.give(buf)
			return
		}
		f.chunk.buf, f.chunk.lease, f.chunk.release = buf, p.lease, new(sync.Once)
	}()
	select {
	case p.ready <- f:
		return nil
	case <-ctx.Done():
		<-f.done
		f.drop()
		return context.Cause(ctx)
	}
}

// chunk makes a chunk of verified blocks: without the batches that lie before from or
// from Until on.
func (p *prefetch) chunk(f *Footer, data []byte, blocks []Block, from int64) (*Chunk, error) {
	next := f.Segment.End
	if last := blocks[len(blocks)-1]; last.At+last.Bytes < f.Segment.DataBytes {
		next = f.Blocks[f.blockOf(last.Base)+1].Base
	}
	lo, err := boundary(data, func(b *Batch) bool { return b.LastOffset() >= from })
	if err != nil {
		return nil, err
	}
	hi := len(data)
	if next > p.c.Until {
		if hi, err = boundary(data, func(b *Batch) bool { return b.BaseOffset >= p.c.Until }); err != nil {
			return nil, err
		}
	}
	next = min(next, p.c.Until)
	c := &Chunk{Raw: data[lo:max(lo, hi)], From: from, Next: p.m.Log.Position(next, f.epochAt(next))}
	if len(c.Raw) > 0 {
		// A transaction whose marker was left out must not be named: who decodes would
		// wait for the marker and drop what the producer has committed since.
		c.Aborted = f.abortedIn(headerOf(c.Raw).BaseOffset, next)
	}
	return c, nil
}

// boundary returns where the first batch begins that is meant, or the end.
func boundary(data []byte, meant func(*Batch) bool) (int, error) {
	at := 0
	for b, err := range Batches(data) {
		if err != nil {
			return 0, err
		}
		if meant(&b) {
			break
		}
		at += len(b.Raw)
	}
	return at, nil
}
