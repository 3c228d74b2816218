package integration

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// wireKeys are keys of many forms, the empty one among them.
func wireKeys() []string {
	keys := []string{"", "a", "EWR-IAH", "schlüssel", "键", "\x00", "\xff\xfe", "user-2147483647", " ", "k\n"}
	for i := range 90 {
		keys = append(keys, fmt.Sprintf("key-%d", i*7919))
	}
	return keys
}

// placed returns the partition of each key, and fails where a key has two.
func (r *rig) placed(topic string) map[string]string {
	r.t.Helper()
	m := map[string]string{}
	for _, x := range r.read(topic) {
		p := strconv.Itoa(int(x.Partition))
		if was, ok := m[string(x.Key)]; ok && was != p {
			r.t.Errorf("%s has key %q in partitions %s and %s", topic, x.Key, was, p)
		}
		m[string(x.Key)] = p
	}
	return m
}

// A key lies where it lies whoever writes it: goka's emitter, kappa's, a group of
// kappa's that emits.
func TestStockGokaAndKappaPlaceKeysAlike(t *testing.T) {
	r := onKafka(t)
	keys := wireKeys()
	for _, n := range []int32{1, 3, 8, 12, 50} {
		theirs, ours := r.topic(fmt.Sprintf("theirs%d", n), n), r.topic(fmt.Sprintf("ours%d", n), n)
		var a, b []record.Record
		for _, k := range keys {
			a = append(a, record.Record{Topic: theirs, Key: []byte(k), Value: []byte("goka")})
			b = append(b, record.Record{Topic: ours, Key: []byte(k), Value: []byte("kappa")})
		}
		r.gokaEmit(theirs, a...)
		r.emit(b...)
		want := r.placed(theirs)
		if len(want) != len(keys) {
			t.Fatalf("%d keys among %d partitions, want %d", len(want), n, len(keys))
		}
		r.equal(fmt.Sprintf("placement among %d", n), r.placed(ours), want)
	}
}

// What stock goka and kappa write side by side is one stream: a key's records meet
// in one task, which joins them with a table that goka writes, and what the task
// emits lies where goka would have put it.
func TestAStockGokaEmitterFeedsKappa(t *testing.T) {
	r := onKafka(t)
	const n, partitions = 10, 8
	keys := wireKeys()
	in, names, out, group := r.topic("in", partitions), r.tableTopic("names", partitions), r.topic("out", partitions), r.name("tally")
	var rows, theirs, ours []record.Record
	want, said := map[string]string{}, map[string]string{}
	for i, k := range keys {
		rows = append(rows, record.Record{Key: []byte(k), Value: fmt.Appendf(nil, "name %d", i)})
		want[k], said[k] = strconv.Itoa(2*n), fmt.Sprintf("name %d", i)
		for range n {
			theirs = append(theirs, record.Record{Key: []byte(k), Value: []byte("goka")})
			ours = append(ours, record.Record{Topic: in, Key: []byte(k), Value: []byte("kappa")})
		}
	}
	r.gokaEmit(names, rows...)
	e := r.start(r.fast(t.TempDir()), topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
			name, _ := ctx.Join(goka.Table(names)).(string)
			ctx.Emit(goka.Stream(out), ctx.Key(), name)
		}),
		topology.Join(goka.Table(names), new(gcodec.String)),
		topology.Output(goka.Stream(out), new(gcodec.String)),
		topology.Persist(new(gcodec.Int64)),
	))
	r.running(e, group, partitions)
	fed := r.feed(ours)
	r.gokaEmit(in, theirs...)
	fed()
	r.processed(int64(len(theirs)+len(ours)), group, e)
	r.stop(e)
	r.equal("table", r.table(group+"-table"), want)
	r.equal("output", r.table(out), said)
	r.equal("placement of the input", r.placed(in), r.placed(names))
	r.equal("placement of the output", r.placed(out), r.placed(names))
}
