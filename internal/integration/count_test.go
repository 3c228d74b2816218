package integration

import (
	"testing"

	"github.com/seed-73111be4/kappa/internal/engine"
)

func TestCountsAreExact(t *testing.T) {
	each(t, func(r *rig) {
		in, group := r.topic("in", 4), r.name("count")
		r.emit(numbers(in, 5000, 97)...)
		e := r.start(r.fast(r.t.TempDir()), counting(group, in))
		r.processed(5000, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(5000, 97))
	})
}

// A crash drops memory, the open transaction and what was not yet on disk.
func TestCrashesLoseAndDoubleNothing(t *testing.T) {
	each(t, func(r *rig) {
		in, group, dir := r.topic("in", 4), r.name("count"), r.t.TempDir()
		const n, keys, crashes = 20_000, 301, 5
		fed := r.feed(numbers(in, n, keys))
		for range crashes {
			e := r.start(r.fast(dir), counting(group, in))
			r.until("a commit", func() bool { return stats(e, group).Commits > 0 })
			e.Kill()
		}
		e := r.start(r.fast(dir), counting(group, in))
		fed()
		r.processed(n, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(n, keys))
	})
}

func TestRestartWithoutTheStoreRestoresFromTheChangelog(t *testing.T) {
	each(t, func(r *rig) {
		in, group := r.topic("in", 3), r.name("count")
		r.emit(numbers(in, 3000, 50)...)
		e := r.start(r.fast(r.t.TempDir()), counting(group, in))
		r.processed(3000, group, e)
		r.stop(e)
		o := r.fast(r.t.TempDir())
		o.Instance = e.Instance()
		e = r.start(o, counting(group, in))
		r.emit(numbers(in, 3000, 50)...)
		r.processed(6000, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(6000, 50))
	})
}

func TestThreeInstancesShareAndHandOver(t *testing.T) {
	each(t, func(r *rig) {
		in, group := r.topic("in", 6), r.name("count")
		const n, keys = 12_000, 200
		recs := numbers(in, n, keys)
		var es []*engine.Engine
		for i := range 3 {
			o := r.fast(r.t.TempDir())
			o.Dynamic = true
			es = append(es, r.start(o, counting(group, in)))
			r.emit(recs[i*n/4 : (i+1)*n/4]...)
		}
		r.until("tasks on all instances", func() bool {
			for _, e := range es {
				if len(stats(e, group).Tasks) != 2 {
					return false
				}
			}
			return true
		})
		if err := es[0].Leave(r.ctx); err != nil {
			r.t.Fatal(err)
		}
		r.emit(recs[3*n/4:]...)
		r.processed(n, group, es[1:]...)
		for _, e := range es[1:] {
			r.stop(e)
		}
		r.equal("table", r.table(group+"-table"), countsOf(n, keys))
	})
}
