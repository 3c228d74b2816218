package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/reset"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// resetting makes a reset of a group that does not run.
func (r *rig) resetting(o reset.Options) *reset.Plan {
	r.t.Helper()
	p, err := reset.Make(r.ctx, r.k, o)
	r.must(err)
	r.must(p.Apply(r.ctx))
	return p
}

// left lets the processes of a group that were stopped leave it.
func (r *rig) left(group string, es ...*engine.Engine) {
	r.t.Helper()
	for _, e := range es {
		r.must(r.k.Leave(r.ctx, group, e.Instance()))
	}
}

// quit stops an engine for good.
func (r *rig) quit(group string, e *engine.Engine) {
	r.t.Helper()
	r.stop(e)
	r.left(group, e)
}

// alias returns the table that readers of a group see.
func (r *rig) alias(group string) string {
	r.t.Helper()
	as, err := control.Read(r.ctx, r.k)
	r.must(err)
	return as[group].Table
}

// A reset is refused while the group has members, by name, and makes the group begin
// with nothing in a new generation afterwards.
func TestAResetGroupBeginsAnewBesideItsOldTable(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 600, 30
		in, group, dir := r.topic("in", 3), r.name("g"), r.t.TempDir()
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(dir), counting(group, in))
		r.processed(n, group, e)

		p, err := reset.Make(r.ctx, r.k, reset.Options{Group: group})
		r.must(err)
		var busy *reset.BusyError
		if err := p.Apply(r.ctx); !errors.As(err, &busy) || !strings.Contains(err.Error(), "kappa leave "+e.Instance()+" --group "+group) {
			t.Fatalf("reset of a running group: %v", err)
		}
		r.stop(e)
		if err := p.Apply(r.ctx); !errors.As(err, &busy) {
			t.Fatalf("reset of a group whose member has not left: %v", err)
		}
		r.left(group, e)
		p = r.resetting(reset.Options{Group: group})
		if p.Generation != 2 || p.OldTable != group+"-table" || p.Records() < n {
			t.Errorf("plan %+v", p)
		}
		if got := r.alias(group); got != group+"-table" {
			t.Errorf("readers see %s before the group has begun", got)
		}
		if n := len(r.read(p.Table)); n != 0 {
			t.Errorf("the new table begins with %d records", n)
		}

		e = r.start(r.fast(dir), counting(group, in))
		r.processed(n, group, e)
		if w := stats(e, group).Wipes; w != 3 {
			t.Errorf("%d of 3 local stores of the old generation were wiped", w)
		}
		r.emit(numbers(in, n, keys)...)
		r.processed(2*n, group, e)
		r.stop(e)
		r.equal("new table", r.table(p.Table), countsOf(2*n, keys))
		r.equal("old table", r.table(group+"-table"), countsOf(n, keys))
	})
}

// With kept state, what is processed again comes on top.
func TestAResetThatKeepsStateCountsAgainOnTop(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 600, 30
		in, group, dir := r.topic("in", 3), r.name("g"), r.t.TempDir()
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(dir), counting(group, in))
		r.processed(n, group, e)
		r.quit(group, e)
		to := map[record.Partition]int64{{Topic: in, Partition: 1}: 10}
		p := r.resetting(reset.Options{Group: group, Offsets: to, KeepState: true})
		var again int64
		for _, m := range p.Moves {
			if _, named := to[m.Partition]; !named && m.To != m.From {
				t.Errorf("%+v was not named", m)
			}
			again += m.From - m.To
		}
		e = r.start(r.fast(dir), counting(group, in))
		r.processed(n+again, group, e)
		if w := stats(e, group).Wipes; w != 0 {
			t.Errorf("%d stores were wiped", w)
		}
		r.stop(e)
		want := countsOf(n, keys)
		for _, x := range r.read(in) {
			if x.Partition == 1 && x.Offset >= 10 {
				want[string(x.Key)] = fmt.Sprint(number(want[string(x.Key)]) + 1)
			}
		}
		r.equal("table", r.table(group+"-table"), want)
	})
}

func number(s string) (n int) {
	fmt.Sscan(s, &n)
	return n
}

// Wherever a reset dies, the group goes on where it stood or has been reset, and nothing
// between; the next reset is as good as the first.
func TestAResetThatDiesIsMadeOrNot(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 300, 10
		in, group := r.topic("in", 2), r.name("g")
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(t.TempDir()), counting(group, in))
		r.processed(n, group, e)
		r.quit(group, e)
		stride, made := 1, false
		if r.env.Kind().Real() {
			stride = 3 // the same requests, and more time for each
		}
		for life := 1; !made; life += stride {
			before, number := r.committed(group, in), r.resetNumber(group)
			err := r.dyingReset(group, life)
			after := r.committed(group, in)
			switch made = r.resetNumber(group) > number; {
			case made && (after[0] != 0 || after[1] != 0):
				t.Fatalf("reset, but the group stands at %v (%v)", after, err)
			case !made && (!maps.Equal(after, before) || err == nil):
				t.Fatalf("dead after %d requests (%v), the group stands at %v and not at %v", life, err, after, before)
			}
		}
		e = r.start(r.fast(t.TempDir()), counting(group, in))
		r.processed(n, group, e)
		r.stop(e)
		r.equal("table", r.table(r.resetTable(group)), countsOf(n, keys))
	})
}

func (r *rig) resetNumber(group string) uint64 {
	r.t.Helper()
	if x := r.lastReset(group); x != nil {
		return x.Number
	}
	return 0
}

func (r *rig) resetTable(group string) string { return r.lastReset(group).Table }

func (r *rig) lastReset(group string) *control.Reset {
	r.t.Helper()
	s, err := control.ReadAll(r.ctx, r.k)
	r.must(err)
	return s.Resets[group]
}

// dyingReset makes a reset that is cut off, as by a crash, after some requests.
func (r *rig) dyingReset(group string, requests int) error {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	m := &mortal{life: int64(requests), die: cancel}
	k, err := kafka.Open(ctx, kafka.Config{Brokers: r.env.Brokers(), Log: quiet(r.t), Dial: m.dial})
	r.must(err)
	defer k.Close()
	p, err := reset.Make(ctx, k, reset.Options{Group: group})
	r.must(err)
	m.armed.Store(true)
	err = p.Apply(ctx)
	// What it has left open ends with the next reset, or after ten seconds.
	w, e := r.k.NewProducer(kafka.ProducerConfig{TransactionalID: group + ".reset"})
	r.must(e)
	defer w.Close()
	r.must(w.Init(r.ctx).Err)
	return err
}

// mortal are the connections of a process that dies once it has written often enough.
type mortal struct {
	armed, dead atomic.Bool
	written     atomic.Int64
	life        int64
	die         func()
}

var errDead = errors.New("the process is dead")

func (m *mortal) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if m.dead.Load() {
		return nil, errDead
	}
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &mortalConn{c, m}, err
}

type mortalConn struct {
	net.Conn
	m *mortal
}

func (c *mortalConn) Write(p []byte) (int, error) {
	if c.m.armed.Load() && c.m.written.Add(1) > c.m.life {
		c.m.dead.Store(true)
		c.m.die()
	}
	if c.m.dead.Load() {
		return 0, errDead
	}
	return c.Conn.Write(p)
}

// A process that has looked where the group stands before a reset, and joins after it,
// ends and says so; its successor runs in the new generation.
func TestAProcessThatStartsDuringAResetNoticesIt(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 300, 10
		in, group, dir := r.topic("in", 2), r.name("g"), r.t.TempDir()
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(dir), counting(group, in))
		r.processed(n, group, e)
		r.quit(group, e)
		o, names := r.fast(dir), r.tableTopic("names", 1)
		o.OpenLookup = func(ctx context.Context, table string, decode func([]byte) (any, error)) (engine.Lookup, error) {
			r.resetting(reset.Options{Group: group}) // comes after the look, before the join
			return r.lookups()(ctx, table, decode)
		}
		e = r.start(o, counting(group, in, topology.Lookup(goka.Table(names), new(gcodec.String))))
		if err := e.Wait(); !errors.Is(err, engine.ErrReset) {
			t.Fatalf("it ended with %v", err)
		}
		r.left(group, e)
		e = r.start(r.fast(dir), counting(group, in))
		r.processed(n, group, e)
		r.stop(e)
		r.equal("table", r.table(group+".g2-table"), countsOf(n, keys))
	})
}

// A process that joins while the reset is under way is seen before its end: the reset is
// not made, and the process goes on.
func TestAResetThatMeetsAMemberIsNotMade(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 300, 10
		in, group, dir := r.topic("in", 2), r.name("g"), r.t.TempDir()
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(dir), counting(group, in))
		r.processed(n, group, e)
		r.quit(group, e)
		p, err := reset.Make(r.ctx, r.k, reset.Options{Group: group, Clock: func() time.Time {
			e = r.start(r.fast(dir), counting(group, in)) // the reset has looked, and has written nothing yet
			r.running(e, group, 2)
			return time.Now()
		}})
		r.must(err)
		var busy *reset.BusyError
		if err := p.Apply(r.ctx); !errors.As(err, &busy) || !errors.Is(err, reset.ErrNotMade) {
			t.Fatalf("reset: %v", err)
		}
		if x := r.lastReset(group); x != nil {
			t.Fatalf("the reset was made: %+v", x)
		}
		r.emit(numbers(in, n, keys)...)
		r.processed(2*n, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(2*n, keys))
	})
}

// Of resets at the same time one is made, and the others say that they were not.
func TestOfResetsAtTheSameTimeOneIsMade(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 300, 10
		in, group := r.topic("in", 2), r.name("g")
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(t.TempDir()), counting(group, in))
		r.processed(n, group, e)
		r.quit(group, e)
		var plans []*reset.Plan
		for range 3 {
			p, err := reset.Make(r.ctx, r.k, reset.Options{Group: group})
			r.must(err)
			plans = append(plans, p)
		}
		errs := make(chan error, len(plans))
		for _, p := range plans {
			go func() { errs <- p.Apply(r.ctx) }()
		}
		made := 0
		for range 3 {
			switch err := <-errs; {
			case err == nil:
				made++
			case !errors.Is(err, reset.ErrMoved) && !errors.Is(err, reset.ErrNotMade):
				t.Errorf("one ended with %v", err)
			}
		}
		if x := r.lastReset(group); made != 1 || x == nil || x.Number != 1 {
			t.Fatalf("%d were made: %+v", made, x)
		}
		e = r.start(r.fast(t.TempDir()), counting(group, in))
		r.processed(n, group, e)
		r.stop(e)
		r.equal("table", r.table(r.resetTable(group)), countsOf(n, keys))
	})
}
