package integration

import (
	"errors"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/topology"
)

// countingAll counts per key over several inputs.
func countingAll(group string, more []topology.Edge, ins ...string) *topology.Def {
	var streams goka.Streams
	for _, in := range ins {
		streams = append(streams, goka.Stream(in))
	}
	return topology.Group(goka.Group(group), append(more,
		topology.Inputs(streams, new(gcodec.String), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Persist(new(gcodec.Int64)))...)
}

// An instance of a topology with a further input joins at once; the input is read
// once all instances know it, from its start.
func TestAnInstanceWithAFurtherInputJoins(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 1200, 40
		in, more, group := r.topic("in", 4), r.topic("more", 4), r.name("count")
		dirs := [2]string{r.t.TempDir(), r.t.TempDir()}
		old, both := countingAll(group, nil, in), countingAll(group, nil, in, more)
		first, second := r.start(r.fast(dirs[0]), old), r.start(r.fast(dirs[1]), old)
		r.emit(numbers(in, n, keys)...)
		r.emit(numbers(more, n, keys)...)
		r.running(first, group, 2)
		r.running(second, group, 2)
		r.processed(n, group, first, second)

		r.stop(second)
		second = r.start(r.fast(dirs[1]), both)
		r.running(second, group, 2)
		r.emit(numbers(in, n, keys)...)
		r.processed(2*n, group, first, second) // and nothing of the further input

		r.stop(first)
		first = r.start(r.fast(dirs[0]), both)
		r.processed(3*n, group, first, second)
		r.stop(first)
		r.stop(second)
		r.equal("table", r.table(group+"-table"), countsOf(3*n, keys))
	})
}

// An instance whose topology does not fit is refused by name; the group goes on.
func TestAnInstanceThatDoesNotFitIsRefused(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 600, 20
		in, group := r.topic("in", 2), r.name("count")
		def := countingAll(group, nil, in)
		first := r.start(r.fast(r.t.TempDir()), def)
		r.emit(numbers(in, n, keys)...)
		r.processed(n, group, first)

		other := countingAll(group, []topology.Edge{topology.Store("seen", new(gcodec.Int64))}, in)
		second := r.start(r.fast(r.t.TempDir()), other)
		err := second.Wait()
		var refused *kafka.RefusedError
		if !errors.As(err, &refused) {
			r.t.Fatalf("the instance ended with %v", err)
		}
		for _, d := range []*topology.Def{def, other} {
			plan, err := d.Build()
			if err != nil {
				r.t.Fatal(err)
			}
			if !strings.Contains(refused.Error(), plan.Fingerprint) {
				r.t.Errorf("%q does not name the topology %s", refused, plan.Fingerprint)
			}
		}
		if !strings.Contains(refused.Error(), "stores seen") {
			r.t.Errorf("%q does not name the difference", refused)
		}
		r.emit(numbers(in, n, keys)...)
		r.processed(2*n, group, first)
		r.stop(first)
		r.equal("table", r.table(group+"-table"), countsOf(2*n, keys))
	})
}
