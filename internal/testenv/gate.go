package testenv

import (
	"errors"
	"net"
	"sync"
)

// gate is a listener that can be shut, as if its process had died, and frozen, as if
// it had been stopped, while whoever accepts from it notices nothing.
type gate struct {
	network, address string

	mu     sync.Mutex   // guards all below
	change sync.Cond    // any change of them
	l      net.Listener // nil while shut
	conns  map[*gatedConn]struct{}
	frozen bool
	closed bool
}

func newGate(network, address string) (*gate, error) {
	g := &gate{network: network, address: address, conns: map[*gatedConn]struct{}{}}
	g.change.L = &g.mu
	return g, g.open()
}

// Accept waits for a connection while the gate is open and not frozen.
func (g *gate) Accept() (net.Conn, error) {
	for {
		l := g.awaitOpen()
		if l == nil {
			return nil, net.ErrClosed
		}
		conn, err := l.Accept()
		if c := g.admit(l, conn, err); c != nil {
			return c, nil
		}
	}
}

// awaitOpen returns the listener as soon as there is one, nil once g is closed.
func (g *gate) awaitOpen() net.Listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.closed && (g.l == nil || g.frozen) {
		g.change.Wait()
	}
	if g.closed {
		return nil
	}
	return g.l
}

// admit registers an accepted connection; nil where the gate was shut meanwhile.
func (g *gate) admit(l net.Listener, conn net.Conn, err error) *gatedConn {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		if g.l == l && !g.closed { // not our doing: shut until it is opened again
			g.l.Close()
			g.l = nil
		}
		return nil
	}
	if g.l != l || g.closed {
		conn.Close()
		return nil
	}
	c := &gatedConn{Conn: conn, gate: g}
	g.conns[c] = struct{}{}
	return c
}

// Addr returns the address that the gate has, open or shut.
func (g *gate) Addr() net.Addr {
	a, err := net.ResolveTCPAddr(g.network, g.address)
	if err != nil {
		return &net.TCPAddr{}
	}
	return a
}

// Close shuts the gate for good.
func (g *gate) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	return g.shut()
}

// shut closes the listener and all connections.
func (g *gate) shut() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var err error
	if g.l != nil {
		err = g.l.Close()
		g.l = nil
	}
	for c := range g.conns {
		c.Conn.Close() // its peer sees the end; an error says that it has seen it before
		delete(g.conns, c)
	}
	g.frozen = false
	g.change.Broadcast()
	return err
}

// open listens again; an open or closed gate is left alone.
func (g *gate) open() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.l != nil || g.closed {
		return nil
	}
	l, err := net.Listen(g.network, g.address)
	if err != nil {
		return err
	}
	g.l = l
	g.change.Broadcast()
	return nil
}

func (g *gate) freeze() error { return g.setFrozen(true) }
func (g *gate) thaw() error   { return g.setFrozen(false) }

func (g *gate) setFrozen(v bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v && g.l == nil {
		return errors.New("the node does not run")
	}
	g.frozen = v
	g.change.Broadcast()
	return nil
}

// gatedConn is a connection through a gate: while that is frozen, nothing passes.
type gatedConn struct {
	net.Conn
	gate *gate
}

// Read hands over what it has read once the gate is not frozen; what had been read
// when the gate was shut is lost.
func (c *gatedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.await() {
		return 0, net.ErrClosed
	}
	return n, err
}

// Write writes once the gate is not frozen.
func (c *gatedConn) Write(p []byte) (int, error) {
	if !c.await() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// Close closes the connection.
func (c *gatedConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.change.Broadcast()
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// await waits while the gate is frozen and reports whether the connection lives.
func (c *gatedConn) await() bool {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	for {
		_, lives := c.gate.conns[c]
		if !lives || !c.gate.frozen {
			return lives
		}
		c.gate.change.Wait()
	}
}
