package topology_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

func TestGokasCallbackIsHandedTheDecodedMessage(t *testing.T) {
	var got []any
	p := build(t, "g", topology.Persist(num), topology.Input("a", num, func(ctx goka.Context, msg any) {
		got = append(got, msg)
		count(ctx, msg)
	}))
	f := new(fake)
	if err := feed(f, p, "a", "k=1", "k=-2", "k"); err != nil {
		t.Fatal(err)
	}
	if want := []any{int64(1), int64(-2), nil}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
	if string(f.value) != "3" {
		t.Errorf("the table holds %s", f.value)
	}
	err := feed(f, p, "a", "k=many")
	if err == nil || !strings.Contains(err.Error(), "decode the value: schema: int64 cannot decode 4 bytes") {
		t.Errorf("got %v", err)
	}
	if len(got) != 3 {
		t.Error("the callback ran for a value that does not decode")
	}
}

func TestATypedCallbackSharesTheTableWithGokas(t *testing.T) {
	typed := build(t, "g", topology.PersistOf(schema.Int64()), topology.InputOf("a", schema.String(), nil, countTyped),
		topology.Input("b", text, count))
	f := new(fake)
	for _, topic := range []string{"a", "b", "a"} {
		if err := feed(f, typed, topic, "k=x", "k=y"); err != nil {
			t.Fatal(err)
		}
	}
	if string(f.value) != "6" {
		t.Errorf("the table holds %s", f.value)
	}
	err := feed(f, build(t, "g", topology.PersistOf(schema.Int64()),
		topology.InputOf("a", schema.Int64(), nil, func(*processors.Typed[int64], int64) {})), "a", "k=many")
	if err == nil || !strings.Contains(err.Error(), "decode the value: schema: int64") {
		t.Errorf("got %v", err)
	}
}

func TestATypedTombstoneIsTheZeroValue(t *testing.T) {
	var tombstones []bool
	p := build(t, "g", topology.ProcessNil(), topology.InputOf("a", schema.String(), nil,
		func(ctx *processors.Typed[struct{}], msg string) {
			if msg != "" {
				t.Errorf("message %q", msg)
			}
			tombstones = append(tombstones, ctx.Record().Tombstone())
		}))
	if err := feed(new(fake), p, "a", "k", "k="); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(tombstones, []bool{true, false}) {
		t.Errorf("tombstones %v", tombstones)
	}
}

func TestTypedEdgesAreHandles(t *testing.T) {
	out := topology.OutputOf("out", schema.Int64())
	p := build(t, "g", out, topology.PersistOf(schema.Int64()),
		topology.InputOf("a", schema.Int64(), schema.Int64(), func(ctx *processors.Typed[int64], msg int64) {
			out.Emit(ctx, ctx.Key(), msg*2)
		}),
		topology.LoopOf(schema.Int64(), nil, func(ctx *processors.Typed[int64], msg int64) { ctx.Set(msg) }),
		topology.VisitorOf("double", func(ctx *processors.Typed[int64], meta any) {
			n, _ := ctx.Value()
			ctx.Set(n * meta.(int64))
		}))
	f := new(fake)
	if err := feed(f, p, "a", "k=4"); err != nil || !reflect.DeepEqual(f.log, []string{"out k=8"}) {
		t.Errorf("emitted %q, %v", f.log, err)
	}
	if err := feed(f, p, "g-loop", "k=21"); err != nil {
		t.Error(err)
	}
	p.Visitors[0].Callback(f, int64(2))
	if string(f.value) != "42" {
		t.Errorf("the table holds %s", f.value)
	}
}

func TestHandlersDoNotShareTheirContexts(t *testing.T) {
	var seen []*processors.Typed[struct{}]
	p := build(t, "g", topology.InputOf("a", schema.String(), nil, func(ctx *processors.Typed[struct{}], _ string) {
		seen = append(seen, ctx)
	}))
	for range 2 {
		if err := feed(new(fake), p, "a", "k=1", "k=2"); err != nil {
			t.Fatal(err)
		}
	}
	if seen[0] != seen[1] || seen[1] == seen[2] {
		t.Error("want one typed context per handler")
	}
}

func TestATypedRecordMakesNoGarbage(t *testing.T) {
	p := build(t, "g", topology.PersistOf(schema.Int64()), topology.InputOf("a", schema.Int64(), nil,
		func(ctx *processors.Typed[int64], msg int64) {
			n, _ := ctx.Value()
			ctx.Set(n + msg)
		}))
	f := &quiet{fake{rec: &record.Record{Key: []byte("k"), Value: []byte("1234")}, scratch: make([]byte, 0, 64), value: make([]byte, 0, 64)}}
	f.value = append(f.value, '0')
	handle := p.Inputs[0].NewHandler()
	if n := testing.AllocsPerRun(500, func() { _ = handle(f, f.rec) }); n > 0 {
		t.Errorf("%v allocations per record", n)
	}
	if string(f.value) != "618234" {
		t.Errorf("the table holds %s", f.value)
	}
}

// quiet is a fake that reuses its memory.
type quiet struct{ fake }

func (q *quiet) SetValueBytes(v []byte) { q.value = append(q.value[:0], v...) }
