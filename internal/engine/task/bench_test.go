package task_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

// counters are those of examples/count: the message is not looked at.
func counter(t testing.TB, kind string) *rig {
	nothing := schema.Nothing()
	switch kind {
	case "typed":
		return newRig(t, topology.PersistOf(schema.Int64()),
			topology.InputOf("in", nothing, nil, func(ctx *processors.Typed[int64], _ struct{}) {
				n, _ := ctx.Value()
				ctx.Set(n + 1)
			}))
	case "typed with an output":
		out := topology.OutputOf("out", schema.Int64())
		return newRig(t, topology.PersistOf(schema.Int64()), out,
			topology.InputOf("in", nothing, nil, func(ctx *processors.Typed[int64], _ struct{}) {
				n, _ := ctx.Value()
				ctx.Set(n + 1)
				out.Forward(ctx, n+1)
			}))
	case "goka":
		return newRig(t, topology.Persist(new(codec.Int64)),
			topology.Input("in", schema.Boxed(nothing), func(ctx goka.Context, _ any) {
				n, _ := ctx.Value().(int64)
				ctx.SetValue(n + 1)
			}))
	default:
		return newRig(t, topology.Persist(new(codec.Int64)), topology.Output("out", new(codec.Int64)),
			topology.Input("in", schema.Boxed(nothing), func(ctx goka.Context, _ any) {
				n, _ := ctx.Value().(int64)
				ctx.SetValue(n + 1)
				ctx.Emit("out", ctx.Key(), n+1)
			}))
	}
}

// BenchmarkTransactions steps records as a worker does: slice by slice, with a
// changelog written for every 50,000 of them.
func BenchmarkTransactions(b *testing.B) {
	for _, keys := range []int{5_000, 500_000} {
		for _, kind := range []string{"typed", "typed with an output", "goka", "goka with an output"} {
			b.Run(fmt.Sprintf("%s/%d keys", kind, keys), func(b *testing.B) { transactions(b, counter(b, kind).task, keys) })
		}
	}
}

func transactions(b *testing.B, t *task.Task, keys int) {
	const slice, txn = 64, 50_000 / 64
	rnd := rand.New(rand.NewPCG(1, 2))
	records := make([]record.Record, 1<<16)
	for i := range records {
		records[i] = record.Record{Topic: "in", Key: fmt.Appendf(nil, "user-%07d", rnd.IntN(keys)), Value: make([]byte, 100)}
	}
	b.ReportAllocs()
	from := cpu()
	var changes, emits int
	for n := 0; b.Loop(); n++ {
		at := n * slice % len(records)
		rs := records[at : at+slice]
		if err := t.Preload("in", rs); err != nil {
			b.Fatal(err)
		}
		for i := range rs {
			rs[i].Offset = int64(n*slice + i)
			fx, err := t.Step("in", &rs[i])
			if err != nil {
				b.Fatal(err)
			}
			emits += len(fx.Emits)
		}
		if n%txn == txn-1 {
			t.Seal(func(c task.Change) error { changes += len(c.Key); return nil })
			t.Commit(nil)
		}
	}
	b.ReportMetric(float64(cpu()-from)/float64(b.N)/slice, "cpu-ns/record")
}

// cpu returns the process's CPU time in nanoseconds, which a busy machine disturbs
// less than the clock's.
func cpu() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
