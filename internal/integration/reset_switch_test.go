package integration

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/reset"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// fewer counts the records of half of the keys only: a changed rule. It waits before
// each record for as long as the gate is shut.
func fewer(group, in string, gate <-chan struct{}) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, _ any) {
			<-gate
			if i, _ := strconv.Atoi(ctx.Key()[1:]); i%2 == 0 {
				n, _ := ctx.Value().(int64)
				ctx.SetValue(n + 1)
			}
		}),
		topology.Persist(new(gcodec.Int64)),
	)
}

func halfOf(m map[string]string) map[string]string {
	half := maps.Clone(m)
	maps.DeleteFunc(half, func(k, _ string) bool { i, _ := strconv.Atoi(k[1:]); return i%2 != 0 })
	return half
}

// quickly deletes old topics as soon as readers have switched.
func (r *rig) quickly(dir string) engine.Options {
	o := r.fast(dir)
	o.KeepOld = time.Millisecond
	return o
}

// vanished waits until topics do not exist any more.
func (r *rig) vanished(topics ...string) {
	r.t.Helper()
	r.until("the old topics to go", func() bool {
		there, err := r.k.Topics(r.ctx, topics...)
		r.must(err)
		return len(there) == 0
	})
}

// emitInBatches writes numbers in as many batches as there would be.
func (r *rig) emitInBatches(topic string, n, keys int) {
	r.t.Helper()
	for i := 0; i < n; i += n / 20 {
		r.emit(sent(topic, i, n/20, keys)...)
	}
}

// Readers keep the old table until the group stands where it stood, then they see the
// new one, whole; keys that the new run does not make are gone, and so is the old table.
func TestReadersKeepTheOldTableUntilTheNewOneIsThere(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 600, 30
		in, group, dir := r.topic("in", 3), r.name("g"), r.t.TempDir()
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(dir), counting(group, in))
		r.processed(n, group, e)
		r.quit(group, e)
		old, fresh := countsOf(n, keys), halfOf(countsOf(n, keys))
		v := r.view(group)
		r.shows(v, old)

		r.resetting(reset.Options{Group: group})
		gate := make(chan struct{})
		e = r.start(r.quickly(dir), fewer(group, in, gate))
		r.until("the replay's figures", func() bool { return stats(e, group).ReplayGoal >= n })
		r.equal("view while it replays", r.rows(v), old)
		close(gate)
		r.until("the view to switch", func() bool {
			rows := r.rows(v)
			if !maps.Equal(rows, old) && !maps.Equal(rows, fresh) {
				r.t.Fatalf("the view shows a mixture: %v", rows)
			}
			return maps.Equal(rows, fresh)
		})
		r.vanished(group+"-table", group+"-state")
		r.equal("view after all", r.rows(v), fresh)
		if s := stats(e, group); s.ReplayLeft != 0 || s.ReplayGoal < n {
			t.Errorf("%d of %d records left", s.ReplayLeft, s.ReplayGoal)
		}
		r.stop(e)
	})
}

// A second reset, while the first one's replay is under way, is as good as one: readers
// keep the table that they have until the second one has reached the oldest position.
func TestASecondResetInTheMidstOfTheFirst(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 3000, 30
		in, group, dir := r.topic("in", 3), r.name("g"), r.t.TempDir()
		r.emitInBatches(in, n, keys)
		e := r.start(r.fast(dir), counting(group, in))
		r.processed(n, group, e)
		r.quit(group, e)
		goal := r.committed(group, in)
		r.resetting(reset.Options{Group: group})

		o := r.quickly(dir) // ends by itself on the way
		o.Until = &engine.Until{Partitions: map[record.Partition]engine.Point{}}
		for partition, at := range goal {
			o.Until.Partitions[record.Partition{Topic: in, Partition: partition}] = engine.Point{Kind: engine.AtOffset, At: at / 2}
		}
		e = r.start(o, counting(group, in))
		if err := e.Wait(); err != nil {
			t.Fatal(err)
		}
		r.left(group, e)
		p := r.resetting(reset.Options{Group: group})
		if got := r.alias(group); p.Generation != 3 || got != group+"-table" {
			t.Errorf("generation %d, readers see %s", p.Generation, got)
		}
		for partition, until := range r.lastReset(group).Until[in] {
			if until != goal[int32(partition)] {
				t.Errorf("partition %d has to reach %d, readers have seen it at %d", partition, until, goal[int32(partition)])
			}
		}
		e = r.start(r.quickly(dir), counting(group, in))
		r.processed(n, group, e)
		r.until("readers to switch", func() bool { return r.alias(group) == group+".g3-table" })
		r.vanished(group+"-table", group+"-state", group+".g2-table", group+".g2-state")
		r.stop(e)
		r.equal("table", r.table(group+".g3-table"), countsOf(n, keys))
	})
}

// With muted outputs, each is there once, whatever happens during the replay; and the
// table is complete.
func TestMutedOutputsAreThereOnceThroughCrashes(t *testing.T) {
	each(t, func(r *rig) {
		const n, more, keys = 3000, 300, 30
		in, out, group, dir := r.topic("in", 3), r.topic("out", 2), r.name("g"), r.t.TempDir()
		r.emitInBatches(in, n, keys)
		e := r.start(r.fast(dir), announcing(group, in, out))
		r.processed(n, group, e)
		r.quit(group, e)
		r.resetting(reset.Options{Group: group, Mute: true})
		r.emit(sent(in, n, more, keys)...)
		small := func() engine.Options {
			o := r.fast(dir)
			o.BatchBytes = 1 << 10
			return o
		}
		for life := 1; life <= 3; life++ {
			e = r.start(small(), announcing(group, in, out))
			r.until("some of the replay", func() bool { return counts(e, group).Sum() >= int64(life)*n/10 })
			e.Kill()
		}
		e = r.start(small(), announcing(group, in, out))
		r.processed(n+more, group, e)
		r.until("readers to switch", func() bool { return r.alias(group) == group+".g2-table" })
		r.stop(e)
		r.equal("table", r.table(group+".g2-table"), countsOf(n+more, keys))
		r.equal("output", r.announced(out), announcedBy(n+more, keys))
	})
}

// At once means that readers see the new table from its first record on.
func TestASwitchAtOnceShowsTheNewTableFromItsBeginning(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 300, 30
		in, group, dir := r.topic("in", 2), r.name("g"), r.t.TempDir()
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(dir), counting(group, in))
		r.processed(n, group, e)
		r.quit(group, e)
		v := r.view(group)
		r.shows(v, countsOf(n, keys))
		r.resetting(reset.Options{Group: group, AtOnce: true})
		r.until("the view to be empty", func() bool { return len(r.rows(v)) == 0 })
		e = r.start(r.quickly(dir), counting(group, in))
		r.shows(v, countsOf(n, keys))
		r.vanished(group+"-table", group+"-state")
		r.stop(e)
	})
}

// What waits in the loop belongs to the state that is cleared; what is looped anew is
// processed.
func TestAResetPassesOverWhatWaitsInTheLoop(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 300, 10
		in, group, dir := r.topic("in", 2), r.name("g"), r.t.TempDir()
		count := func(ctx goka.Context) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}
		def := topology.Group(goka.Group(group),
			topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) { count(ctx); ctx.Loopback(ctx.Key()+"x", msg) }),
			topology.Loop(new(gcodec.String), func(ctx goka.Context, _ any) { count(ctx) }),
			topology.Persist(new(gcodec.Int64)))
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(dir), def)
		r.processed(2*n, group, e)
		r.quit(group, e)
		r.emit(record.Record{Topic: group + "-loop", Key: []byte("k0x"), Value: []byte("of the old state")})
		r.resetting(reset.Options{Group: group})
		e = r.start(r.fast(dir), def)
		r.processed(2*n, group, e)
		r.stop(e)
		want := map[string]string{}
		for k, c := range countsOf(n, keys) {
			want[k], want[k+"x"] = c, c
		}
		r.equal("table", r.table(group+".g2-table"), want)
	})
}

// A group that joins the table of a group that was reset joins the generation that
// readers see when it starts; a lookup follows the switch while it runs.
func TestJoinsAndLookupsFollowTheGenerations(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 120, 12
		in, ask, out := r.topic("in", 2), r.topic("ask", 2), r.topic("out", 2)
		group, joiner, dir := r.name("g"), r.name("j"), r.t.TempDir()
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(dir), counting(group, in))
		r.processed(n, group, e)
		r.quit(group, e)
		table := goka.GroupTable(goka.Group(group))
		def := topology.Group(goka.Group(joiner),
			topology.Input(goka.Stream(ask), new(gcodec.String), func(ctx goka.Context, _ any) {
				both := []string{"none", "none"}
				for i, v := range []any{ctx.Join(table), ctx.Lookup(table, ctx.Key())} {
					if v != nil {
						both[i] = strconv.FormatInt(v.(int64), 10)
					}
				}
				ctx.Emit(goka.Stream(out), ctx.Key(), strings.Join(both, "/"))
			}),
			topology.Join(table, new(gcodec.Int64)), topology.Lookup(table, new(gcodec.Int64)),
			topology.Output(goka.Stream(out), new(gcodec.String)))
		jdir, asked := r.t.TempDir(), int64(0)
		run := func() *engine.Engine {
			o := r.fast(jdir)
			o.OpenLookup = r.lookups()
			return r.start(o, def)
		}
		answer := func(e *engine.Engine, key string) string {
			r.emit(record.Record{Topic: ask, Key: []byte(key), Value: []byte("?")})
			asked++
			r.until("an answer", func() bool { return len(r.read(out)) == int(asked) })
			all := strings.Fields(r.announced(out)[key])
			return all[len(all)-1]
		}
		j := run()
		r.running(j, joiner, 2)
		r.until("the joined table", func() bool { return answer(j, "k1") == "10/10" })

		r.resetting(reset.Options{Group: group})
		open := make(chan struct{})
		close(open)
		e = r.start(r.quickly(dir), fewer(group, in, open))
		r.until("readers to switch", func() bool { return r.alias(group) == group+".g2-table" })
		r.until("the lookup to follow", func() bool { return strings.HasSuffix(answer(j, "k1"), "/none") })
		if got := answer(j, "k1"); got != "10/none" {
			t.Errorf("a running joiner answers %s: its join is the old generation's", got)
		}
		there, err := r.k.Topics(r.ctx, group+"-table")
		r.must(err)
		if len(there) == 0 {
			t.Error("the old table was deleted while a group joins it")
		}
		r.quit(joiner, j)
		j = run()
		r.running(j, joiner, 2)
		r.until("the new joined table", func() bool { return answer(j, "k2") == "10/10" })
		if got := answer(j, "k1"); got != "none/none" {
			t.Errorf("after its restart the joiner answers %s", got)
		}
		r.stop(j)
		r.stop(e)
	})
}

// A group of stock goka is reset as it lies there: kappa has not run it yet.
func TestAGroupOfStockGokaIsReset(t *testing.T) {
	r := onKafka(t)
	const n, keys = 600, 30
	in, out, group := r.topic("in", 3), r.topic("out", 3), r.name("tally")
	r.emit(numbers(in, n, keys)...)
	r.runGoka(gokaTally(group, in, out), n)
	r.until("goka to have left", func() bool {
		members, err := r.k.Members(r.ctx, group)
		r.must(err)
		return len(members) == 0
	})
	p := r.resetting(reset.Options{Group: group, Mute: true})
	if p.OldTable != group+"-table" || r.alias(group) != p.OldTable {
		t.Errorf("plan %+v, alias %s", p, r.alias(group))
	}
	e := r.start(r.quickly(t.TempDir()), ourTally(group, in, out, new(firsts)))
	r.processed(n, group, e)
	r.vanished(group + "-table")
	r.stop(e)
	r.equal("table", r.table(group+".g2-table"), countsOf(n, keys))
	r.tallied(out, countsOf(n, keys))
}

// A group without a table has a state topic, and so generations of it, and nothing that
// readers would switch to.
func TestAGroupWithoutTableIsReset(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 300, 10
		in, out, group, dir := r.topic("in", 2), r.topic("out", 2), r.name("g"), r.t.TempDir()
		def := topology.Group(goka.Group(group),
			topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) { ctx.Emit(goka.Stream(out), ctx.Key(), msg) }),
			topology.Output(goka.Stream(out), new(gcodec.String)))
		r.emit(numbers(in, n, keys)...)
		e := r.start(r.fast(dir), def)
		r.processed(n, group, e)
		r.quit(group, e)
		if p := r.resetting(reset.Options{Group: group}); p.Table != "" || p.OldTable != "" {
			t.Errorf("plan %+v", p)
		}
		e = r.start(r.quickly(dir), def)
		r.processed(n, group, e)
		r.vanished(group + "-state")
		r.stop(e)
		if got := len(r.read(out)); got != 2*n {
			t.Errorf("%d records in the output, want each of %d twice", got, n)
		}
		p, err := reset.Look(r.ctx, r.k, group)
		if err != nil || !p.Switched || p.Left != 0 || p.Goal < n {
			t.Errorf("progress %+v, %v", p, err)
		}
	})
}

// A view whose table is deleted under it, as a reader sees it that was away while others
// switched, shows what it has until it has the new table.
func TestAViewOutlivesItsOldTable(t *testing.T) {
	each(t, func(r *rig) {
		const keys = 30
		old, fresh, name := r.tableTopic("one-table", 2), r.tableTopic("two-table", 2), r.name("t")
		table := func(topic, value string) (rows []record.Record, want map[string]string) {
			want = map[string]string{}
			for i := range keys {
				rows = append(rows, row(topic, i, value))
				want["k"+strconv.Itoa(i)] = value
			}
			return rows, want
		}
		rows, before := table(old, "1")
		r.emit(rows...)
		r.must(control.SetAlias(r.ctx, r.k, name, old))
		v := r.view(name)
		r.shows(v, before)
		r.must(r.k.DeleteTopics(r.ctx, old))
		r.until("the view to miss its topic", func() bool { return v.Ready() != nil })
		r.equal("view without its topic", r.rows(v), before)
		rows, after := table(fresh, "2")
		r.emit(rows...)
		r.must(control.SetAlias(r.ctx, r.k, name, fresh))
		r.until("the view to switch", func() bool { return maps.Equal(r.rows(v), after) })
	})
}
