package integration

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/topology"
)

// wandering sends each record on over its hops, key to key: "h" hops from key
// "w<i>" visit "w<i>.h" … "w<i>.1", which lie on other partitions.
func wandering(group, in string) *topology.Def {
	step := func(ctx goka.Context, msg any) {
		n, _ := ctx.Value().(int64)
		ctx.SetValue(n + 1)
		hops, _ := strconv.Atoi(msg.(string))
		if hops > 0 {
			origin, _, _ := strings.Cut(ctx.Key(), ".")
			ctx.Loopback(fmt.Sprintf("%s.%d", origin, hops), strconv.Itoa(hops-1))
		}
	}
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), step),
		topology.Loop(new(gcodec.String), step),
		topology.Persist(new(gcodec.Int64)),
	)
}

func TestLoopsReachOtherPartitionsThroughCrashes(t *testing.T) {
	each(t, func(r *rig) {
		const starts, keys, hops, crashes = 600, 30, 4, 2
		in, group, dir := r.topic("in", 4), r.name("wander"), r.t.TempDir()
		recs := numbers(in, starts, keys)
		for i := range recs {
			recs[i].Value = []byte(strconv.Itoa(hops))
		}
		var e *engine.Engine
		fed := r.feed(recs)
		for i := range crashes + 1 {
			e = r.start(r.fast(dir), wandering(group, in))
			if i < crashes {
				r.until("a commit", func() bool { return stats(e, group).Commits > 0 })
				e.Kill()
			}
		}
		fed()
		r.processed(starts*(hops+1), group, e)
		r.stop(e)
		want := map[string]string{}
		for i := range keys {
			k, n := fmt.Sprintf("k%d", i), strconv.Itoa(starts/keys)
			want[k] = n
			for h := 1; h <= hops; h++ {
				want[fmt.Sprintf("%s.%d", k, h)] = n
			}
		}
		r.equal("table", r.table(group+"-table"), want)
	})
}

// What lies behind the committed position of the group's own loop is deleted, what
// lies ahead is not.
func TestLoopsArePurgedBehindTheCommittedPosition(t *testing.T) {
	each(t, func(r *rig) {
		const starts = 12_000
		in, group := r.topic("in", 1), r.name("wander")
		recs := numbers(in, starts, 100)
		for i := range recs {
			recs[i].Value = []byte("1")
		}
		e := r.start(r.fast(r.t.TempDir()), wandering(group, in))
		r.emit(recs...)
		r.processed(2*starts, group, e)
		r.until("a purge", func() bool { return stats(e, group).Purged > 0 })
		r.stop(e)
		loop := r.read(group + "-loop")
		if len(loop) >= starts {
			r.t.Errorf("the loop still holds %d records of %d", len(loop), starts)
		}
	})
}
