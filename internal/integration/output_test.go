package integration

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// announcing counts per key and emits every count.
func announcing(group, in, out string) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
			ctx.Emit(goka.Stream(out), ctx.Key(), strconv.FormatInt(n+1, 10))
		}),
		topology.Persist(new(gcodec.Int64)),
		topology.Output(goka.Stream(out), new(gcodec.String)),
	)
}

// announced are the values of an output, by key, in the order of its partition.
func (r *rig) announced(out string) map[string]string {
	r.t.Helper()
	m := map[string][]string{}
	for _, x := range r.read(out) {
		m[string(x.Key)] = append(m[string(x.Key)], string(x.Value))
	}
	return joined(m)
}

func joined(m map[string][]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = strings.Join(v, " ")
	}
	return out
}

// announcedBy is the naive fold: every count of every key, once, in order.
func announcedBy(n, keys int) map[string]string {
	m := map[string][]string{}
	for i := range n {
		k := fmt.Sprintf("k%d", i%keys)
		m[k] = append(m[k], strconv.Itoa(len(m[k])+1))
	}
	return joined(m)
}

// settled checks that no transaction is left open in a topic: a reader of
// committed records reaches the end of every partition.
func (r *rig) settled(topics ...string) {
	r.t.Helper()
	for _, topic := range topics {
		t, err := r.k.Topics(r.ctx, topic)
		if err != nil {
			r.t.Fatal(err)
		}
		for p := range t[topic].Partitions {
			part := record.Partition{Topic: topic, Partition: p}
			r.until("the transactions in "+part.String(), func() bool {
				ends, err := r.k.Ends(r.ctx, part)
				if err != nil {
					r.t.Fatal(err)
				}
				return ends.LastStable == ends.HighWatermark
			})
		}
	}
}

func TestOutputsAreTheFoldThroughCrashesOfStaticMembers(t *testing.T) {
	each(t, func(r *rig) { r.crashedOutputs(false) })
}

func TestOutputsAreTheFoldThroughCrashesOfDynamicMembers(t *testing.T) {
	each(t, func(r *rig) { r.crashedOutputs(true) })
}

// crashedOutputs runs three instances, of which one after the other crashes and is
// started again while records come in.
func (r *rig) crashedOutputs(dynamic bool) {
	in, out, group := r.topic("in", 6), r.topic("out", 3), r.name("announce")
	const n, keys, crashes = 6000, 83, 5
	dirs := []string{r.t.TempDir(), r.t.TempDir(), r.t.TempDir()}
	start := func(i int) *engine.Engine {
		o := r.fast(dirs[i])
		o.Dynamic = dynamic
		return r.start(o, announcing(group, in, out))
	}
	es := []*engine.Engine{start(0), start(1), start(2)}
	fed := r.feed(numbers(in, n, keys))
	for i := range crashes {
		r.until("progress", func() bool { return stats(es[i%3], group).Commits > 0 })
		es[i%3].Kill()
		es[i%3] = start(i % 3)
	}
	fed()
	r.processed(n, group, es...)
	for _, e := range es {
		r.stop(e)
	}
	r.equal("table", r.table(group+"-table"), countsOf(n, keys))
	r.equal("output", r.announced(out), announcedBy(n, keys))
	r.settled(out, group+"-table", group+"-state")
}

// committed returns the transactions that the engines have committed.
func committed(es []*engine.Engine, group string) (n int64) {
	for _, e := range es {
		n += stats(e, group).Commits
	}
	return n
}

// A crash with a transaction open must not hold up readers for longer than the
// restart takes: the transactional ids are the same again.
func TestARestartEndsTheTransactionThatACrashLeftOpen(t *testing.T) {
	each(t, func(r *rig) {
		in, out, group, dir := r.topic("in", 1), r.topic("out", 1), r.name("announce"), r.t.TempDir()
		o := r.fast(dir)
		o.CommitInterval, o.TransactionTimeout = patience, 2*patience
		e := r.start(o, announcing(group, in, out))
		r.emit(numbers(in, 10, 1)...)
		part := record.Partition{Topic: out}
		r.until("an open transaction", func() bool {
			ends, err := r.k.Ends(r.ctx, part)
			if err != nil {
				r.t.Fatal(err)
			}
			return ends.HighWatermark > 0 && ends.LastStable == 0
		})
		e.Kill()
		e = r.start(r.fast(dir), announcing(group, in, out))
		r.processed(10, group, e)
		r.stop(e)
		r.equal("output", r.announced(out), announcedBy(10, 1))
		r.settled(out)
	})
}
