package topologytest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
	"github.com/seed-73111be4/kappa/topology/topologytest"
)

var (
	str = new(codec.String)
	num = new(codec.Int64)
)

func count(ctx goka.Context, _ any) {
	n, _ := ctx.Value().(int64)
	ctx.SetValue(n + 1)
}

func counter(more ...topology.Edge) *topology.Def {
	return topology.Group("counter", append(more, topology.Input("clicks", str, count), topology.Persist(num))...)
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// fakeTB notes what fails it.
type fakeTB struct {
	testing.TB
	failed string
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Fatal(args ...any) {
	if f.failed == "" {
		f.failed = fmt.Sprint(args...)
	}
}

func TestErrorsFailTheTest(t *testing.T) {
	for want, fn := range map[string]func(*topologytest.Driver){
		`no group reads "click"; they read clicks, counter-loop, users`: func(d *topologytest.Driver) { d.Send("click", "k", "v") },
		`no group joins "clicks"`:                  func(d *topologytest.Driver) { d.SetTable("clicks", "k", "v") },
		"use SendRecord for bytes as they are":     func(d *topologytest.Driver) { d.Send("clicks", "k", 3) },
		`no group emits to "x"; they emit to`:      func(d *topologytest.Driver) { d.Output("x") },
		"no group has a DeadLetter edge":           func(d *topologytest.Driver) { d.DeadLetters() },
		`no store "x", it has none`:                func(d *topologytest.Driver) { d.Store("x", "k") },
		`group counter has no store "y"`:           func(d *topologytest.Driver) { d.StoreKeys("y") },
		`no visitor "x", it has none`:              func(d *topologytest.Driver) { d.Visit("x", nil) },
		`no group "x", it has counter`:             func(d *topologytest.Driver) { d.App.Group("x").Table("k") },
		"there is no partition 7, the topics have": func(d *topologytest.Driver) { d.SendRecord(record.Record{Topic: "clicks", Partition: 7}) },
		"do not come to rest":                      func(d *topologytest.Driver) { d.Send("counter-loop", "k", "v") },
		"the record has no key":                    func(d *topologytest.Driver) { d.SendRecord(record.Record{Topic: "clicks"}) },
	} {
		tb := &fakeTB{TB: t}
		d := topologytest.New(tb, counter(topology.Join("users", str),
			topology.Loop(str, func(ctx goka.Context, msg any) { ctx.Loopback(ctx.Key(), msg) })))
		if fn(d); !strings.Contains(tb.failed, want) {
			t.Errorf("want a failure with %q, got %q", want, tb.failed)
		}
	}
}

func TestMistakesFailTheTest(t *testing.T) {
	tb := &fakeTB{TB: t}
	topologytest.New(tb, topology.Group("g", topology.Persist(nil)))
	same(t, "mistakes", strings.Count(tb.failed, "group \"g\""), 2)
	tb = &fakeTB{TB: t}
	topologytest.NewApp(tb, counter(), counter())
	if !strings.Contains(tb.failed, "has the same name") {
		t.Error(tb.failed)
	}
	var mistakes topology.Mistakes
	if _, err := topologytest.Open(topology.Group("g")); !errors.As(err, &mistakes) {
		t.Error(err)
	}
	if _, err := topologytest.Open(counter(), topologytest.Partitions(0)); err == nil {
		t.Error("a topic without partitions")
	}
}

func TestTryReturnsTheErrorAndSkipsTheRest(t *testing.T) {
	d := topologytest.New(t, counter())
	err := d.Try(func() {
		d.Send("clicks", "a", "v")
		d.Send("clicks", "a", 3)
		d.Send("clicks", "a", "v")
	})
	if err == nil {
		t.Error("no error")
	}
	same(t, "clicks", d.Table("a"), 1)
	if err := d.Try(func() { d.Send("clicks", "a", "v") }); err != nil {
		t.Error(err)
	}
	same(t, "clicks", d.Table("a"), 2)
}

func TestWithoutATestTheFirstErrorStays(t *testing.T) {
	d := open(counter())
	d.Send("nowhere", "a", "v")
	d.Send("clicks", "a", "v")
	same(t, "clicks", d.Table("a"), nil)
	if err := d.Err(); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Error(err)
	}
}

func TestAFailedRecordStopsTheGroupUntilItIsMended(t *testing.T) {
	broken := true
	d := topologytest.New(t, topology.Group("g", topology.Persist(num), topology.Input("in", str, func(ctx goka.Context, msg any) {
		if msg == "bad" && broken {
			ctx.Fail(errors.New("broken"))
		}
		count(ctx, msg)
	})))
	d.Send("in", "k", "good")
	var named *topologytest.RecordError
	err := d.Try(func() { d.Send("in", "k", "bad") })
	if !errors.As(err, &named) || named.Offset != 1 || named.Topic != "in" {
		t.Fatal(err)
	}
	if err := d.Try(func() { d.Send("in", "k", "good") }); err == nil || !strings.Contains(err.Error(), "group g has stopped") {
		t.Error(err)
	}
	d.Crash()
	if err := d.Try(d.Process); !errors.As(err, &named) || named.Offset != 1 {
		t.Errorf("a restart has passed the record over: %v", err)
	}
	broken = false
	d.Crash()
	d.Process()
	same(t, "count", d.Table("k"), 3)
	same(t, "counts", d.Counts(), record.Counts{3})
}

func TestKeysAreSpreadOverPartitionsByTheHasher(t *testing.T) {
	for _, h := range []record.Hasher{record.FNV1a, record.Murmur2} {
		partitions := map[string]int32{}
		d := topologytest.New(t, topology.Group("g", topology.WithHasher(h), topology.Persist(num), topology.Output("out", str),
			topology.Input("in", str, func(ctx goka.Context, msg any) {
				partitions[ctx.Key()] = ctx.Partition()
				count(ctx, msg)
				ctx.Emit("out", ctx.Key(), "v")
			})), topologytest.Partitions(4))
		var keys []string
		for i := range 20 {
			key := fmt.Sprintf("key-%02d", i)
			keys = append(keys, key)
			d.Send("in", key, "v")
			same(t, key, partitions[key], h.Partition([]byte(key), 4))
		}
		same(t, "keys", d.Keys(), keys)
		same(t, "counts", d.Counts().Sum(), 20)
		for _, m := range d.Output("out") {
			same(t, "partition of "+m.Key, m.Partition, h.Partition([]byte(m.Key), 4))
		}
	}
}

func TestUncommittedOutputIsNotSeen(t *testing.T) {
	d := topologytest.New(t, topology.Group("g", topology.Persist(num), topology.Output("out", str), topology.Loop(str, count),
		topology.Input("in", str, func(ctx goka.Context, msg any) {
			ctx.Emit("out", ctx.Key(), msg)
			ctx.Loopback("looped", msg)
		})), topologytest.ManualCommit())
	d.Send("in", "k", "v")
	same(t, "before", []any{len(d.Output("out")), d.Table("looped")}, []any{0, nil})
	d.Abort()
	d.Process()
	d.Commit()
	same(t, "after", []any{len(d.Output("out")), d.Table("looped")}, []any{1, 1})
	d.Abort()
	same(t, "the loop's effect, aborted", d.Table("looped"), nil)
	d.Process()
	same(t, "and processed again", d.Table("looped"), 1)
	same(t, "once", d.Counts(), record.Counts{2})
}

func TestADeferredCommitIsHeldUp(t *testing.T) {
	var release []func(error)
	d := topologytest.New(t, topology.Group("g", topology.Output("out", str), topology.Input("in", str, func(ctx goka.Context, msg any) {
		ctx.Emit("out", ctx.Key(), msg)
		if msg == "defer" {
			release = append(release, ctx.DeferCommit())
		}
	})))
	d.Send("in", "k", "defer")
	d.Send("in", "k", "v")
	same(t, "while it is deferred", len(d.Output("out")), 0)
	if err := d.Try(d.Commit); err == nil || !strings.Contains(err.Error(), "1 calls of DeferCommit") {
		t.Error(err)
	}
	release[0](nil)
	d.Commit()
	same(t, "released", len(d.Output("out")), 2)
	d.Send("in", "k", "defer")
	release[1](errors.New("lost"))
	if err := d.Try(d.Commit); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Error(err)
	}
	same(t, "released with an error", len(d.Output("out")), 0)
}

func TestMessagesAboveTheLimitAreRefused(t *testing.T) {
	d := topologytest.New(t, counter(topology.DeadLetter("dead"), topology.Output("out", str),
		topology.Input("big", str, func(ctx goka.Context, _ any) { ctx.Emit("out", "k", strings.Repeat("x", 5000)) })),
		topologytest.MaxMessageBytes("out", 1000))
	d.Send("big", "k", "v")
	letters := d.DeadLetters()
	if len(letters) != 1 || !strings.Contains(letters[0].Error, "out takes 1000") || letters[0].Group != "counter" || letters[0].Record.Topic != "big" {
		t.Errorf("%+v", letters)
	}
	same(t, "drained", len(d.DeadLetters()), 0)
}

func TestRecordsHaveTheirTimesHeadersAndTombstones(t *testing.T) {
	at := time.Date(2013, 1, 2, 3, 4, 5, 6e6, time.UTC)
	d := topologytest.New(t, topology.Group("g", topology.ProcessNil(), topology.Output("out", str), topology.Input("in", str, func(ctx goka.Context, msg any) {
		ctx.Emit("out", ctx.Key(), msg, goka.WithCtxEmitHeaders(ctx.Headers()))
	})), topologytest.StartTime(at))
	d.Send("in", "a", nil, topologytest.Header("h", "1"))
	d.AdvanceTime(time.Hour)
	d.SendRecord(record.Record{Topic: "in", Key: []byte("b"), Value: []byte("v")})
	d.SendRecord(record.Record{Topic: "in", Value: []byte("v"), Timestamp: 7})
	out := d.Output("out")
	same(t, "messages", len(out), 3)
	same(t, "a tombstone", []any{out[0].Value, out[0].Timestamp, string(out[0].Headers["h"])}, []any{nil, at, 1})
	same(t, "an hour later", []any{out[1].Value, out[1].Timestamp}, []any{"v", at.Add(time.Hour)})
	same(t, "without a key", []any{out[2].Key, out[2].Timestamp.UnixMilli()}, []any{"", 7})
}

// chain is two groups: the second joins the table of the first and looks up its
// counts, and both take part in a circle that ends.
func chain() []*topology.Def {
	first := topology.Group("first", topology.Persist(num), topology.Output("mid", str), topology.Input("back", str, count),
		topology.Input("in", str, func(ctx goka.Context, msg any) {
			count(ctx, msg)
			ctx.Emit("mid", ctx.Key(), msg)
		}))
	second := topology.Group("second", topology.Persist(str), topology.Join("first-table", num), topology.Lookup("airlines", str),
		topology.Output("back", str), topology.Store("seen", num),
		topology.Input("mid", str, func(ctx goka.Context, msg any) {
			ctx.SetValue(fmt.Sprint(ctx.Join("first-table"), " ", ctx.Lookup("airlines", msg.(string))))
			processors.FromContext(ctx).Store("seen").Set(ctx.Key(), int64(1))
			ctx.Emit("back", ctx.Key()+"/back", msg)
		}))
	return []*topology.Def{second, first} // the order does not matter
}

func TestGroupsInAChain(t *testing.T) {
	a, err := topologytest.OpenApp(chain(), topologytest.ReportTo(t), topologytest.Partitions(3))
	if err != nil {
		t.Fatal(err)
	}
	a.SetTable("airlines", "UA", "United")
	a.Send("in", "ann", "UA")
	a.Send("in", "ann", "UA")
	a.Crash("second")
	a.Send("in", "bob", "XX")
	a.SetTable("airlines", "UA", nil)
	a.Send("in", "eve", "UA")
	second := a.Group("second")
	same(t, "keys", a.Group("first").Keys(), []string{"ann", "ann/back", "bob", "bob/back", "eve", "eve/back"})
	// The message is before the change of the table that was committed with it.
	same(t, "ann", second.Table("ann"), "1 United")
	same(t, "bob", second.Table("bob"), "<nil> <nil>")
	same(t, "deleted from the lookup", second.Table("eve"), "<nil> <nil>")
	same(t, "the store", second.StoreKeys("seen"), []string{"ann", "bob", "eve"})
	same(t, "the circle", a.Group("first").Table("ann/back"), 2)
	if err := a.Try(func() { a.SetTable("first-table", "ann", int64(7)) }); err == nil || !strings.Contains(err.Error(), "only it may write there") {
		t.Error(err)
	}
	same(t, "output", len(a.Output("mid")), 4)
}

func TestRestoredIsNeverCrashed(t *testing.T) {
	run := func(crash bool) string {
		a, err := topologytest.OpenApp(chain(), topologytest.ReportTo(t), topologytest.Partitions(2))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 60 {
			a.SetTable("airlines", fmt.Sprint("A", i%4), fmt.Sprint("name", i))
			a.Send("in", fmt.Sprint("k", i%7), fmt.Sprint("A", i%5))
			if crash && i%5 == 2 {
				a.Crash()
			}
		}
		var s strings.Builder
		for _, g := range []string{"first", "second"} {
			for _, key := range a.Group(g).Keys() {
				fmt.Fprintln(&s, g, key, a.Group(g).Table(key))
			}
			fmt.Fprintln(&s, g, a.Group(g).Counts())
		}
		fmt.Fprintln(&s, a.Output("mid"), a.Output("back"))
		return s.String()
	}
	same(t, "the end", run(true), run(false))
}
