package engine

import (
	"context"
	"sync"
)

// closers are the states being given up. Unlike a sync.WaitGroup they may grow while
// somebody waits: what was being written to disk when a drain began is given up when
// that is done. The zero value has none. It is safe for concurrent use.
type closers struct {
	mu   sync.Mutex // guards what follows
	n    int
	none chan struct{} // closed while n is 0; nil until the first
}

// Go runs f on a goroutine of its own.
func (c *closers) Go(f func()) {
	c.mu.Lock()
	if c.n == 0 {
		c.none = make(chan struct{})
	}
	c.n++
	c.mu.Unlock()
	go func() {
		defer c.done()
		f()
	}()
}

func (c *closers) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 {
		close(c.none)
	}
}

// wait returns when there is none, or ctx's error when that ends first.
func (c *closers) wait(ctx context.Context) error {
	c.mu.Lock()
	none := c.none
	c.mu.Unlock()
	if none == nil {
		return nil
	}
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
