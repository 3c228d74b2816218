package task_test

import (
	"fmt"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

// counting are the running count per key, typed and as goka has it, with an emit.
func counting(t testing.TB, kind string) *rig {
	switch kind {
	case "typed":
		out := topology.OutputOf("out", schema.Int64())
		return newRig(t, topology.PersistOf(schema.Int64()), out,
			topology.InputOf("in", schema.Bytes(), schema.Int64(), func(ctx *processors.Typed[int64], _ []byte) {
				n, _ := ctx.Value()
				ctx.Set(n + 1)
			}))
	case "typed, with an emit":
		out := topology.OutputOf("out", schema.Int64())
		return newRig(t, topology.PersistOf(schema.Int64()), out,
			topology.InputOf("in", schema.Int64(), schema.Int64(), func(ctx *processors.Typed[int64], _ int64) {
				n, _ := ctx.Value()
				ctx.Set(n + 1)
				out.Emit(ctx, "key", n+1)
			}))
	case "typed, forwarding":
		out := topology.OutputOf("out", schema.Int64())
		return newRig(t, topology.PersistOf(schema.Int64()), out,
			topology.InputOf("in", schema.Nothing(), schema.Int64(), func(ctx *processors.Typed[int64], _ struct{}) {
				n, _ := ctx.Value()
				ctx.Set(n + 1000)
				out.Forward(ctx, n)
			}))
	case "goka, counting":
		return newRig(t, topology.Persist(new(codec.Int64)), topology.Input("in", schema.Boxed(schema.Nothing()), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1000)
		}))
	case "typed, with a store":
		s := topology.StoreOf("s", schema.Int64())
		return newRig(t, s, topology.InputOf("in", schema.Int64(), nil, func(ctx *processors.Typed[struct{}], _ int64) {
			n, _ := s.Get(ctx, "key")
			s.Set(ctx, "key", n+1)
		}))
	case "typed, with a join":
		j := topology.JoinOf("users", schema.Int64())
		return newRig(t, j, topology.InputOf("in", schema.Int64(), nil, func(ctx *processors.Typed[struct{}], _ int64) {
			if _, found := j.Get(ctx); found {
				ctx.Fail(errMine)
			}
		}))
	case "goka, of strings":
		return newRig(t, topology.Persist(new(codec.String)), topology.Input("in", new(codec.String), func(ctx goka.Context, msg any) {
			if ctx.Value() != msg {
				ctx.SetValue(msg)
			}
		}))
	case "goka":
		return newRig(t, topology.Persist(new(codec.Int64)), topology.Input("in", new(codec.Int64), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1000)
		}))
	default:
		return newRig(t, topology.Persist(new(codec.Int64)), topology.Output("out", new(codec.Int64)),
			topology.Input("in", new(codec.Int64), func(ctx goka.Context, _ any) {
				n, _ := ctx.Value().(int64)
				ctx.SetValue(n + 1000)
				ctx.Emit("out", ctx.Key(), n+1000)
			}))
	}
}

// stepper returns a function that steps a record of one of a thousand keys, each with
// another message, in slices as a worker does.
func stepper(t testing.TB, r *rig) func() {
	recs := make([]record.Record, 1000)
	for i := range recs {
		recs[i] = record.Record{Topic: "in", Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "%d", 1_000_000+i)}
	}
	n := int64(0)
	return func() {
		at := n % 1000
		if at%50 == 0 {
			if err := r.task.Preload("in", recs[at:at+50]); err != nil {
				t.Fatal(err)
			}
		}
		rec := &recs[at]
		rec.Offset = n
		n++
		if _, err := r.task.Step("in", rec); err != nil {
			t.Fatal(err)
		}
		if n%4096 == 0 {
			r.task.Commit(nil)
		}
	}
}

func TestARecordMakesLittleGarbage(t *testing.T) {
	for kind, want := range map[string]float64{
		"typed":               1, // the bytes of the message
		"typed, with an emit": 0,
		"typed, forwarding":   0,
		"typed, with a store": 0,
		"typed, with a join":  0,
		"goka, counting":      1, // the new value as any, by the callback itself
		"goka":                1,
		"goka, with an emit":  2, // the emitted value as any, too
		"goka, of strings":    4, // the message and the value as any: each a header and its bytes, which a callback may keep
	} {
		t.Run(kind, func(t *testing.T) {
			r := counting(t, kind)
			step := stepper(t, r)
			for range 10_000 {
				step()
			}
			if got := testing.AllocsPerRun(20_000, step); got > want {
				t.Errorf("%v allocations per record, want %v", got, want)
			}
		})
	}
}

func BenchmarkStep(b *testing.B) {
	for _, kind := range []string{"typed, with an emit", "goka", "goka, with an emit"} {
		b.Run(kind, func(b *testing.B) {
			step := stepper(b, counting(b, kind))
			for range 10_000 {
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}
