package integration

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

var clusters testenv.Shared

// TestMain runs the tests, or a process that one of them has started. Tests wait
// more than they compute, so more of them run at a time than there are cores.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		flag.Set("test.parallel", "6")
	}
	os.Exit(clusters.Run(m))
}

// each runs f on every kind of cluster, beside other tests. It must leave the
// brokers alone.
func each(t *testing.T, f func(r *rig)) {
	t.Parallel()
	clusters.Each(t, func(t *testing.T, c *testenv.Cluster) {
		t.Parallel()
		f(newRig(t, c))
	})
}

// patience bounds every wait of a test.
const patience = 60 * time.Second

// rig is one test's world: a cluster, names of its own, and what runs on it.
type rig struct {
	t      *testing.T
	ctx    context.Context
	env    *testenv.Cluster
	k      *kafka.Cluster
	prefix string
}

func newRig(t *testing.T, c *testenv.Cluster) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	k, err := kafka.Open(ctx, kafka.Config{Brokers: c.Brokers(), Log: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return &rig{t: t, ctx: ctx, env: c, k: k, prefix: testenv.Name(t)}
}

// quiet logs what an operator should see, in the test's output.
func quiet(t *testing.T) *slog.Logger {
	level := slog.LevelWarn
	if os.Getenv("KAPPA_TEST_LOG") != "" {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
}

// name returns a topic or group name of this test's own.
func (r *rig) name(s string) string { return r.prefix + "-" + s }

func (r *rig) create(specs ...kafka.TopicSpec) {
	r.t.Helper()
	if _, err := r.k.CreateTopics(r.ctx, specs...); err != nil {
		r.t.Fatal(err)
	}
}

// topic creates an input or output.
func (r *rig) topic(s string, partitions int32) string {
	r.t.Helper()
	name := r.name(s)
	r.create(kafka.TopicSpec{Name: name, Partitions: partitions, Config: map[string]string{"retention.ms": "-1"}})
	return name
}

// emit writes records and waits until they are written.
func (r *rig) emit(rs ...record.Record) {
	r.t.Helper()
	e, err := r.k.NewEmitter(kafka.EmitterConfig{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer e.Close()
	for _, x := range rs {
		if x.Timestamp == 0 {
			x.Timestamp = 1_700_000_000_000
		}
		if err := e.Emit(r.ctx, x); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := e.Flush(r.ctx); err != nil {
		r.t.Fatal(err)
	}
}

// feed writes records little by little, so that crashes find work under way. The
// function that it returns writes what is left at once and waits until it is
// written.
func (r *rig) feed(rs []record.Record) (finish func()) {
	done, hurry := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		r.trickle(rs, hurry)
	}()
	finish = sync.OnceFunc(func() { close(hurry); <-done })
	r.t.Cleanup(finish)
	return finish
}

func (r *rig) trickle(rs []record.Record, hurry <-chan struct{}) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	e, err := r.k.NewEmitter(kafka.EmitterConfig{})
	if err != nil {
		r.t.Error(err)
		return
	}
	defer e.Close()
	for chunk := range slices.Chunk(rs, max(1, len(rs)/6000)) {
		for _, x := range chunk {
			x.Timestamp = 1_700_000_000_000
			if err = e.Emit(r.ctx, x); err != nil {
				r.t.Error(err)
				return
			}
		}
		select {
		case <-tick.C:
		case <-hurry:
		}
	}
	if err = e.Flush(r.ctx); err != nil {
		r.t.Error(err)
	}
}

// numbers returns n records with keys k0…k(keys-1) in turn.
func numbers(topic string, n, keys int) []record.Record {
	out := make([]record.Record, n)
	for i := range out {
		out[i] = record.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", i%keys), Value: strconv.AppendInt(nil, int64(i), 10)}
	}
	return out
}

// fast are the options of most tests.
func (r *rig) fast(dir string) engine.Options {
	return engine.Options{
		Cluster: r.k, App: "test", StateDir: dir, CommitInterval: 20 * time.Millisecond, Workers: 2,
		TransactionTimeout: 10 * time.Second, SessionTimeout: 4 * time.Second, Log: quiet(r.t),
		RebalanceTimeout: 10 * time.Second, // a member killed in a rebalance is waited for so long
	}
}

// start runs groups and leaves no engine behind when the test ends.
func (r *rig) start(o engine.Options, defs ...*topology.Def) *engine.Engine {
	r.t.Helper()
	e, err := r.tryStart(o, defs...)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) tryStart(o engine.Options, defs ...*topology.Def) (*engine.Engine, error) {
	plans, err := topology.Build(defs...)
	if err != nil {
		return nil, err
	}
	e, err := engine.Start(r.ctx, plans, o)
	if err != nil {
		return nil, err
	}
	r.t.Cleanup(e.Kill)
	r.t.Cleanup(func() { r.report(e) })
	return e, nil
}

// report shows where an engine stands when a test has failed.
func (r *rig) report(e *engine.Engine) {
	if !r.t.Failed() {
		return
	}
	r.t.Logf("ready: %v", e.Ready())
	for _, g := range e.Stats().Groups {
		r.t.Logf("%s: %d commits, aborts %v, %d rebuilds, %d restores, %d queued", g.Group, g.Commits, g.Aborts, g.Rebuilds, g.Restores, g.QueuedBytes)
		for _, t := range g.Tasks {
			r.t.Logf("task %d: %s %s, counts %v, lag %v", t.Partition, t.Phase, t.Error, t.Counts, t.Lag)
		}
	}
}

func (r *rig) stop(e *engine.Engine) {
	r.t.Helper()
	if err := e.Stop(r.ctx); err != nil {
		r.t.Fatal(err)
	}
	if err := e.Wait(); err != nil {
		r.t.Fatal(err)
	}
}

// read returns all committed records of a topic, partition by partition.
func (r *rig) read(topic string) []record.Record {
	r.t.Helper()
	topics, err := r.k.Topics(r.ctx, topic)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []record.Record
	for p := range topics[topic].Partitions {
		out = append(out, r.readPartition(record.Partition{Topic: topic, Partition: p})...)
	}
	return out
}

func (r *rig) readPartition(p record.Partition) []record.Record {
	r.t.Helper()
	ends, err := r.k.Ends(r.ctx, p)
	if err != nil {
		r.t.Fatal(err)
	}
	l := r.k.Open(p, ends.Start)
	defer l.Close()
	var out []record.Record
	for next := ends.Start; next < ends.HighWatermark; {
		b, err := l.Next(r.ctx)
		if err != nil {
			r.t.Fatalf("read %s at %d to %d: %v", p, next, ends.HighWatermark, err)
		}
		for i := range b.Records {
			out = append(out, b.Records[i].Clone())
		}
		next = b.Next
	}
	return out
}

// table folds a compacted topic.
func (r *rig) table(topic string) map[string]string {
	r.t.Helper()
	m := map[string]string{}
	for _, x := range r.read(topic) {
		if x.Tombstone() {
			delete(m, string(x.Key))
		} else {
			m[string(x.Key)] = string(x.Value)
		}
	}
	return m
}

// until polls cond until it holds.
func (r *rig) until(what string, cond func() bool) {
	r.t.Helper()
	if !r.within(patience, what, cond) {
		r.t.Fatalf("waited %v for %s", patience, what)
	}
}

// within polls cond for a while, and reports whether it came to hold.
func (r *rig) within(d time.Duration, what string, cond func() bool) bool {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		case <-r.ctx.Done():
			r.t.Fatalf("waiting for %s: %v", what, r.ctx.Err())
		}
	}
	return true
}

// processed waits until the engines together have committed n records of a group.
func (r *rig) processed(n int64, group string, es ...*engine.Engine) {
	r.t.Helper()
	var last record.Counts
	r.until(fmt.Sprintf("%d records of %s", n, group), func() bool {
		last = record.Counts{}
		for _, e := range es {
			last = last.Plus(counts(e, group))
		}
		return last.Sum() >= n
	})
	if last.Sum() != n {
		r.t.Fatalf("%s: %d records were counted, %d were written: %v", group, last.Sum(), n, last)
	}
}

// running waits until an engine runs n tasks of a group.
func (r *rig) running(e *engine.Engine, group string, n int) {
	r.t.Helper()
	r.until(fmt.Sprintf("%d tasks of %s", n, group), func() bool { return phases(e, group)[engine.Running] == n })
}

func phases(e *engine.Engine, group string) map[engine.TaskPhase]int {
	m := map[engine.TaskPhase]int{}
	for _, t := range stats(e, group).Tasks {
		m[t.Phase]++
	}
	return m
}

func counts(e *engine.Engine, group string) record.Counts {
	var c record.Counts
	for _, g := range e.Stats().Groups {
		if g.Group == group {
			for _, t := range g.Tasks {
				c = c.Plus(t.Counts)
			}
		}
	}
	return c
}

func stats(e *engine.Engine, group string) engine.GroupStats {
	for _, g := range e.Stats().Groups {
		if g.Group == group {
			return g
		}
	}
	return engine.GroupStats{}
}

func (r *rig) equal(what string, got, want map[string]string) {
	r.t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			r.t.Errorf("%s: %s is %q, want %q", what, k, got[k], want[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			r.t.Errorf("%s: unexpected %s = %q", what, k, got[k])
		}
	}
	r.t.FailNow()
}

// counting is the topology of most tests: a running count per key.
func counting(group, in string, more ...topology.Edge) *topology.Def {
	edges := []topology.Edge{
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Persist(new(gcodec.Int64)),
	}
	return topology.Group(goka.Group(group), append(edges, more...)...)
}

// countsOf is the naive fold of numbers.
func countsOf(n, keys int) map[string]string {
	m := map[string]string{}
	for i := range n {
		k := fmt.Sprintf("k%d", i%keys)
		c, _ := strconv.Atoi(m[k])
		m[k] = strconv.Itoa(c + 1)
	}
	return m
}
