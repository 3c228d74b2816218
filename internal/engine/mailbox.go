package engine

import "sync"

// mailbox passes events to a worker's goroutine. It has no bound of its own:
// fetched records are bounded by back-pressure, the other events by the number of
// tasks. Its methods are safe for concurrent use.
type mailbox struct {
	mu     sync.Mutex
	events []event
	closed bool
	signal chan struct{} // holds one token while there may be events
}

func newMailbox() *mailbox { return &mailbox{signal: make(chan struct{}, 1)} }

// post adds an event. It returns false where the mailbox is closed: the event
// will never be taken.
func (m *mailbox) post(e event) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.events = append(m.events, e)
	select {
	case m.signal <- struct{}{}:
	default:
	}
	return true
}

// take removes the oldest event.
func (m *mailbox) take() (event, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.events) == 0 {
		return nil, false
	}
	e := m.events[0]
	m.events[0] = nil
	m.events = m.events[1:]
	if len(m.events) == 0 {
		m.events = nil
	}
	return e, true
}

// close refuses further events and returns those that were not taken.
func (m *mailbox) close() []event {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	rest := m.events
	m.events = nil
	return rest
}
