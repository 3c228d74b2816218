package integration

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/record"
)

// Stock goka takes a table for recovered when it has read the record before the high
// watermark. In a table that kappa has written, that is the marker of a transaction,
// which no consumer is given. The tests here show what that does to goka, and what
// helps; the guide for goka's users says it in words.

// stuck is how long goka is watched while it does not recover. It has read all there
// is before that.
const stuck = 3 * time.Second

// lasts returns the offset of the last record of each partition, and fails where it
// is the last offset: then there is no marker behind it.
func (r *rig) lasts(topic string) map[int32]int64 {
	r.t.Helper()
	m := map[int32]int64{}
	for _, x := range r.read(topic) {
		m[x.Partition] = x.Offset
	}
	for p, last := range m {
		ends, err := r.k.Ends(r.ctx, record.Partition{Topic: topic, Partition: p})
		if err != nil {
			r.t.Fatal(err)
		}
		if ends.HighWatermark <= last+1 {
			r.t.Fatalf("%s/%d ends with a record, not with a marker", topic, p)
		}
	}
	return m
}

// hasRead waits until a view of goka's has read all records up to those.
func (r *rig) hasRead(v *goka.View, lasts map[int32]int64) {
	r.t.Helper()
	r.until("goka's view to have read all", func() bool {
		parts := v.Stats(r.ctx).Partitions
		for p, last := range lasts {
			if parts[p] == nil || parts[p].Input.LastOffset < last {
				return false
			}
		}
		return true
	})
}

// waits fails where goka recovers although it should not.
func (r *rig) waits(recovered func() bool) {
	r.t.Helper()
	over := time.NewTimer(stuck)
	defer over.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over.C:
			return
		case <-tick.C:
			if recovered() {
				r.t.Fatal("goka has recovered from a table that ends with a marker: the guide says that it does not")
			}
		}
	}
}

// wake writes plain records behind the markers: deletions of keys that nobody has, so
// many that each partition gets some.
func (r *rig) wake(table string) {
	r.t.Helper()
	var rs []record.Record
	for i := range 100 {
		rs = append(rs, record.Record{Topic: table, Key: fmt.Appendf(nil, "wake-%d", i)})
	}
	r.emit(rs...)
}

// gokaShows fails unless a view of goka's has a table's values.
func (r *rig) gokaShows(v *goka.View, want map[string]string) {
	r.t.Helper()
	got := map[string]string{}
	for k := range want {
		n, err := v.Get(k)
		if err != nil {
			r.t.Fatal(err)
		}
		got[k] = fmt.Sprint(n)
	}
	r.equal("goka's view", got, want)
}

// A view of stock goka on an idle table of kappa's reads all and never says so,
// whatever its isolation level. A record behind each partition's marker helps; one
// in some partitions does not. A view of kappa's does not need it.
func TestAViewOfStockGokaWaitsBehindTheLastMarker(t *testing.T) {
	r := onKafka(t)
	const n, keys = 300, 30
	in, group := r.topic("in", 3), r.name("count")
	table := group + "-table"
	r.emit(numbers(in, n, keys)...)
	e := r.start(r.fast(t.TempDir()), counting(group, in))
	r.processed(n, group, e)

	want, lasts := countsOf(n, keys), r.lasts(table) // which waits for the markers
	dirty, clean := r.gokaView(table, gokaConfig()), r.gokaView(table, readCommitted(gokaConfig()))
	for _, v := range []*goka.View{dirty, clean} {
		r.hasRead(v, lasts)
	}
	recovered := func() bool { return dirty.Recovered() || clean.Recovered() }
	r.waits(recovered)
	r.gokaShows(clean, want) // it answers, but cannot tell that it is complete
	ours := r.view(group)
	if err := ours.WaitCaughtUp(r.ctx); err != nil {
		t.Fatal(err)
	}
	r.equal("kappa's view", r.rows(ours), want)

	// A commit wakes the partitions that it writes to.
	r.emit(record.Record{Topic: in, Key: []byte("k0"), Value: []byte("x")})
	r.processed(n+1, group, e)
	want["k0"] = fmt.Sprint(n/keys + 1)
	r.until("the partition that was written to", func() bool { return someRecovered(r, clean) && someRecovered(r, dirty) })
	r.waits(recovered)

	r.wake(table)
	r.until("goka's views", func() bool { return clean.Recovered() && dirty.Recovered() })
	r.gokaShows(clean, want)
	r.gokaShows(dirty, want)

	// kappa takes no notice, and goka's views follow from here on.
	r.emit(numbers(in, n, keys)...)
	r.processed(2*n+1, group, e)
	want = countsOf(2*n, keys)
	want["k0"] = fmt.Sprint(2*n/keys + 1)
	r.shows(ours, want)
	r.hasRead(clean, r.lasts(table))
	r.gokaShows(clean, want)
	r.stop(e)
	e = r.start(r.fast(t.TempDir()), counting(group, in)) // from the topic
	r.emit(record.Record{Topic: in, Key: []byte("k1"), Value: []byte("x")})
	r.processed(2*n+2, group, e)
	r.stop(e)
	want["k1"] = want["k0"]
	r.equal("table", r.table(table), want)
}

func someRecovered(r *rig, v *goka.View) bool {
	for _, p := range v.Stats(r.ctx).Partitions {
		if p.Status == goka.PartitionRunning {
			return true
		}
	}
	return false
}

// A processor of stock goka that joins an idle table of kappa's does not begin. What
// kappa emits is an input like any other.
func TestAProcessorOfStockGokaWaitsForATableThatItJoins(t *testing.T) {
	r := onKafka(t)
	const n, keys = 300, 30
	in, out, group, joining := r.topic("in", 3), r.topic("out", 3), r.name("tally"), r.name("joining")
	r.emit(numbers(in, n, keys)...)
	e := r.start(r.fast(t.TempDir()), ourTally(group, in, out, new(firsts)))
	r.processed(n, group, e)
	r.stop(e)
	r.lasts(group + "-table")

	p, s := r.goka(goka.DefineGroup(goka.Group(joining),
		goka.Input(goka.Stream(out), new(gcodec.Int64), func(ctx goka.Context, _ any) {
			if joined := ctx.Join(goka.Table(group + "-table")); joined != int64(n/keys) {
				ctx.Fail(fmt.Errorf("%s joins with %v", ctx.Key(), joined))
			}
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		goka.Join(goka.Table(group+"-table"), new(gcodec.Int64)),
		goka.Persist(new(gcodec.Int64)),
	), readCommitted(gokaConfig()))
	r.assigned(joining)
	r.waits(p.Recovered)
	r.wake(group + "-table")
	r.until("goka", func() bool { return sum(r.table(joining+"-table")) == n })
	s.stop()
	r.equal("joined", r.table(joining+"-table"), countsOf(n, keys))
}

// A group that kappa has run goes back to goka: a record behind the markers, and goka
// is where kappa was. To come back once more, kappa's own positions have to go.
func TestAGroupGoesBackToStockGokaAndReturns(t *testing.T) {
	r := onKafka(t)
	const n, keys = 1200, 30
	in, out, group := r.topic("in", 3), r.topic("out", 3), r.name("tally")
	dir := t.TempDir()
	recs := numbers(in, n, keys)
	var first, second firsts
	e := r.start(r.fast(dir), ourTally(group, in, out, &first))
	r.emit(recs[:n/3]...)
	r.processed(n/3, group, e)
	if err := e.Leave(r.ctx); err != nil {
		t.Fatal(err)
	}
	r.lasts(group + "-table")

	r.emit(recs[n/3 : 2*n/3]...)
	p, s := r.goka(gokaTally(group, in, out), readCommitted(gokaConfig()))
	r.assigned(group)
	r.waits(p.Recovered)
	r.wake(group + "-table")
	r.until("goka", func() bool { return sum(r.table(group+"-table")) == 2*n/3 })
	s.stop()
	r.equal("table of goka", r.table(group+"-table"), countsOf(2*n/3, keys))
	r.tallied(out, countsOf(2*n/3, keys))

	committed := r.committed(group, in)
	e = r.start(r.fast(dir), ourTally(group, in, out, new(firsts)))
	if err := e.Wait(); !errors.Is(err, engine.ErrForeign) {
		t.Fatalf("with its old positions the group runs, or ends with %v", err)
	}
	r.equal("table after the refusal", r.table(group+"-table"), countsOf(2*n/3, keys))
	if err := r.k.DeleteTopics(r.ctx, group+"-state"); err != nil {
		t.Fatal(err)
	}
	r.emit(recs[2*n/3:]...)
	e = r.start(r.fast(dir), ourTally(group, in, out, &second))
	r.processed(n/3, group, e)
	r.stop(e)
	second.begin(t, in, committed)
	r.equal("table", r.table(group+"-table"), countsOf(n, keys))
	r.tallied(out, countsOf(n, keys))
}
