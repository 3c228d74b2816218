package integration

import (
	"strconv"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/topology"
)

// summing sums per key what its input says.
func summing(group, in string) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.Int64), func(ctx goka.Context, msg any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + msg.(int64))
		}),
		topology.Persist(new(gcodec.Int64)),
	)
}

// Two groups in a chain, in processes of their own that crash in turn: the second
// sees of the first what it has committed, once.
func TestAChainOfGroupsIsExactThroughCrashesOfBoth(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys, crashes = 3000, 40, 4
		in, mid := r.topic("in", 3), r.topic("mid", 4)
		first, second := r.name("first"), r.name("second")
		dirs := [2]string{r.t.TempDir(), r.t.TempDir()}
		start := func(i int) *engine.Engine {
			if i == 0 {
				return r.start(r.fast(dirs[0]), announcing(first, in, mid))
			}
			return r.start(r.fast(dirs[1]), summing(second, mid))
		}
		es := [2]*engine.Engine{start(0), start(1)}
		fed := r.feed(numbers(in, n, keys))
		for i := range crashes {
			group := []string{first, second}[i%2]
			r.until("a commit", func() bool { return stats(es[i%2], group).Commits > 0 })
			es[i%2].Kill()
			es[i%2] = start(i % 2)
		}
		fed()
		r.processed(n, first, es[0])
		r.processed(n, second, es[1])
		r.stop(es[0])
		r.stop(es[1])
		want := countsOf(n, keys)
		for k, v := range want {
			c, _ := strconv.Atoi(v)
			want[k] = strconv.Itoa(c * (c + 1) / 2)
		}
		r.equal("table", r.table(second+"-table"), want)
	})
}

// Both groups may run in one process.
func TestTwoGroupsInOneProcess(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 1000, 20
		in, mid := r.topic("in", 2), r.topic("mid", 2)
		first, second, dir := r.name("first"), r.name("second"), r.t.TempDir()
		run := func() *engine.Engine {
			return r.start(r.fast(dir), announcing(first, in, mid), summing(second, mid))
		}
		e := run()
		r.emit(numbers(in, n, keys)...)
		r.until("a commit", func() bool { return stats(e, second).Commits > 0 })
		e.Kill()
		e = run()
		r.processed(n, first, e)
		r.processed(n, second, e)
		r.stop(e)
		r.equal("output", r.announced(mid), announcedBy(n, keys))
	})
}
