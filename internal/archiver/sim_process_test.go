package archiver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// simKind is what a request wants, and so how it can go wrong.
type simKind int

const (
	simKafka simKind = iota
	simGet
	simHead
	simList
	simPut
	simDelete
)

// simCall is a request under way: sent, then carried out or not, then answered or not.
type simCall struct {
	p     *simProcess
	kind  simKind
	what  string
	key   string // of an object that is put
	seq   int
	apply func() error
	done  chan struct{}
	err   error

	applied bool        // it was carried out; else a fault has taken its place
	fault   bool        // the answer is not the store's
	half    bool        // of the body
	carried bool        // there is an answer on its way
	left    bool        // nobody waits for the answer any more
	until   time.Time   // the network keeps it
	free    func() bool // or until this holds
	late    bool        // it was sent by a frozen process, so it has not left it
}

// held reports whether the request cannot move: its process is frozen.
func (c *simCall) held() bool { return c.p.frozen && (c.carried || c.late) }

// simProcess is an archiver, or a reader, of its own.
type simProcess struct {
	w      *simWorld
	id     int
	reads  bool
	random *rand.ChaCha8
	a      *Archiver
	ctx    context.Context
	stop   context.CancelFunc
	ended  chan struct{}
	orders chan simOrder // of the group
	owns   map[record.Partition]bool

	frozen  bool // guarded by w.mu, as is what follows
	dead    bool
	calls   int
	made    []byte // the last manifest
	madeKey string
}

// simOrder is what the group wants of a member.
type simOrder struct {
	p    record.Partition
	take bool
}

func (p *simProcess) String() string { return fmt.Sprintf("p%d", p.id) }

func (p *simProcess) over() bool { return p.ctx.Err() != nil }

func (w *simWorld) process() *simProcess {
	p := &simProcess{w: w, id: len(w.procs), ended: make(chan struct{}), orders: make(chan simOrder, 64), owns: map[record.Partition]bool{}}
	p.random = rand.NewChaCha8([32]byte{byte(w.seed), byte(w.seed >> 8), byte(w.seed >> 16), byte(p.id), byte(p.id >> 8)})
	p.ctx, p.stop = context.WithCancel(context.Background())
	w.procs = append(w.procs, p)
	return p
}

func (p *simProcess) archive() *archive.Archive {
	return archive.New(p.bucket(), archive.Config{
		Random: p.random, Tries: 3, Backoff: func(n int) time.Duration { return time.Duration(n) * 10 * time.Millisecond },
	})
}

// start starts an archiver, which the group gives something now and then.
func (w *simWorld) start() *simProcess {
	p := w.process()
	c := Config{
		Archive: p.archive(), Topics: Patterns{"*"}, SegmentBytes: 2000, SegmentAge: 30 * time.Millisecond, Jobs: 1,
		ScanEvery: 40 * time.Millisecond, TopicsEvery: 500 * time.Millisecond, TendEvery: 200 * time.Millisecond,
		Grace: simGrace, StopTimeout: 300 * time.Millisecond, AcceptGaps: true,
		Retention: []Retention{{Topics: Patterns{"short"}, Bytes: simRetention}},
	}
	if w.mutant.noGrace {
		c.Grace = time.Nanosecond
	}
	var err error
	if p.a, err = newArchiver(c, simBrokers{p}); err != nil {
		w.violation("a new archiver: %v", err)
	}
	w.note("%s starts", p)
	w.count("starts")
	go func() {
		defer close(p.ended)
		if err := p.a.Run(p.ctx); err != nil {
			w.violation("%s ended: %v", p, err)
		}
	}()
	for _, l := range w.logs {
		if w.chance(2) {
			p.give(l.part)
		}
	}
	return p
}

const (
	simGrace     = 3 * time.Second
	simDelay     = 10 * time.Second // at most, of what the network keeps
	simRetention = 4000             // bytes of each partition of topic "short"
)

// give gives the process a partition, whoever else has it: a group that is a step ahead
// of a member.
func (p *simProcess) give(part record.Partition) {
	if !p.owns[part] && len(p.orders) < cap(p.orders)/2 {
		p.owns[part] = true
		p.w.note("%s is given %s", p, part)
		p.orders <- simOrder{p: part}
	}
}

func (w *simWorld) rebalance(p *simProcess) {
	part := w.logs[w.rnd.IntN(len(w.logs))].part
	switch {
	case p.reads || p.over():
	case p.owns[part] && w.chance(2) && len(p.orders) < cap(p.orders)/2:
		p.owns[part] = false
		w.note("%s is taken from %s", part, p)
		w.count("partitions taken")
		p.orders <- simOrder{part, true}
	default:
		p.give(part)
	}
}

func (w *simWorld) freeze(p *simProcess) {
	if !p.over() && !p.frozen {
		w.setFrozen(p, true)
		w.note("%s sleeps", p)
		w.count("sleeps")
	}
}

func (w *simWorld) thaw(p *simProcess) {
	if p.frozen {
		w.setFrozen(p, false)
		w.note("%s wakes", p)
	}
}

func (w *simWorld) setFrozen(p *simProcess, frozen bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.frozen = frozen
	for _, c := range w.pending {
		if c.p == p && !frozen {
			c.late = false
		}
	}
}

// crash ends a process at once. What it has sent may still arrive.
func (w *simWorld) crash(p *simProcess) {
	w.mu.Lock()
	was := p.dead
	p.dead, p.frozen = true, false
	kept := w.pending[:0]
	for _, c := range w.pending {
		if c.p == p {
			c.err, c.carried = errSimDead, c.carried || c.late
			if !c.left {
				c.left = true
				close(c.done)
			}
			if c.carried { // answered, or never sent
				continue
			}
		}
		kept = append(kept, c)
	}
	w.pending = kept
	w.mu.Unlock()
	if !was {
		w.note("%s crashes", p)
		w.count("crashes")
	}
	p.stop()
}

// call sends a request and waits for its answer.
func (p *simProcess) call(ctx context.Context, kind simKind, what string, apply func() error) error {
	_, err := p.calling(ctx, kind, what, apply)
	return err
}

func (p *simProcess) calling(ctx context.Context, kind simKind, what string, apply func() error) (*simCall, error) {
	return p.send(ctx, &simCall{p: p, kind: kind, what: what, apply: apply, done: make(chan struct{})})
}

func (p *simProcess) send(ctx context.Context, c *simCall) (*simCall, error) {
	if p.isDead() {
		return c, errSimDead
	}
	if ctx.Err() != nil {
		return c, context.Cause(ctx)
	}
	p.w.add(c)
	select {
	case <-c.done:
		return c, c.err
	case <-ctx.Done():
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		c.left = true
		return c, context.Cause(ctx)
	}
}

func (p *simProcess) isDead() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.dead
}

// move brings a request a step further: it is carried out, or a fault takes its place;
// then it is answered.
func (w *simWorld) move(c *simCall) {
	if w.keep(c) {
		return
	}
	if !c.carried {
		w.carry(c)
		if !c.left {
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = slices.DeleteFunc(w.pending, func(x *simCall) bool { return x == c })
	if !c.left {
		w.note("%s: %s is answered", c.p, c.what)
		close(c.done)
	}
}

// keep lets the network keep a request for a while.
func (w *simWorld) keep(c *simCall) bool {
	if c.carried || c.kind != simPut || w.quiet || c.free != nil || !c.until.IsZero() || !w.chance(12) {
		return false
	}
	w.note("%s: %s is kept by the network", c.p, c.what)
	w.count("requests that come late")
	n, manifest := manifestOf(c.key)
	if h := w.historyOf(c.key); manifest && n > 1 && w.zombies() {
		c.free = func() bool {
			_, there := h.sums[n]
			return w.quiet || !there && h.newest != nil && h.newest.Number > n
		}
		return true
	}
	c.until = time.Now().Add(time.Duration(w.rnd.Int64N(int64(simDelay))))
	return true
}

// carry lets a request reach the store or Kafka, or not.
func (w *simWorld) carry(c *simCall) {
	fate := 100
	if !w.quiet {
		fate = w.rnd.IntN(100)
	}
	c.carried = true
	switch {
	case fate < 4 && c.kind == simKafka:
		c.err, c.fault = fmt.Errorf("a broker: %w", errSimLost), true
	case fate < 6 && c.kind != simKafka:
		c.err, c.fault = simRefusals[w.rnd.IntN(len(simRefusals))], true
		if c.kind != simPut && errors.Is(c.err, errSimRefused) {
			c.err = simRefusals[0]
		}
	case c.left && c.kind < simPut:
		c.err, c.fault = errSimLost, true // an answer for nobody: what it would be written to is in other hands
	default:
		c.applied = true
		c.err = c.apply()
		if fate < 10 && c.kind >= simPut {
			c.err, c.fault = errSimLost, true
		}
		c.half = fate < 10 && c.kind == simGet
	}
	if c.fault || c.half {
		w.count("faults")
	}
	w.note("%s: %s: applied %v, half %v, %v", c.p, c.what, c.applied, c.half, c.err)
}

// simMember is the place of a process in the group.
type simMember struct {
	p    *simProcess
	once sync.Once
	quit chan struct{}
	gone chan struct{}
}

func (k simBrokers) join(_ context.Context, _ kafka.ShareConfig, l kafka.ShareListener) (membership, error) {
	m := &simMember{p: k.p, quit: make(chan struct{}), gone: make(chan struct{})}
	go m.follow(l)
	return m, nil
}

// follow carries out the group's orders, one after the other.
func (m *simMember) follow(l kafka.ShareListener) {
	defer close(m.gone)
	for {
		select {
		case <-m.quit:
			return
		default:
		}
		select {
		case <-m.quit:
			return
		case o := <-m.p.orders:
			if o.take {
				l.Taken(m.p.ctx, []record.Partition{o.p})
			} else {
				l.Given([]record.Partition{o.p})
			}
		}
	}
}

func (m *simMember) Follow([]string) {}

func (m *simMember) Close(context.Context) {
	m.once.Do(func() { close(m.quit) })
	<-m.gone
}

func (m *simMember) Commit(ctx context.Context, offsets map[record.Partition]int64) error {
	return m.p.call(ctx, simKafka, fmt.Sprint("commit ", offsets), func() error {
		for part, offset := range offsets {
			m.p.w.committed(part, offset)
		}
		return nil
	})
}
