package task_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

var str = new(codec.String)

// input is an input of strings.
func input(cb goka.ProcessCallback) topology.Edge { return topology.Input("in", str, cb) }

func nothing(goka.Context, any) {}

func TestContextDescribesTheRecord(t *testing.T) {
	type key struct{}
	called := 0
	r := rigOf(t, context.WithValue(context.Background(), key{}, "mine"), input(func(ctx goka.Context, msg any) {
		called++
		same(t, "message", msg, "v")
		same(t, "Topic", ctx.Topic(), "in")
		same(t, "Key", ctx.Key(), "k")
		same(t, "Partition", ctx.Partition(), 0)
		same(t, "Offset", ctx.Offset(), 0)
		same(t, "Group", ctx.Group(), "g")
		same(t, "Timestamp", ctx.Timestamp(), time.UnixMilli(1001).UTC())
		same(t, "Context", ctx.Context().Value(key{}), "mine")
		same(t, "Record", string(processors.FromContext(ctx).Record().Value), "v")
	}))
	r.step("in", "k", "v")
	same(t, "calls", called, 1)
}

func rigOf(t testing.TB, ctx context.Context, edges ...topology.Edge) *rig {
	r := newRig(t, edges...)
	r.ctx = ctx
	r.restore()
	return r
}

func TestARecordWithoutTimestampHasTheZeroTime(t *testing.T) {
	r := newRig(t, input(func(ctx goka.Context, _ any) {
		if !ctx.Timestamp().IsZero() {
			t.Errorf("Timestamp is %v", ctx.Timestamp())
		}
	}))
	rec := r.input("in", "k", "v")
	rec.Timestamp = -1
	if _, err := r.task.Step("in", rec); err != nil {
		t.Fatal(err)
	}
}

func TestHeadersAreTheRecordsAndTheCallersToChange(t *testing.T) {
	headers := []record.Header{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2")}, {Key: "a", Value: []byte("3")}}
	r := newRig(t, input(func(ctx goka.Context, _ any) {
		h := ctx.Headers()
		same(t, "headers", h, goka.Headers{"a": []byte("3"), "b": []byte("2")})
		h["a"][0] = 'x'
		same(t, "the record's", string(processors.FromContext(ctx).Record().Headers[2].Value), "3")
	}))
	r.step("in", "k", "v", headers...)
	r2 := newRig(t, input(func(ctx goka.Context, _ any) {
		if h := ctx.Headers(); h == nil || len(h) != 0 {
			t.Errorf("headers of a record without any: %v", h)
		}
	}))
	r2.step("in", "k", "v")
}

func TestValueIsWhatTheCallbackHasSet(t *testing.T) {
	r := newRig(t, topology.Persist(str), input(func(ctx goka.Context, _ any) {
		same(t, "at first", ctx.Value(), nil)
		ctx.SetValue("a")
		same(t, "after SetValue", ctx.Value(), "a")
		ctx.SetValue("b")
		same(t, "after another", ctx.Value(), "b")
		ctx.Delete()
		same(t, "after Delete", ctx.Value(), nil)
		ctx.SetValue("c")
		same(t, "after all", ctx.Value(), "c")
	}), topology.Input("again", str, func(ctx goka.Context, _ any) {
		same(t, "committed", ctx.Value(), "c")
		ctx.Delete()
		same(t, "deleted", ctx.Value(), nil)
		ctx.Delete()
		ctx.SetValue("d")
		same(t, "set again", ctx.Value(), "d")
	}))
	r.step("in", "k", "v")
	same(t, "state", r.value("k"), "c")
	changes := r.commit()
	same(t, "records in the changelog", len(changes), 2)
	same(t, "the last value", string(changes[0].Value), "c")
	r.step("again", "k", "v")
	same(t, "state", r.value("k"), "d")
}

func TestDeleteIsATombstoneInTheChangelog(t *testing.T) {
	r := newRig(t, topology.Persist(str), input(func(ctx goka.Context, msg any) {
		if msg == "delete" {
			ctx.Delete()
			return
		}
		ctx.SetValue("")
	}))
	r.step("in", "k", "set")
	if v := r.commit()[0].Value; v == nil || len(v) > 0 {
		t.Errorf("an empty value is written as %s", text(v))
	}
	same(t, "an empty value", r.value("k"), "")
	r.step("in", "k", "delete")
	if v := r.commit()[0].Value; v != nil {
		t.Errorf("a deletion is written as %s", text(v))
	}
	same(t, "after the deletion", r.value("k"), "-")
}

func TestJoinReadsTheRecordsKeyInTheOtherTable(t *testing.T) {
	var seen []any
	typed := topology.JoinOf("typed", schema.Int64())
	r := newRig(t, topology.Join("users", str), typed, input(func(ctx goka.Context, _ any) {
		n, found := typed.Get(ctx)
		seen = append(seen, ctx.Join("users"), n, found)
	}))
	r.step("in", "ann", "v")
	r.step("users", "ann", "Oslo")
	r.step("users", "bob", "Rome")
	r.step("typed", "ann", 7)
	r.step("in", "ann", "v")
	r.step("users", "ann", nil)
	r.step("in", "ann", "v")
	same(t, "joined", seen, []any{nil, 0, false, "Oslo", 7, true, nil, 7, true})
	same(t, "counts", r.task.Counts(), record.Counts{7})
	if changes := r.commit(); len(changes) != 1 {
		t.Errorf("a joined table is written to the changelog: %v", changes)
	}
}

func TestLookupReadsAnyKey(t *testing.T) {
	typed := topology.LookupOf("typed", schema.Int64())
	r := newRig(t, topology.Lookup("all", str), typed, input(func(ctx goka.Context, _ any) {
		n, found := typed.Get(ctx, "x")
		same(t, "looked up", []any{ctx.Lookup("all", "x"), ctx.Lookup("all", "y"), n, found}, []any{"X", nil, 9, true})
		_, found = typed.Get(ctx, "y")
		same(t, "found", found, false)
	}))
	r.lookups["all"].(*table).values["x"] = "X"
	r.lookups["typed"].(*table).values["x"] = "9"
	r.step("in", "k", "v")
}

func TestEmitWritesToAnOutput(t *testing.T) {
	out := topology.OutputOf("typed", schema.Int64())
	r := newRig(t, topology.Output("out", str), out, input(func(ctx goka.Context, _ any) {
		ctx.Emit("out", "a", "1")
		ctx.Emit("out", "", "")
		ctx.Emit("out", "c", nil)
		ctx.Emit("out", "d", "4", goka.WithCtxEmitHeaders(goka.Headers{"y": []byte("2"), "x": []byte("1")}))
		out.Emit(ctx, "e", 5)
		out.EmitWith(ctx, "f", 6, processors.Emit{Timestamp: 77, Headers: []record.Header{{Key: "h", Value: []byte("v")}}})
		out.Delete(ctx, "g")
		processors.FromContext(ctx).EmitRecord("out", processors.Emit{Value: []byte("8")})
	}))
	same(t, "emits", "\n"+show(r.step("in", "k", "v")), `
out "a"="1" @1001
out ""="" @1001
out "c"=nil @1001
out "d"="4" x:1 y:2 @1001
typed "e"="5" @1001
typed "f"="6" h:v @77
typed "g"=nil @1001
out ""="8" @1001
`)
}

func TestAnEmptyKeyIsEmittedAsAKey(t *testing.T) {
	r := newRig(t, topology.Output("out", str), input(func(ctx goka.Context, _ any) { ctx.Emit("out", "", "") }))
	effects, err := r.task.Step("in", r.input("in", "k", "v"))
	if err != nil {
		t.Fatal(err)
	}
	if o := effects.Emits[0]; o.Key == nil || o.Value == nil {
		t.Errorf("key %s, value %s", text(o.Key), text(o.Value))
	}
}

func TestEmittedBytesStayUntilTheCommit(t *testing.T) {
	out := topology.OutputOf("typed", schema.Bytes())
	r := newRig(t, topology.Output("out", new(codec.Bytes)), out, input(func(ctx goka.Context, msg any) {
		v, header := []byte(msg.(string)), []byte("header")
		ctx.Emit("out", ctx.Key(), v, goka.WithCtxEmitHeaders(goka.Headers{"h": header}))
		out.Emit(ctx, ctx.Key(), v)
		c := processors.FromContext(ctx)
		in := c.Record()
		c.EmitRecord("out", processors.Emit{Key: in.Key, Value: in.Value, Headers: in.Headers})
		scribble(v)
		scribble(header)
	}))
	var all []task.Out
	for range 3000 {
		rec := r.input("in", "key", strings.Repeat("v", 100), record.Header{Key: "h", Value: []byte("header")})
		effects, err := r.task.Step("in", rec)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, effects.Emits...)
		scribble(rec.Key)
		scribble(rec.Value)
		scribble(rec.Headers[0].Value)
		rec.Headers[0].Key = ""
	}
	for _, o := range all {
		if string(o.Key) != "key" || string(o.Value) != strings.Repeat("v", 100) {
			t.Fatalf("%s has changed: %q=%q", o.Topic, o.Key, o.Value)
		}
		if len(o.Headers) > 0 && (o.Headers[0].Key != "h" || string(o.Headers[0].Value) != "header") {
			t.Fatal("the header has changed")
		}
	}
}

func TestLoopbackWritesToTheLoop(t *testing.T) {
	var looped []any
	r := newRig(t,
		topology.Loop(str, func(ctx goka.Context, msg any) { looped = append(looped, ctx.Topic(), ctx.Key(), msg) }),
		input(func(ctx goka.Context, msg any) {
			ctx.Loopback("other", msg, goka.WithCtxEmitHeaders(goka.Headers{"h": []byte("v")}))
		}))
	same(t, "emits", show(r.step("in", "k", "v")), "g-loop \"other\"=\"v\" h:v @1001\n")
	r.step("g-loop", "other", "v")
	same(t, "looped", looped, []any{"g-loop", "other", "v"})
}

func TestStreamTimeIsTheLargestTimestampSeen(t *testing.T) {
	var times []int64
	note := func(ctx goka.Context, _ any) {
		times = append(times, processors.FromContext(ctx).StreamTime().UnixMilli())
	}
	r := newRig(t, topology.Persist(str), topology.Visitor("visit", note), input(note))
	for _, ms := range []int64{5000, 3000, 6000, 1} {
		rec := r.input("in", "k", "v")
		rec.Timestamp = ms
		if _, err := r.task.Step("in", rec); err != nil {
			t.Fatal(err)
		}
	}
	r.commit()
	r.restore()
	if _, err := r.task.Visit(&r.plan.Visitors[0], []byte("k"), nil, 9_000); err != nil {
		t.Fatal(err)
	}
	same(t, "stream times", times, []int64{5000, 5000, 6000, 6000, 6000})
}

func TestVisitIsNoInputRecord(t *testing.T) {
	r := newRig(t, topology.Persist(new(codec.Int64)), topology.Output("out", str),
		input(func(ctx goka.Context, _ any) { ctx.SetValue(int64(1)) }),
		topology.Visitor("add", func(ctx goka.Context, meta any) {
			same(t, "topic", ctx.Topic(), "add")
			same(t, "offset", ctx.Offset(), -1)
			ctx.SetValue(ctx.Value().(int64) + meta.(int64))
			ctx.Emit("out", ctx.Key(), "visited")
		}))
	for _, key := range []string{"b", "", "a"} {
		r.step("in", key, "v")
	}
	r.commit()
	keys, err := r.task.Keys(context.Background(), nil, 2)
	same(t, "the first keys", keys, [][]byte{{}, []byte("a")})
	if err != nil || keys[0] == nil {
		t.Errorf("the empty key is nil, %v", err)
	}
	keys, _ = r.task.Keys(context.Background(), keys[0], 2)
	same(t, "those after the empty key", keys, [][]byte{[]byte("a"), []byte("b")})
	effects, err := r.task.Visit(&r.plan.Visitors[0], []byte("a"), int64(10), 5000)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "emits", show(effects.Emits), "out \"a\"=\"visited\" @5000\n")
	same(t, "value", r.value("a"), 11)
	same(t, "counts", r.task.Counts(), record.Counts{3})
	same(t, "touched", r.task.Touched(), true)
}

func TestAFailingVisitLeavesNothing(t *testing.T) {
	r := newRig(t, topology.Persist(str), topology.Output("out", str), topology.DeadLetter("dead"),
		input(nothing),
		topology.Visitor("bad", func(ctx goka.Context, _ any) {
			ctx.DeferCommit()
			ctx.Emit("out", "k", "v")
			ctx.SetValue("v")
			ctx.Fail(errors.New("no"))
		}))
	effects, err := r.task.Visit(&r.plan.Visitors[0], []byte("k"), nil, 5000)
	if err == nil || !strings.Contains(err.Error(), `bad/0 offset -1 key "k": no`) {
		t.Errorf("error: %v", err)
	}
	open, _ := r.task.Deferred()
	same(t, "left", []any{len(effects.Emits), r.value("k"), open}, []any{0, "-", 0})
}

func TestWhatTheGroupLacksIsNamed(t *testing.T) {
	for want, cb := range map[string]goka.ProcessCallback{
		"no table: add a Persist edge":       func(ctx goka.Context, _ any) { ctx.Value() },
		"no table: add a Persist":            func(ctx goka.Context, _ any) { ctx.SetValue("x") },
		"group g has no table":               func(ctx goka.Context, _ any) { ctx.Delete() },
		"table t is not joined":              func(ctx goka.Context, _ any) { ctx.Join("t") },
		"table t is not looked up":           func(ctx goka.Context, _ any) { ctx.Lookup("t", "k") },
		`topic "t" is no output of group g`:  func(ctx goka.Context, _ any) { ctx.Emit("t", "k", "v") },
		"group g has no loop: add a Loop":    func(ctx goka.Context, _ any) { ctx.Loopback("k", "v") },
		`group g has no store "s": add`:      func(ctx goka.Context, _ any) { processors.FromContext(ctx).Store("s") },
		"encode a value for out: schema: s":  func(ctx goka.Context, _ any) { ctx.Emit("out", "k", 1) },
		"Fail without an error":              func(ctx goka.Context, _ any) { ctx.Fail(nil) },
		"count dead (4): a callback":         func(ctx goka.Context, _ any) { processors.FromContext(ctx).Count(record.Dead) },
		"count unknown (200): a callback":    func(ctx goka.Context, _ any) { processors.FromContext(ctx).Count(200) },
		"callback panicked: boom (context_t": func(goka.Context, any) { panic("boom") },
	} {
		r := newRig(t, input(cb), topology.Output("out", str))
		if _, err := r.try("in", "k", "v"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestNilCannotBeSet(t *testing.T) {
	stored := topology.Store("s", str)
	for want, cb := range map[string]goka.ProcessCallback{
		"cannot set nil as value: use Delete":          func(ctx goka.Context, _ any) { ctx.SetValue(nil) },
		"store s: cannot set nil as value: use Delete": func(ctx goka.Context, _ any) { processors.FromContext(ctx).Store("s").Set("k", nil) },
		"headers on a table's record are not kept":     func(ctx goka.Context, _ any) { ctx.SetValue("v", goka.WithCtxEmitHeaders(goka.Headers{"h": nil})) },
		"Delete: headers":                              func(ctx goka.Context, _ any) { ctx.Delete(goka.WithCtxEmitHeaders(goka.Headers{"h": nil})) },
	} {
		r := newRig(t, input(cb), topology.Persist(str), stored)
		if _, err := r.try("in", "k", "v"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestDeferCommitHolds(t *testing.T) {
	var releases []func(error)
	r := newRig(t, input(func(ctx goka.Context, _ any) { releases = append(releases, ctx.DeferCommit(), ctx.DeferCommit()) }))
	r.step("in", "k", "v")
	open := func() int { n, _ := r.task.Deferred(); return n }
	same(t, "open", open(), 2)
	releases[0](nil)
	releases[0](nil)
	same(t, "open after one release, twice", open(), 1)
	releases[1](errors.New("late"))
	n, err := r.task.Deferred()
	same(t, "at the end", []any{n, err}, []any{0, "late"})
	r.task.Abort()
	n, err = r.task.Deferred()
	same(t, "after an abort", []any{n, err}, []any{0, nil})
	releases[1](errors.New("of an aborted transaction"))
	n, err = r.task.Deferred()
	same(t, "after a release of the aborted", []any{n, err}, []any{0, nil})
}
