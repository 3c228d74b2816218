package views

import "sync"

// signal wakes all who wait for something to change. The zero value is ready.
type signal struct {
	mu sync.Mutex
	ch chan struct{} // nil where nobody waits; guarded by mu
}

// changed returns a channel that the next broadcast closes. Take it before
// looking at what may change.
func (s *signal) changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
