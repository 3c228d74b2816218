package integration

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// tally counts the records of a key and says each count.
func tally(out string) goka.ProcessCallback {
	return func(ctx goka.Context, _ any) {
		n, _ := ctx.Value().(int64)
		ctx.SetValue(n + 1)
		ctx.Emit(goka.Stream(out), ctx.Key(), n+1)
	}
}

// gokaTally is the group on stock goka, ourTally the same on kappa.
func gokaTally(group, in, out string) *goka.GroupGraph {
	return goka.DefineGroup(goka.Group(group),
		goka.Input(goka.Stream(in), new(gcodec.String), tally(out)),
		goka.Output(goka.Stream(out), new(gcodec.Int64)),
		goka.Persist(new(gcodec.Int64)),
	)
}

func ourTally(group, in, out string, f *firsts) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), f.of(tally(out))),
		topology.Output(goka.Stream(out), new(gcodec.Int64)),
		topology.Persist(new(gcodec.Int64)),
	)
}

// tallied fails unless the outputs of each key are 1, 2, … up to what the table says.
func (r *rig) tallied(out string, table map[string]string) {
	r.t.Helper()
	said := map[string]string{}
	for _, x := range r.read(out) {
		last, _ := strconv.Atoi(said[string(x.Key)])
		said[string(x.Key)] = string(x.Value)
		if said[string(x.Key)] != strconv.Itoa(last+1) {
			r.t.Fatalf("%s says %s of %s after %d", out, x.Value, x.Key, last)
		}
	}
	r.equal(out, said, table)
}

// The group's table, its offsets and its output go on as if it had been kappa's.
func TestAGroupOfStockGokaGoesOn(t *testing.T) {
	r := onKafka(t)
	const n, keys = 2000, 40
	in, out, group := r.topic("in", 4), r.topic("out", 4), r.name("tally")
	recs := numbers(in, n, keys)
	r.emit(recs[:n/2]...)
	r.runGoka(gokaTally(group, in, out), n/2)
	committed := r.committed(group, in)
	if left := r.behind(in, committed); len(left) > 0 {
		t.Fatalf("goka has left %d records", len(left))
	}
	r.tallied(out, countsOf(n/2, keys))

	r.emit(recs[n/2:]...)
	var f firsts
	e := r.start(r.fast(t.TempDir()), ourTally(group, in, out, &f))
	r.processed(n/2, group, e)
	r.stop(e)
	f.begin(t, in, committed)
	r.equal("table", r.table(group+"-table"), countsOf(n, keys))
	r.tallied(out, countsOf(n, keys))
}

// Where goka is stopped while it works, kappa takes the rest: what lies behind the
// committed offsets, on the table as it is.
func TestAGroupOfStockGokaGoesOnFromTheMiddle(t *testing.T) {
	r := onKafka(t)
	const n, keys = 2000, 40
	in, out, group := r.topic("in", 4), r.topic("out", 4), r.name("tally")
	recs := numbers(in, n, keys)
	finish := r.feed(recs[:n/2])
	s := r.gokaUntil(gokaTally(group, in, out), keys+1)
	s.stop()
	finish()
	r.emit(recs[n/2:]...)
	committed, want := r.committed(group, in), r.table(group+"-table")
	left := r.behind(in, committed)
	t.Logf("goka has counted %d records, and left %d of %d", sum(want), len(left), n)
	for _, x := range left {
		c, _ := strconv.Atoi(want[string(x.Key)])
		want[string(x.Key)] = strconv.Itoa(c + 1)
	}

	var f firsts
	e := r.start(r.fast(t.TempDir()), ourTally(group, in, out, &f))
	r.processed(int64(len(left)), group, e)
	r.stop(e)
	f.begin(t, in, committed)
	r.equal("table", r.table(group+"-table"), want)
}

// naming counts the records of a key, and by a loop those of the key under the name
// that it had when they came.
func naming(names string) (input, loop goka.ProcessCallback) {
	count := func(ctx goka.Context) {
		n, _ := ctx.Value().(int64)
		ctx.SetValue(n + 1)
	}
	input = func(ctx goka.Context, _ any) {
		count(ctx)
		name, _ := ctx.Join(goka.Table(names)).(string)
		ctx.Loopback(ctx.Key()+" "+name, "")
	}
	return input, func(ctx goka.Context, _ any) { count(ctx) }
}

func gokaNaming(group, in, names string) *goka.GroupGraph {
	input, loop := naming(names)
	return goka.DefineGroup(goka.Group(group),
		goka.Input(goka.Stream(in), new(gcodec.String), input),
		goka.Join(goka.Table(names), new(gcodec.String)),
		goka.Loop(new(gcodec.String), loop),
		goka.Persist(new(gcodec.Int64)),
	)
}

func ourNaming(group, in, names string, f *firsts) *topology.Def {
	input, loop := naming(names)
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), f.of(input)),
		topology.Join(goka.Table(names), new(gcodec.String)),
		topology.Loop(new(gcodec.String), f.of(loop)),
		topology.Persist(new(gcodec.Int64)),
	)
}

// named returns a row for each key.
func named(table, name string, keys int) (rows []record.Record) {
	for i := range keys {
		rows = append(rows, row(table, i, name))
	}
	return rows
}

// A joined table is read anew, and what waits in the loop is taken from where goka
// has committed; but first the loop has to keep its records for longer than goka
// lets it.
func TestAGroupOfStockGokaGoesOnWithItsTablesAndItsLoop(t *testing.T) {
	r := onKafka(t)
	const n, keys = 1200, 30
	in, names, group := r.topic("in", 4), r.tableTopic("names", 4), r.name("naming")
	recs := numbers(in, n, keys)
	r.gokaEmit(names, named(names, "old", keys)...)
	r.emit(recs[:n/2]...)
	r.runGoka(gokaNaming(group, in, names), n) // each is counted twice
	committed, looped := r.committed(group, in), r.committed(group, group+"-loop")

	// The second half finds new names, and the loop what a crash of goka leaves there.
	r.gokaEmit(names, named(names, "new", keys)...)
	r.gokaEmit(group+"-loop", named(group+"-loop", "left", keys)...)
	r.emit(recs[n/2:]...)
	var f firsts
	def, o := ourNaming(group, in, names, &f), r.fast(t.TempDir())
	const hint = "cleanup.policy=delete,retention.ms=-1"
	if _, err := r.tryStart(o, def); err == nil || !strings.Contains(err.Error(), hint) {
		t.Fatalf("a loop that forgets after an hour: %v, want a hint at %s", err, hint)
	}
	r.keepForever(group + "-loop")
	e := r.start(o, def)
	r.processed(n+keys, group, e)
	r.stop(e)
	f.begin(t, in, committed)
	f.begin(t, group+"-loop", looped)
	want := map[string]string{}
	for i := range keys {
		k := fmt.Sprintf("k%d", i)
		want[k] = strconv.Itoa(n/keys + 1)
		want[k+" old"], want[k+" new"] = strconv.Itoa(n/keys/2), strconv.Itoa(n/keys/2)
	}
	r.equal("table", r.table(group+"-table"), want)
}

// While goka runs, kappa does not get the group, nor goka while kappa runs: each says
// so, and who has the group goes on.
func TestKappaAndStockGokaDoNotShareAGroup(t *testing.T) {
	r := onKafka(t)
	const n, keys = 600, 30
	in, out, group := r.topic("in", 3), r.topic("out", 3), r.name("tally")
	recs := numbers(in, n, keys)
	r.emit(recs[:n/3]...)
	s := r.gokaUntil(gokaTally(group, in, out), n/3)

	e, err := r.tryStart(r.fast(t.TempDir()), ourTally(group, in, out, new(firsts)))
	if err == nil {
		err = e.Wait()
	}
	if err == nil || !strings.Contains(err.Error(), "members that are not kappa's") {
		t.Fatalf("kappa beside goka: %v", err)
	}
	r.emit(recs[n/3 : 2*n/3]...)
	r.until("goka", func() bool { return sum(r.table(group+"-table")) == 2*n/3 })
	s.stop()

	e = r.start(r.fast(t.TempDir()), ourTally(group, in, out, new(firsts)))
	r.running(e, group, 3)
	_, s = r.goka(gokaTally(group, in, out), gokaConfig())
	select {
	case err := <-s.ended:
		if err == nil || !strings.Contains(err.Error(), "protocol type is incompatible") {
			t.Fatalf("goka beside kappa: %v", err)
		}
	case <-r.ctx.Done():
		t.Fatal("goka waits for a group that kappa has")
	}
	r.emit(recs[2*n/3:]...)
	r.processed(n/3, group, e)
	r.stop(e)
	r.equal("table", r.table(group+"-table"), countsOf(n, keys))
	r.tallied(out, countsOf(n, keys))
}
