package integration

import (
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine"
)

// followed waits until standbys have seen as much of the tables as there is.
func (r *rig) followed(tasks int, es ...*engine.Engine) {
	r.t.Helper()
	r.until("the standbys to follow", func() bool {
		n := 0
		for _, e := range es {
			n += e.Stats().Groups[0].Standbys
		}
		return n == tasks
	})
}

// A process dies; another that has followed its tasks goes on without replaying what
// was there before, and the result is exact. A third, which had no copy, would have
// had to replay all.
func TestAStandbyTakesOverWithItsCopy(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 20_000, 5000
		in, out, group := r.topic("in", 4), r.topic("out", 2), r.name("g")
		options := func() engine.Options {
			o := r.fast(r.t.TempDir())
			o.Standbys, o.Dynamic = 1, true
			return o
		}
		first := r.start(options(), announcing(group, in, out))
		r.emit(numbers(in, n, keys)...)
		r.processed(n, group, first)
		second := r.start(options(), announcing(group, in, out))
		r.followed(4, first, second)
		r.emit(sent(in, n, 2000, keys)...)
		r.processed(n+2000, group, first, second)
		r.until("the copies to be whole", func() bool { return second.Stats().Groups[0].StandbyRecords > 0 })
		before := second.Stats().Groups[0].ReplayedRecords
		first.Kill()
		began := time.Now()
		r.emit(sent(in, n+2000, 2000, keys)...)
		r.processed(n+4000, group, second)
		s := second.Stats().Groups[0]
		r.t.Logf("all processed %v after the kill; replayed %d, before it %d", time.Since(began), s.ReplayedRecords, before)
		if got := s.ReplayedRecords - before; got > 3000 {
			r.t.Errorf("replayed %d records to take two tasks over", got)
		}
		r.stop(second)
		r.equal("table", r.table(group+"-table"), countsOf(n+4000, keys))
		r.equal("output", r.announced(out), announcedBy(n+4000, keys))
	})
}

// What a process has on its disk decides what it gets when nobody owns anything.
func TestTasksGoBackToWhereTheirStateIs(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 5000, 1000
		in, out, group := r.topic("in", 4), r.topic("out", 2), r.name("g")
		old, empty := r.fast(r.t.TempDir()), r.fast(r.t.TempDir())
		old.Dynamic, empty.Dynamic = true, true
		old.Instance, empty.Instance = "z", "a" // the newcomer would be asked first
		e := r.start(old, announcing(group, in, out))
		r.emit(numbers(in, n, keys)...)
		r.processed(n, group, e)
		r.stop(e)
		e, other := r.start(old, announcing(group, in, out)), r.start(empty, announcing(group, in, out))
		r.emit(sent(in, n, 500, keys)...)
		r.processed(n+500, group, e, other)
		if s := e.Stats().Groups[0]; s.ReplayedRecords > 1000 || s.Wipes > 0 {
			r.t.Errorf("the process with the state replayed %d records, %d stores were wiped", s.ReplayedRecords, s.Wipes)
		}
		r.stop(e)
		r.stop(other)
		r.equal("table", r.table(group+"-table"), countsOf(n+500, keys))
	})
}
