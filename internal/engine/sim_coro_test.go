package engine

import (
	"context"
	"iter"
)

// coro is background work of a process that can pause in its middle: a restore, a
// store. It runs when the world lets it and at no other time.
type coro struct {
	p      *simProcess
	name   string
	weight *int
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	wait   func() bool // nil: ready
	killed bool        // the process has crashed
}

// spawn begins background work; fn runs from its first turn on.
func (p *simProcess) spawn(name string, weight *int, fn func(*coro)) *coro {
	c := &coro{p: p, name: name, weight: weight}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		fn(c)
	})
	p.coros = append(p.coros, c)
	return c
}

func (c *coro) offer(w *world) {
	if c.wait == nil || c.wait() {
		w.offer(c, *c.weight)
	}
}

func (c *coro) act(w *world) {
	c.wait = nil
	before := w.cur
	w.cur = c
	_, more := c.next()
	w.cur = before
	if !more {
		c.p.dropCoro(c)
	}
}

// pause gives the turn away until wait is true (nil: until the next turn). It
// returns false where the process has crashed.
func (c *coro) pause(wait func() bool) bool {
	if c.killed {
		return false
	}
	c.wait = wait
	if !c.yield(struct{}{}) {
		c.killed = true
	}
	return !c.killed
}

func (p *simProcess) dropCoro(c *coro) {
	for i := range p.coros {
		if p.coros[i] == c {
			p.coros = append(p.coros[:i], p.coros[i+1:]...)
			return
		}
	}
}

func (p *simProcess) stopCoros() {
	for _, c := range p.coros {
		c.killed = true
		before := p.w.cur
		p.w.cur = c
		c.stop()
		p.w.cur = before
	}
	p.coros = nil
}

// errKilled is what is left of work when its process crashes.
var errKilled = context.Canceled
