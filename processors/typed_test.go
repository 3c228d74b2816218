package processors_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
)

type stats struct {
	N   int64
	Max int64
}

func TestTypedStateIsReadAndWritten(t *testing.T) {
	f := new(fake)
	ctx := processors.NewTyped(schema.JSON[stats]()).Bind(f)
	if v, found := ctx.Value(); found || v != (stats{}) {
		t.Errorf("a key without value has %+v, %v", v, found)
	}
	ctx.Set(stats{1, 2})
	if v, found := ctx.Value(); !found || v != (stats{1, 2}) {
		t.Errorf("got %+v, %v", v, found)
	}
	ctx.SetValue(stats{3, 4})
	if string(f.value) != `{"N":3,"Max":4}` {
		t.Errorf("the table holds %s", f.value)
	}
}

func TestTypedStateOfNoBytesIsAValue(t *testing.T) {
	f := new(fake)
	processors.NewTyped(schema.Bytes()).Bind(f).Set(nil)
	if !f.found || f.isNil {
		t.Error("a tombstone was written")
	}
}

func TestTypedStateFailsTheCallback(t *testing.T) {
	f := &fake{value: []byte("x"), found: true}
	typed := processors.NewTyped(schema.Int64()).Bind(f)
	none := processors.NewTyped[int64](nil).Bind(f)
	for _, c := range []struct {
		run  func()
		want string
	}{
		{func() { typed.Value() }, `read the value of key "k": schema: int64 cannot decode`},
		{func() { typed.SetValue("text") }, "it is a string, not a int64"},
		{func() { none.Set(1) }, "declare it with topology.PersistOf"},
		{func() { none.Value() }, "declare it with topology.PersistOf"},
		{func() { processors.NewTyped(schema.JSON[chan int]()).Bind(f).Set(nil) }, "unsupported type"},
	} {
		if err := failureOf(c.run); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// wrapper is how a user of goka wraps contexts.
type wrapper struct{ kappaGoka }

func (w wrapper) Unwrap() goka.Context { return w.kappaGoka }

type opaque struct{ kappaGoka }

func TestWrappedContextsAreUnwrapped(t *testing.T) {
	f := new(fake)
	if processors.FromContext(wrapper{wrapper{f}}) != processors.Context(f) {
		t.Error("another context came out")
	}
	out := processors.Output[int64]{Topic: "out", Codec: schema.Int64()}
	out.Emit(wrapper{f}, "k", 1)
	out.Emit(f, "k", 2)
	out.Emit(processors.NewTyped(schema.Int64()).Bind(f), "k", 3)
	if want := []string{`out "k"="1"`, `out "k"="2"`, `out "k"="3"`}; !reflect.DeepEqual(f.emitted, want) {
		t.Errorf("emitted %q", f.emitted)
	}
	for _, run := range []func(){
		func() { processors.FromContext(opaque{f}) },
		func() { out.Emit(opaque{f}, "k", 1) },
	} {
		if err := failureOf(run); err == nil || !strings.Contains(err.Error(), "implement processors.Unwrapper") {
			t.Errorf("got %v", err)
		}
	}
}

func TestOutputsEmitKeyValueHeadersAndTime(t *testing.T) {
	for name, ctx := range map[string]interface {
		processors.Context
		emits() []string
	}{"plain": new(fake), "lending": &lending{chunk: make([]byte, 0, 64)}} {
		out := processors.Output[string]{Topic: "out", Codec: schema.String()}
		out.Emit(ctx, "a", "1")
		out.Emit(ctx, "", "")
		out.EmitWith(ctx, "b", "2", processors.Emit{Timestamp: 9, Headers: []record.Header{{Key: "h", Value: []byte("v")}}})
		out.Delete(ctx, "a")
		want := []string{`out "a"="1"`, `out ""=""`, `out "b"="2" at 9 with [{h [118]}]`, `out "a" deleted`}
		if got := ctx.emits(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: emitted %q", name, got)
		}
		bad := processors.Output[chan int]{Topic: "out", Codec: schema.JSON[chan int]()}
		if err := failureOf(func() { bad.Emit(ctx, "k", nil) }); err == nil || !strings.Contains(err.Error(), `emit to out with key "k"`) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func (f *fake) emits() []string { return f.emitted }

func TestTablesAreReadTyped(t *testing.T) {
	tables := map[string][]byte{"users/k": []byte("1"), "users/other": []byte("2"), "users/bad": []byte("x")}
	plain := &fake{tables: tables, codec: schema.Boxed(schema.Int64())}
	for name, ctx := range map[string]processors.Context{"plain": plain, "lending": &lending{fake: *plain}} {
		join := processors.Join[int64]{Table: "users", Codec: schema.Int64()}
		look := processors.Lookup[int64]{Table: "users", Codec: schema.Int64()}
		if v, ok := join.Get(ctx); v != 1 || !ok {
			t.Errorf("%s: joined %d, %v", name, v, ok)
		}
		if v, ok := look.Get(ctx, "other"); v != 2 || !ok {
			t.Errorf("%s: looked up %d, %v", name, v, ok)
		}
		if v, ok := look.Get(ctx, "nobody"); v != 0 || ok {
			t.Errorf("%s: looked up %d, %v", name, v, ok)
		}
		none := processors.Join[int64]{Table: "none", Codec: schema.Int64()}
		if v, ok := none.Get(ctx); v != 0 || ok {
			t.Errorf("%s: joined %d, %v", name, v, ok)
		}
		if err := failureOf(func() { look.Get(ctx, "bad") }); err == nil || !strings.Contains(err.Error(), "int64 cannot decode") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	wrong := processors.Join[string]{Table: "users", Codec: schema.String()}
	if err := failureOf(func() { wrong.Get(plain) }); err == nil || err.Error() != "table users holds a int64, not a string" {
		t.Errorf("got %v", err)
	}
}

func TestNamedStoresAreTyped(t *testing.T) {
	f := new(fake)
	s := processors.Keyed[int64]{Name: "seen", Codec: schema.Int64()}
	for i, k := range []string{"a1", "a2", "b", "a3"} {
		s.Set(f, k, int64(i))
	}
	s.Delete(f, "a2")
	s.Delete(f, "nobody")
	if v, ok := s.Get(f, "a3"); v != 3 || !ok {
		t.Errorf("got %d, %v", v, ok)
	}
	if _, ok := s.Get(f, "a2"); ok {
		t.Error("a deleted key is found")
	}
	scan := func(prefix string, n int) (keys []string) {
		s.Scan(f, prefix, func(key string, _ int64) bool {
			keys = append(keys, key)
			return len(keys) < n
		})
		return keys
	}
	if got := scan("a", 9); !reflect.DeepEqual(got, []string{"a1", "a3"}) {
		t.Errorf("scanned %q", got)
	}
	if got := scan("", 2); !reflect.DeepEqual(got, []string{"a1", "a3"}) {
		t.Errorf("scanned %q", got)
	}
	f.store.SetBytes([]byte("bad"), []byte("x"))
	for _, c := range []struct {
		run  func()
		want string
	}{
		{func() { s.Get(f, "bad") }, `get key "bad" of store seen: schema: int64`},
		{func() { scan("bad", 1) }, `scan key "bad" of store seen: schema: int64`},
		{func() { processors.Keyed[chan int]{Name: "c", Codec: schema.JSON[chan int]()}.Set(f, "k", nil) }, `set key "k" of store c`},
	} {
		if err := failureOf(c.run); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestATypedRecordMakesNoGarbage(t *testing.T) {
	f := &lending{fake: fake{discard: true, scratch: make([]byte, 0, 64), value: make([]byte, 0, 64)}, chunk: make([]byte, 0, 1<<20)}
	f.tables = map[string][]byte{"users/k": []byte("1")}
	ctx := processors.NewTyped(schema.Int64())
	out := processors.Output[int64]{Topic: "out", Codec: schema.Int64()}
	join := processors.Join[int64]{Table: "users", Codec: schema.Int64()}
	seen := processors.Keyed[int64]{Name: "seen", Codec: schema.Int64()}
	callback := func(ctx *processors.Typed[int64], msg int64) {
		n, _ := ctx.Value()
		ctx.Set(n + msg)
		out.Emit(ctx, "key", n)
		before, _ := seen.Get(ctx, "key")
		seen.Set(ctx, "key", before+1)
		seen.Delete(ctx, "other")
	}
	if n := testing.AllocsPerRun(500, func() { callback(ctx.Bind(f), 1) }); n > 0 {
		t.Errorf("%v allocations per record", n)
	}
	// The fake's own map key allocates once.
	if n := testing.AllocsPerRun(500, func() { join.Get(ctx.Bind(f)) }); n > 1 {
		t.Errorf("%v allocations per join", n)
	}
	if v, _ := ctx.Value(); v != 501 {
		t.Errorf("counted %d", v)
	}
}

func TestEmitHeadersAreThoseOfGokasOptions(t *testing.T) {
	if processors.EmitHeaders() != nil {
		t.Error("headers of no options")
	}
	if got := processors.EmitHeaders(goka.WithCtxEmitHeaders(nil), goka.WithCtxEmitHeaders(goka.Headers{})); got != nil {
		t.Errorf("headers of empty options: %v", got)
	}
	one := goka.WithCtxEmitHeaders(goka.Headers{"a": []byte("1"), "b": nil})
	two := goka.WithCtxEmitHeaders(goka.Headers{"a": []byte("2"), "c": {}})
	for _, c := range []struct {
		opts []goka.ContextOption
		want map[string]string
	}{
		{[]goka.ContextOption{one}, map[string]string{"a": "1", "b": ""}},
		{[]goka.ContextOption{one, two}, map[string]string{"a": "2", "b": "", "c": ""}},
		{[]goka.ContextOption{two, one}, map[string]string{"a": "1", "b": "", "c": ""}},
	} {
		got := make(map[string]string)
		for k, v := range processors.EmitHeaders(c.opts...) {
			got[k] = string(v)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = processors.EmitHeaders() }); n > 0 {
		t.Errorf("%v allocations without options", n)
	}
}

func TestFailureIsTheCallersError(t *testing.T) {
	err := errors.New("mine")
	ctx := processors.NewTyped(schema.Int64()).Bind(new(fake))
	if got := failureOf(func() { ctx.Fail(err) }); got != err {
		t.Errorf("got %v", got)
	}
}
