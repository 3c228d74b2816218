package sources

import (
	"context"
	"errors"
	"sync"

	"github.com/seed-73111be4/kappa/record"
)

// ErrEnd is the Fetched.Err of a partition that has come to its bound. It is no
// failure: all before the bound has been delivered, and nothing more will come of this
// Seek.
var ErrEnd = errors.New("the input has come to its end")

// Bounded is a source whose partitions have ends. A partition that has a bound
// delivers the records before it, at most up to the position of the bound, and then
// once an item whose error is ErrEnd; each Seek of it ends anew. What has no bound goes
// on for ever. The zero value is not usable: see Bound.
type Bounded struct {
	Source

	mu     sync.Mutex // guards what follows
	bounds map[record.Partition]int64
	parts  map[record.Partition]*reading
	ended  []Fetched          // to be polled
	wake   context.CancelFunc // ends the poll under way, nil where there is none
}

// reading is a partition since its last Seek.
type reading struct {
	seek  Seek
	next  int64
	ended bool
}

var _ Source = (*Bounded)(nil)

// Bound returns a source of what s has, which it owns from now on, with no bounds yet.
func Bound(s Source) *Bounded {
	return &Bounded{Source: s, bounds: map[record.Partition]int64{}, parts: map[record.Partition]*reading{}}
}

// Bound gives partitions ends: the first offset of each that is not delivered any more.
// A bound may be set while the partition is read; one that lies behind what has been
// delivered ends it where it is. A later bound takes the place of an earlier one, and a
// partition that has ended goes on then; an earlier one changes nothing. It may be
// called from any goroutine.
func (b *Bounded) Bound(bounds map[record.Partition]int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p, at := range bounds {
		if was, again := b.bounds[p]; again && at <= was {
			continue
		}
		b.bounds[p] = at
		r := b.parts[p]
		if r == nil {
			continue
		}
		if r.ended && r.next < at {
			b.again(r)
		}
		b.endIfThere(p, r, -1)
	}
}

// again lets a partition go on that has ended; mu is held.
func (b *Bounded) again(r *reading) {
	b.forget([]record.Partition{r.seek.Partition})
	r.seek.Offset, r.ended = r.next, false
	b.parts[r.seek.Partition] = r
	b.Source.Seek(r.seek)
}

// Seek starts partitions at exact offsets; one at or beyond its bound ends at once.
func (b *Bounded) Seek(seeks ...Seek) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(partitionsOf(seeks))
	b.Source.Seek(seeks...)
	for _, k := range seeks {
		r := &reading{seek: k, next: k.Offset}
		b.parts[k.Partition] = r
		b.endIfThere(k.Partition, r, -1)
	}
}

func partitionsOf(seeks []Seek) []record.Partition {
	parts := make([]record.Partition, len(seeks))
	for i, k := range seeks {
		parts[i] = k.Partition
	}
	return parts
}

// Stop ends the fetching of partitions.
func (b *Bounded) Stop(parts ...record.Partition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(parts)
	b.Source.Stop(parts...)
}

// forget drops what is known of partitions, their bounds excepted; mu is held.
func (b *Bounded) forget(parts []record.Partition) {
	for _, p := range parts {
		delete(b.parts, p)
		for i := len(b.ended) - 1; i >= 0; i-- {
			if b.ended[i].Partition == p {
				b.ended = append(b.ended[:i], b.ended[i+1:]...)
			}
		}
	}
}

// endIfThere ends a partition that has reached its bound, and reports whether it has;
// mu is held.
func (b *Bounded) endIfThere(p record.Partition, r *reading, high int64) bool {
	at, ok := b.bounds[p]
	if !ok || r.ended || r.next < at {
		return ok && r.ended
	}
	r.ended = true
	b.Source.Stop(p)
	b.ended = append(b.ended, Fetched{Partition: p, Epoch: r.seek.Epoch, Next: r.next, HighWatermark: high, Err: ErrEnd})
	if b.wake != nil {
		b.wake()
	}
	return true
}

// Poll returns what was fetched before the bounds, and which partitions have come to
// theirs.
func (b *Bounded) Poll(ctx context.Context) ([]Fetched, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if out := b.takeEnded(); len(out) > 0 {
			return out, nil
		}
		out, err := b.pollOnce(ctx)
		if len(out) > 0 || err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			return out, err
		}
	}
}

func (b *Bounded) takeEnded() []Fetched {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.ended
	b.ended = nil
	return out
}

// pollOnce polls the source until something comes, or a partition ends.
func (b *Bounded) pollOnce(ctx context.Context) ([]Fetched, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !b.arm(cancel) {
		return nil, nil
	}
	fetched, err := b.Source.Poll(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake = nil
	return b.cut(fetched), err
}

// arm says how to interrupt the poll; it reports whether one may begin.
func (b *Bounded) arm(cancel context.CancelFunc) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ended) > 0 {
		return false
	}
	b.wake = cancel
	return true
}

// cut drops what lies beyond the bounds, or belongs to partitions that have ended; mu
// is held.
func (b *Bounded) cut(fetched []Fetched) []Fetched {
	out := fetched[:0]
	for i := range fetched {
		f := &fetched[i]
		r := b.parts[f.Partition]
		if r == nil || r.seek.Epoch != f.Epoch || r.ended {
			f.Release() // of before a Seek, or beyond the bound
			continue
		}
		if f.Err == nil {
			if at, ok := b.bounds[f.Partition]; ok && f.Next >= at {
				f.trim(at)
			}
			r.next = max(r.next, f.Next)
		}
		out = append(out, *f)
		b.endIfThere(f.Partition, r, f.HighWatermark)
	}
	return out
}

// trim leaves what is before an offset.
func (f *Fetched) trim(at int64) {
	n := len(f.Records)
	for n > 0 && f.Records[n-1].Offset >= at {
		n--
	}
	f.Records, f.Next = f.Records[:n], at
}
