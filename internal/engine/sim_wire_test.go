package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// wire is the network between one producer and its brokers. It understands so much
// of Kafka's protocol as it takes to lose one kind of request, or its answers: on
// kfake and on real Kafka alike, for the client only sees connections that break.
type wire struct {
	mu      sync.Mutex
	faults  map[kmsg.Key]string
	conns   map[*wireConn]bool
	refused int // dials that fail from now on
	kept    []keptRequest
}

// keptRequest is a request that arrives when it is told to.
type keptRequest struct {
	addr  string
	frame []byte
}

// wireKeys are the requests that a script names.
var wireKeys = map[string]kmsg.Key{
	"produce": kmsg.Produce, "add": kmsg.AddPartitionsToTxn, "group": kmsg.AddOffsetsToTxn,
	"offsets": kmsg.TxnOffsetCommit, "end": kmsg.EndTxn, "init": kmsg.InitProducerID,
}

// The faults of one kind of request.
const (
	faultDrop = "drop" // the next one never arrives
	faultAway = "away" // none arrives
	faultLose = "lose" // the next one's answer is lost
	faultMute = "mute" // every answer is lost
	faultHold = "hold" // the next one arrives late, those after it never
	faultEcho = "echo" // the next one arrives, and again late
)

func newWire() *wire {
	return &wire{faults: map[kmsg.Key]string{}, conns: map[*wireConn]bool{}}
}

func (w *wire) fault(what, request string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[wireKeys[request]] = what
}

// heal ends all faults.
func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.faults)
	w.refused = 0
}

// cut breaks every connection, and the next dial.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Conn.Close()
	}
	w.refused = 1
}

// deliver brings the requests that were kept to the brokers, and waits for answers.
func (w *wire) deliver() error {
	w.mu.Lock()
	kept := w.kept
	w.kept = nil
	w.mu.Unlock()
	for _, k := range kept {
		if err := k.deliver(); err != nil {
			return err
		}
	}
	return nil
}

func (k keptRequest) deliver() error {
	conn, err := net.Dial("tcp", k.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(k.frame); err != nil {
		return err
	}
	if _, err := readFrame(conn); err != nil && !errors.Is(err, io.EOF) { // a broker may hang up over it
		return err
	}
	return nil
}

func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused > 0 {
		w.refused--
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &wireConn{Conn: conn, w: w, addr: addr, deaf: map[uint32]bool{}}
	w.conns[c] = true
	return c, nil
}

// wireConn is a connection of whole frames.
type wireConn struct {
	net.Conn
	w    *wire
	addr string

	out []byte // a part of a request
	in  []byte // of an answer, not read yet

	mu   sync.Mutex
	deaf map[uint32]bool // requests, by their ids, whose answers are lost
}

func (c *wireConn) Close() error {
	c.w.mu.Lock()
	delete(c.w.conns, c)
	c.w.mu.Unlock()
	return c.Conn.Close()
}

// Write sends the whole requests that it has got.
func (c *wireConn) Write(b []byte) (int, error) {
	c.out = append(c.out, b...)
	for len(c.out) >= 12 {
		n := 4 + int(binary.BigEndian.Uint32(c.out))
		if len(c.out) < n {
			break
		}
		if !c.passes(c.out[:n]) {
			c.Conn.Close()
			return len(b), nil // it seemed to go well
		}
		if _, err := c.Conn.Write(c.out[:n]); err != nil {
			return 0, err
		}
		c.out = c.out[n:]
	}
	return len(b), nil
}

// passes says whether a request may go on, and notes what becomes of its answer.
func (c *wireConn) passes(frame []byte) bool {
	key := kmsg.Key(binary.BigEndian.Uint16(frame[4:]))
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	fault := w.faults[key]
	switch fault {
	case faultDrop, faultLose, faultEcho:
		delete(w.faults, key)
	case faultHold:
		w.faults[key] = faultAway
	}
	if fault == faultHold || fault == faultEcho {
		w.kept = append(w.kept, keptRequest{c.addr, append([]byte(nil), frame...)})
	}
	if fault == faultLose || fault == faultMute {
		c.mu.Lock()
		c.deaf[binary.BigEndian.Uint32(frame[8:])] = true
		c.mu.Unlock()
	}
	return fault != faultDrop && fault != faultAway && fault != faultHold
}

// Read hands on the answers, but for those that are lost with the connection.
func (c *wireConn) Read(b []byte) (int, error) {
	if len(c.in) == 0 {
		frame, err := readFrame(c.Conn)
		if err != nil {
			return 0, err
		}
		c.mu.Lock()
		lost := c.deaf[binary.BigEndian.Uint32(frame[4:])]
		c.mu.Unlock()
		if lost {
			c.Conn.Close()
			return 0, io.EOF
		}
		c.in = frame
	}
	n := copy(b, c.in)
	c.in = c.in[n:]
	return n, nil
}

// readFrame reads a whole answer, with its length.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 8)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, int(binary.BigEndian.Uint32(frame))-4)...)
	if _, err := io.ReadFull(r, frame[8:]); err != nil {
		return nil, err
	}
	return frame, nil
}
