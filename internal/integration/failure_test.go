package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// exploding counts and emits per key, and panics after that where the message says
// so: what it has done by then must not be seen.
func exploding(group, in, out string, more ...topology.Edge) *topology.Def {
	edges := []topology.Edge{
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
			ctx.Emit(goka.Stream(out), ctx.Key(), fmt.Sprint(n+1))
			if msg == "bang" {
				panic("powder")
			}
		}),
		topology.Persist(new(gcodec.Int64)),
		topology.Output(goka.Stream(out), new(gcodec.String)),
	}
	return topology.Group(goka.Group(group), append(edges, more...)...)
}

func TestAFailedRecordLeavesItsDeadLetterAndNothingElse(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys, bad = 600, 7, 5
		in, out, dead, group := r.topic("in", 2), r.topic("out", 2), r.topic("dead", 1), r.name("explode")
		recs := numbers(in, n, keys)
		for i := range bad {
			recs = append(recs, record.Record{
				Topic: in, Key: fmt.Appendf(nil, "k%d", i), Value: []byte("bang"),
				Headers: []record.Header{{Key: "trace", Value: []byte("abc")}},
			})
		}
		dir := r.t.TempDir()
		e := r.start(r.fast(dir), exploding(group, in, out, topology.DeadLetter(goka.Stream(dead))))
		r.emit(recs...)
		r.until("dead letters", func() bool { return counts(e, group)[record.Dead] > 0 })
		e.Kill()
		e = r.start(r.fast(dir), exploding(group, in, out, topology.DeadLetter(goka.Stream(dead))))
		r.processed(n+bad, group, e)
		c := counts(e, group)
		r.stop(e)
		if c[record.Dead] != bad || c[record.Processed] != n {
			r.t.Errorf("fates: %v", c)
		}
		r.equal("table", r.table(group+"-table"), countsOf(n, keys))
		r.equal("output", r.announced(out), announcedBy(n, keys))
		letters := r.read(dead)
		if len(letters) != bad {
			r.t.Fatalf("%d dead letters of %d", len(letters), bad)
		}
		for i := range letters {
			r.checkLetter(&letters[i], in, group)
		}
	})
}

func (r *rig) checkLetter(x *record.Record, in, group string) {
	r.t.Helper()
	d, err := task.ParseDeadLetter(x)
	if err != nil {
		r.t.Fatal(err)
	}
	if d.Group != group || !strings.Contains(d.Error, "powder") || d.Record.Topic != in || string(d.Record.Value) != "bang" ||
		len(d.Record.Headers) != 1 || d.Record.Headers[0].Key != "trace" {
		r.t.Errorf("dead letter: %+v", d)
	}
	at := record.Partition{Topic: in, Partition: d.Record.Partition}
	for _, y := range r.readPartition(at) {
		if y.Offset == d.Record.Offset && string(y.Key) == string(x.Key) && string(y.Value) == "bang" {
			return
		}
	}
	r.t.Errorf("no record of %s at offset %d is the one in the dead letter", at, d.Record.Offset)
}

// A failure stops the engine and names the record; nothing of it is seen, and after
// a mended restart all is as if it had not been.
func TestAFailedRecordStopsTheEngineAndIsNamed(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 300, 5
		in, out, group, dir := r.topic("in", 1), r.topic("out", 1), r.name("explode"), r.t.TempDir()
		recs := numbers(in, n, keys)
		recs[200].Value = []byte("bang")
		e := r.start(r.fast(dir), exploding(group, in, out))
		r.emit(recs...)
		err := e.Wait()
		var failed *task.RecordError
		if !errors.As(err, &failed) {
			r.t.Fatalf("the engine ended with %v", err)
		}
		if failed.Topic != in || failed.Partition != 0 || failed.Offset != 200 || string(failed.Key) != "k0" || failed.Group != group {
			r.t.Errorf("named: %+v", failed)
		}
		for _, part := range []string{in + "/0", "200", "k0", "powder"} {
			if !strings.Contains(err.Error(), part) {
				r.t.Errorf("%q does not name %s", err, part)
			}
		}
		e = r.start(r.fast(dir), announcing(group, in, out)) // the same, without the panic
		r.processed(n, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(n, keys))
		r.equal("output", r.announced(out), announcedBy(n, keys))
	})
}

func TestWithPauseFailedTheOtherTasksGoOn(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 900, 60
		in, out, group := r.topic("in", 4), r.topic("out", 4), r.name("explode")
		recs := numbers(in, n, keys)
		broken := record.FNV1a.Partition([]byte("k0"), 4)
		healthy := int64(0)
		for i := range recs {
			if record.FNV1a.Partition(recs[i].Key, 4) != broken {
				healthy++
			}
		}
		recs[0].Value = []byte("bang")
		o := r.fast(r.t.TempDir())
		o.PauseFailed = true
		e := r.start(o, exploding(group, in, out))
		r.emit(recs...)
		r.until("the failure", func() bool { return phases(e, group)[engine.Failed] == 1 })
		r.processed(healthy, group, e)
		r.until("the news", func() bool { return e.Ready() != nil && strings.Contains(e.Ready().Error(), "powder") })
		if want := fmt.Sprintf("task %d failed", broken); !strings.Contains(e.Ready().Error(), want) {
			r.t.Errorf("%q does not say %q", e.Ready(), want)
		}
		r.stop(e)
		want := map[string]string{}
		for k, v := range countsOf(n, keys) {
			if record.FNV1a.Partition([]byte(k), 4) != broken {
				want[k] = v
			}
		}
		r.equal("table", r.table(group+"-table"), want)
	})
}
