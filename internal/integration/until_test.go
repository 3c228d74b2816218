package integration

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// untilNow ends a run where its inputs end when it starts.
func untilNow() *engine.Until { return &engine.Until{Rest: new(engine.Point)} }

func at(offset int64) engine.Point { return engine.Point{Kind: engine.AtOffset, At: offset} }

// concluded waits until bounded runs have come to their ends by themselves.
func (r *rig) concluded(es ...*engine.Engine) {
	r.t.Helper()
	for _, e := range es {
		r.must(r.ended(e))
	}
}

// offsets are the committed ones of a topic, -1 where there is none.
func (r *rig) offsets(group, topic string, partitions int32) []int64 {
	r.t.Helper()
	committed, err := r.k.Committed(r.ctx, group, topic)
	r.must(err)
	out := make([]int64, partitions)
	for p := range out {
		next, ok := committed[record.Partition{Topic: topic, Partition: int32(p)}]
		if out[p] = next; !ok {
			out[p] = -1
		}
	}
	return out
}

// A run up to offsets that lie anywhere, a crash in it, another up to later ones, and
// one without bounds are together what one run is.
func TestBoundedRunsOneAfterTheOtherAreOneRun(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 3000, 37
		in, out, group, dir := r.topic("in", 3), r.topic("out", 2), r.name("g"), r.t.TempDir()
		r.emit(numbers(in, n, keys)...)
		for _, bounds := range [][3]int64{{311, 0, 500}, {700, 45, 500}} {
			u := &engine.Until{Partitions: map[record.Partition]engine.Point{}}
			want := map[string]string{}
			for p, bound := range bounds {
				part := record.Partition{Topic: in, Partition: int32(p)}
				u.Partitions[part] = at(bound)
				for _, x := range r.readPartition(part)[:bound] {
					c, _ := strconv.Atoi(want[string(x.Key)])
					want[string(x.Key)] = strconv.Itoa(c + 1)
				}
			}
			o := r.fast(dir)
			o.Until, o.BatchBytes = u, 5000
			e := r.start(o, announcing(group, in, out))
			r.until("a commit, or the end", func() bool { return stats(e, group).Commits > 0 })
			e.Kill()
			r.concluded(r.start(o, announcing(group, in, out)))
			r.equal("table", r.table(group+"-table"), want)
			if got := r.offsets(group, in, 3); [3]int64(got) != bounds {
				r.t.Errorf("committed %v, the bounds are %v", got, bounds)
			}
		}
		e := r.start(r.fast(dir), announcing(group, in, out))
		r.processed(n, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(n, keys))
		r.equal("output", r.announced(out), announcedBy(n, keys))
	})
}

// What groups write for each other, and for themselves, is read to its end before the
// run ends; what comes from elsewhere after its start is left alone.
func TestARunUntilNowDrainsChainsAndLoops(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys, hops = 1200, 40, 4
		in, steps, mid := r.topic("in", 3), r.topic("steps", 2), r.topic("mid", 4)
		first, second, third, dir := r.name("first"), r.name("second"), r.name("wander"), r.t.TempDir()
		r.emit(numbers(in, n, keys)...)
		walk := numbers(steps, 300, 30)
		for i := range walk {
			walk[i].Value = []byte(strconv.Itoa(hops))
		}
		r.emit(walk...)
		defs := []*topology.Def{summing(second, mid), wandering(third, steps), announcing(first, in, mid)}
		o := r.fast(dir)
		o.Until = untilNow()
		e := r.start(o, defs...)
		r.emit(numbers(in, n, keys)...) // beyond the end
		r.emit(walk...)
		r.concluded(e)
		want := countsOf(n, keys)
		r.equal("first table", r.table(first+"-table"), want)
		for k, v := range want {
			c, _ := strconv.Atoi(v)
			want[k] = strconv.Itoa(c * (c + 1) / 2)
		}
		r.equal("second table", r.table(second+"-table"), want)
		want = map[string]string{}
		for i := range 30 {
			want[fmt.Sprintf("k%d", i)] = "10"
			for h := 1; h <= hops; h++ {
				want[fmt.Sprintf("k%d.%d", i, h)] = "10"
			}
		}
		r.equal("loops", r.table(third+"-table"), want)
	})
}

// Each process of a group ends when the group has come to its end, not before; one
// that was killed and started again does, too, and so does one that comes late.
func TestAllProcessesOfABoundedRunEnd(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 4000, 53
		in, out, group := r.topic("in", 6), r.topic("out", 2), r.name("g")
		r.emit(numbers(in, n, keys)...)
		dirs := []string{r.t.TempDir(), r.t.TempDir(), r.t.TempDir()}
		start := func(i int) *engine.Engine {
			o := r.fast(dirs[i])
			o.Until, o.BatchBytes = untilNow(), 2000
			return r.start(o, announcing(group, in, out))
		}
		a, b := start(0), start(1)
		r.until("a commit", func() bool { return committed([]*engine.Engine{a, b}, group) > 0 })
		b.Kill()
		b = start(1)
		for _, e := range []*engine.Engine{a, b} {
			r.concluded(e)
			total := int64(0)
			for _, next := range r.offsets(group, in, 6) {
				total += next
			}
			if total != n {
				r.t.Errorf("a process ends at %d of %d records", total, n)
			}
		}
		r.concluded(start(2))
		r.equal("table", r.table(group+"-table"), countsOf(n, keys))
		r.equal("output", r.announced(out), announcedBy(n, keys))
	})
}

// Partitions without records, with aborted ones alone, and of a group that begins at
// the latest record end like all others: with their positions committed.
func TestABoundedRunLeavesAPositionInEachPartition(t *testing.T) {
	each(t, func(r *rig) {
		in, group := r.topic("in", 4), r.name("g")
		recs := numbers(in, 100, 1)
		r.emit(recs...)
		o := r.fast(r.t.TempDir())
		o.Until = untilNow()
		late := r.name("late")
		r.concluded(r.start(o, counting(group, in)))
		o = r.fast(r.t.TempDir())
		o.Until = untilNow()
		r.concluded(r.start(o, counting(late, in, topology.StartAt(topology.Latest))))
		r.emit(recs...)
		for _, g := range []string{group, late} {
			total := int64(0)
			for p, next := range r.offsets(g, in, 4) {
				if next < 0 {
					r.t.Errorf("%s has no position in %d", g, p)
				}
				total += next
			}
			if total != 100 {
				r.t.Errorf("%s stands at %v", g, r.offsets(g, in, 4))
			}
		}
		e := r.start(r.fast(r.t.TempDir()), counting(late, in))
		r.processed(100, late, e) // it has begun where the run from the latest record on ended
		r.stop(e)
	})
}

// A run that could not end is refused before it begins.
func TestBoundsThatDoNotFitAreNamed(t *testing.T) {
	each(t, func(r *rig) {
		in, group := r.topic("in", 2), r.name("g")
		part := func(p int32) record.Partition { return record.Partition{Topic: in, Partition: p} }
		for text, u := range map[string]*engine.Until{
			"nothing says where " + part(1).String() + " ends": {Partitions: map[record.Partition]engine.Point{part(0): at(1)}},
			"elsewhere is no input":                            {Rest: new(engine.Point), Topics: map[string]engine.Point{"elsewhere": {}}},
			"there is no " + part(2).String():                  {Rest: new(engine.Point), Partitions: map[record.Partition]engine.Point{part(2): at(1)}},
		} {
			o := r.fast("")
			o.Until = u
			if _, err := r.tryStart(o, counting(group, in)); !errors.Is(err, engine.ErrUntil) {
				r.t.Errorf("%v", err)
			} else {
				says(r.t, err, text)
			}
		}
		o := r.fast("")
		o.Until, o.PauseFailed = untilNow(), true
		if _, err := r.tryStart(o, counting(group, in)); !errors.Is(err, engine.ErrUntil) {
			r.t.Errorf("a failed task is waited for: %v", err)
		}
	})
}

// Processes whose ends differ, each later for some of what the other holds, do not wait
// for each other for ever: what comes to an end that was found goes on.
func TestProcessesWithDifferentEndsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	in, group := r.topic("in", 4), r.name("g")
	r.emit(numbers(in, 400, 40)...)
	wanted := map[record.Partition]int64{}
	run := func(now ...int32) *engine.Engine {
		u := untilNow()
		u.Partitions = map[record.Partition]engine.Point{}
		for p := range int32(4) {
			part := record.Partition{Topic: in, Partition: p}
			ends, err := r.k.Ends(r.ctx, part)
			r.must(err)
			if !slices.Contains(now, p) {
				wanted[part] = ends.HighWatermark + 20
				u.Partitions[part] = at(wanted[part])
			}
		}
		o := r.fast(r.t.TempDir())
		o.Until, o.SessionTimeout = u, 1500*time.Millisecond
		return r.start(o, counting(group, in))
	}
	a, b := run(0, 3), run(1, 2)
	r.running(a, group, 2)
	r.running(b, group, 2)
	r.emit(sent(in, 400, 400, 40)...)
	r.concluded(a, b)
	for part, next := range wanted {
		if at := r.offsets(group, in, 4)[part.Partition]; at < next {
			r.t.Errorf("%s stands at %d of %d", part, at, next)
		}
	}
}
