package integration

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/topology"
)

func add(decimal string, n int) string {
	v, _ := strconv.Atoi(decimal)
	return strconv.Itoa(v + n)
}

// remembering drops values that its named store has seen, and counts the rest.
func remembering(group, in string) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) {
			seen := processors.FromContext(ctx).Store("seen")
			if seen.Get(msg.(string)) != nil {
				return
			}
			seen.Set(msg.(string), int64(1))
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Store("seen", new(gcodec.Int64)),
		topology.Persist(new(gcodec.Int64)),
	)
}

// Named stores come back from the state topic as the table does from its own.
func TestNamedStoresSurviveACrashAndALostDirectory(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 1000, 21
		in, group, dir := r.topic("in", 3), r.name("remember"), r.t.TempDir()
		recs := numbers(in, n, keys)
		e := r.start(r.fast(dir), remembering(group, in))
		r.emit(recs[:n/2]...)
		r.processed(n/2, group, e)
		e.Kill()

		e = r.start(r.fast(dir), remembering(group, in))
		r.emit(recs...)
		r.processed(n/2+n, group, e)
		r.stop(e)

		o := r.fast(r.t.TempDir())
		o.Instance = e.Instance()
		e = r.start(o, remembering(group, in))
		r.emit(recs...)
		r.processed(n/2+2*n, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(n, keys))
	})
}

// After a crash only what was committed since the last write to disk is replayed,
// not the whole table.
func TestAfterACrashOnlyTheTailIsReplayed(t *testing.T) {
	each(t, func(r *rig) {
		const keys, tail = 3000, 50
		in, group, dir := r.topic("in", 2), r.name("count"), r.t.TempDir()
		e := r.start(r.fast(dir), counting(group, in))
		r.emit(numbers(in, keys, keys)...)
		r.processed(keys, group, e)
		r.stop(e) // writes everything to disk

		e = r.start(r.fast(dir), counting(group, in))
		r.emit(numbers(in, tail, tail)...)
		r.processed(keys+tail, group, e)
		if got := stats(e, group).ReplayedRecords; got != 0 {
			r.t.Errorf("%d records were replayed after a clean stop", got)
		}
		changes := stats(e, group).CommitChanges
		e.Kill()

		e = r.start(r.fast(dir), counting(group, in))
		r.processed(keys+tail, group, e)
		if got := stats(e, group).ReplayedRecords; got == 0 || got > changes {
			r.t.Errorf("%d records were replayed, the crash came after %d that were not on disk", got, changes)
		}
		r.stop(e)
		want := countsOf(keys, keys)
		for i := range tail {
			k := fmt.Sprintf("k%d", i)
			want[k] = add(want[k], 1)
		}
		r.equal("table", r.table(group+"-table"), want)
	})
}
