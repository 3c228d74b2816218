package archive

import (
	"context"
	"sync"
	"time"
)

// Budget bounds what readers take: the memory of what they have read ahead, and the
// bytes that they read in a second. Any number of readers may share one. It is safe for
// concurrent use.
type Budget struct {
	memory int64
	rate   int64
	now    func() time.Time

	mu    sync.Mutex // guards what follows
	used  int64
	freed chan struct{} // closed, and made anew, when memory is given back
	free  [][]byte      // buffers for the next ones to ask
	due   time.Time     // when the bytes that were granted are paid for by the rate
}

// BudgetConfig bounds readers. Zero means no bound.
type BudgetConfig struct {
	// MemoryBytes bounds what is held by all readers together. A reader that holds
	// nothing gets its next chunk nevertheless, so that none can starve another.
	MemoryBytes int64
	// BytesPerSecond bounds what is read from the bucket.
	BytesPerSecond int64
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// NewBudget returns a budget.
func NewBudget(c BudgetConfig) *Budget {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Budget{memory: c.MemoryBytes, rate: c.BytesPerSecond, now: c.Now, freed: make(chan struct{})}
}

// Used returns how many bytes are held now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// lease is one reader's share.
type lease struct {
	b    *Budget
	held int64 // guarded by b.mu
}

// take returns a buffer of n bytes once the budget has room for it.
func (l *lease) take(ctx context.Context, n int) ([]byte, error) {
	for {
		buf, wait := l.try(n)
		if buf != nil {
			return buf, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (l *lease) try(n int) ([]byte, <-chan struct{}) {
	b := l.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.memory > 0 && l.held > 0 && b.used+int64(n) > b.memory {
		return nil, b.freed
	}
	b.used += int64(n)
	l.held += int64(n)
	for i := len(b.free) - 1; i >= 0; i-- {
		if buf := b.free[i]; cap(buf) >= n && cap(buf) <= 2*n {
			b.free = append(b.free[:i], b.free[i+1:]...)
			return buf[:n], nil
		}
	}
	return make([]byte, n), nil
}

// maxFree bounds how many buffers are kept for later; they are beyond the budget.
const maxFree = 4

// give takes a buffer back.
func (l *lease) give(buf []byte) {
	if buf == nil {
		return
	}
	b := l.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= int64(len(buf))
	l.held -= int64(len(buf))
	if len(b.free) == maxFree {
		b.free = append(b.free[:0], b.free[1:]...)
	}
	b.free = append(b.free, buf)
	close(b.freed)
	b.freed = make(chan struct{})
}

// pay waits until n more bytes may be read.
func (b *Budget) pay(ctx context.Context, n int) error {
	wait := b.charge(n)
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// charge books n bytes and returns how long to wait for what was booked before.
func (b *Budget) charge(n int) time.Duration {
	if b.rate <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if b.due.Before(now) {
		b.due = now
	}
	wait := b.due.Sub(now)
	b.due = b.due.Add(time.Duration(float64(n) / float64(b.rate) * float64(time.Second)))
	return wait
}
