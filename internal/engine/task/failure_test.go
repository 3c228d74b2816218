package task_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

var errMine = errors.New("mine")

// failures are the ways in which a callback fails after it has done something.
func failures() map[string]func(goka.Context) {
	return map[string]func(goka.Context){
		"panic":                func(goka.Context) { panic("boom") },
		"panic with an error":  func(goka.Context) { panic(errMine) },
		"panic with nil":       func(goka.Context) { panic(nil) },
		"nil pointer":          func(goka.Context) { var p *int; *p = 1 },
		"Fail":                 func(ctx goka.Context) { ctx.Fail(errMine) },
		"Fail with nil":        func(ctx goka.Context) { ctx.Fail(nil) },
		"value not of a codec": func(ctx goka.Context) { ctx.Emit("out", "k", 3.5) },
		"state not of a codec": func(ctx goka.Context) { ctx.SetValue(3.5) },
		"no output":            func(ctx goka.Context) { ctx.Emit("nowhere", "k", "v") },
		"too large":            func(ctx goka.Context) { ctx.Emit("out", "k", strings.Repeat("x", 2000)) },
		"broken state":         func(ctx goka.Context) { processors.FromContext(ctx).Store("ints").Get("broken") },
		"own type of panic":    func(ctx goka.Context) { panic(struct{ n int }{3}) },
	}
}

// failing is a group whose callback does everything and then fails where told to.
func failing(t *testing.T, fail func(goka.Context), edges ...topology.Edge) *rig {
	r := newRig(t, append(edges,
		topology.Persist(str), topology.Output("out", str), topology.Loop(str, nothing),
		topology.Store("s", str), topology.Store("ints", new(codec.Int64)),
		input(func(ctx goka.Context, msg any) {
			c := processors.FromContext(ctx)
			if msg == "prepare" {
				ctx.SetValue("before")
				c.Store("s").Set("k", "before")
				c.Store("ints").SetBytes([]byte("broken"), []byte("x"))
				return
			}
			ctx.Emit("out", "k", "v")
			ctx.Loopback("k", "v")
			ctx.SetValue("after")
			ctx.DeferCommit()
			c.Store("s").Set("k", "after")
			c.Store("s").Set("new", "after")
			c.Store("s").Delete("k")
			c.Count(record.Late)
			fail(ctx)
		}))...)
	r.max["out"] = 1000
	r.restore()
	r.step("in", "k", "prepare")
	r.commit()
	return r
}

func TestOfAFailingCallbackOnlyTheDeadLetterIsLeft(t *testing.T) {
	for name, fail := range failures() {
		t.Run(name, func(t *testing.T) {
			r := failing(t, fail, topology.DeadLetter("dead"))
			before := r.dump()
			emits := r.step("in", "k", "v", record.Header{Key: "own", Value: []byte("1")})
			if len(emits) != 1 || emits[0].Topic != "dead" || string(emits[0].Value) != "v" {
				t.Errorf("emits: %s", show(emits))
			}
			same(t, "state", r.dump(), before)
			same(t, "counts", r.task.Counts(), record.Counts{record.Processed: 1, record.Dead: 1})
			same(t, "next", r.task.Next("in"), 2)
			if open, err := r.task.Deferred(); open != 0 || err != nil {
				t.Errorf("the commit is held up by %d, %v", open, err)
			}
			same(t, "changelog", len(r.commit()), 1)
		})
	}
}

func TestWithoutDeadLettersTheRecordIsNamedAndNothingMoves(t *testing.T) {
	for name, fail := range failures() {
		t.Run(name, func(t *testing.T) {
			r := failing(t, fail)
			before := r.dump()
			emits, err := r.try("in", "k", "v")
			var named *task.RecordError
			if !errors.As(err, &named) {
				t.Fatalf("error: %v", err)
			}
			named.Err = nil
			same(t, "named", *named, task.RecordError{Group: "g", Topic: "in", Offset: 1, Key: []byte("k")})
			same(t, "emits", len(emits), 0)
			same(t, "state", r.dump(), before)
			same(t, "counts", r.task.Counts(), record.Counts{1})
			same(t, "next", r.task.Next("in"), 1)
		})
	}
}

func TestCausesAreWrapped(t *testing.T) {
	for name, want := range map[string]error{
		"panic": task.ErrPanic, "panic with an error": errMine, "Fail": errMine,
		"too large": task.ErrTooLarge, "nil pointer": task.ErrPanic,
	} {
		_, err := failing(t, failures()[name]).try("in", "k", "v")
		if !errors.Is(err, want) {
			t.Errorf("%s: %v is not %v", name, err, want)
		}
	}
}

func TestAPanicIsReportedWithItsStack(t *testing.T) {
	_, err := failing(t, failures()["nil pointer"]).try("in", "k", "v")
	for _, want := range []string{"failure_test.go", "nil pointer dereference", "goroutine"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func TestARecordThatNoCodecReadsIsRejected(t *testing.T) {
	edges := func(more ...topology.Edge) []topology.Edge {
		return append(more, topology.Input("in", new(codec.Int64), nothing))
	}
	_, err := newRig(t, edges()...).try("in", "k", "three")
	if err == nil || !strings.Contains(err.Error(), "in/0 offset 0") || !strings.Contains(err.Error(), "decode the value") {
		t.Errorf("error: %v", err)
	}
	r := newRig(t, edges(topology.DeadLetter("dead"))...)
	emits := r.step("in", "k", "three")
	same(t, "emits", len(emits), 1)
	same(t, "the value", string(emits[0].Value), "three")
	r.step("in", "k", "3")
	same(t, "counts", r.task.Counts(), record.Counts{record.Processed: 1, record.Dead: 1})
}

func TestARecordWithoutKeyIsRejectedWhereStateIsKeyed(t *testing.T) {
	join := topology.Join("users", str)
	for topic, edges := range map[string][]topology.Edge{
		"in":    {topology.Persist(str)},
		"users": {join},
	} {
		r := newRig(t, append(edges, input(nothing))...)
		rec := r.input(topic, "", "v")
		rec.Key = nil
		if _, err := r.task.Step(topic, rec); !errors.Is(err, task.ErrNoKey) {
			t.Errorf("%s: %v", topic, err)
		}
		r = newRig(t, append(edges, input(nothing), topology.DeadLetter("dead"))...)
		rec = r.input(topic, "", "v")
		rec.Key = nil
		effects, err := r.task.Step(topic, rec)
		if err != nil || len(effects.Emits) != 1 || effects.Emits[0].Key != nil {
			t.Errorf("%s: %v, %s", topic, err, show(effects.Emits))
		}
		same(t, "counts", r.task.Counts(), record.Counts{record.Dead: 1})
	}
}

func TestARecordWithoutKeyIsFineWhereNoStateIsKept(t *testing.T) {
	r := newRig(t, topology.Output("out", str), input(func(ctx goka.Context, msg any) {
		same(t, "key", ctx.Key(), "")
		ctx.Emit("out", "k", msg)
	}))
	rec := r.input("in", "", "v")
	rec.Key = nil
	effects, err := r.task.Step("in", rec)
	if err != nil || len(effects.Emits) != 1 {
		t.Error(err, show(effects.Emits))
	}
}

func TestWhatIsTooLargeIsNamed(t *testing.T) {
	big := strings.Repeat("x", 2000)
	for topic, cb := range map[string]goka.ProcessCallback{
		"out":     func(ctx goka.Context, _ any) { ctx.Emit("out", "k", big) },
		"g-table": func(ctx goka.Context, _ any) { ctx.SetValue(big) },
		"g-loop":  func(ctx goka.Context, _ any) { ctx.Loopback(big, "v") },
		"g-state": func(ctx goka.Context, _ any) { processors.FromContext(ctx).Store("s").Set("k", big) },
	} {
		r := newRig(t, input(cb), topology.Persist(str), topology.Output("out", str), topology.Loop(str, nothing), topology.Store("s", str))
		r.max[topic] = 1000
		r.restore()
		_, err := r.try("in", "k", "v")
		if !errors.Is(err, task.ErrTooLarge) || !strings.Contains(err.Error(), topic+" takes 1000 (max.message.bytes)") || !strings.Contains(err.Error(), "in/0 offset 0") {
			t.Errorf("%s: %v", topic, err)
		}
	}
}

func TestADeadLetterThatIsTooLargeStopsTheTask(t *testing.T) {
	r := newRig(t, input(func(ctx goka.Context, _ any) { ctx.Fail(errMine) }), topology.DeadLetter("dead"))
	r.max["dead"] = 1000
	r.restore()
	_, err := r.try("in", "k", strings.Repeat("x", 2000))
	if !errors.Is(err, errMine) || !strings.Contains(err.Error(), "its dead letter of") {
		t.Errorf("error: %v", err)
	}
	same(t, "counts", r.task.Counts().Sum(), 0)
}

func TestAnErrorThatQuotesALargeRecordIsShortened(t *testing.T) {
	large := strings.Repeat("ü", 1<<20)
	e := task.RecordError{Group: "g", Topic: "in", Key: []byte(large), Err: fmt.Errorf("begin %s end", large)}
	text := e.Error()
	if len(text) > 20<<10 || !utf8.ValidString(text) {
		t.Errorf("%d bytes, valid %v", len(text), utf8.ValidString(text))
	}
	if !strings.Contains(text, "in/0 offset 0 key \"ü") || !strings.Contains(text, ": begin ü") || !strings.HasSuffix(text, "ü end") {
		t.Errorf("%.100s … %s", text, text[len(text)-100:])
	}
}
