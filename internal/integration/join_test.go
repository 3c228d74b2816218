package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/topology"
	"github.com/seed-73111be4/kappa/views"
)

// tableTopic creates a compacted topic.
func (r *rig) tableTopic(s string, partitions int32) string {
	r.t.Helper()
	name := r.name(s)
	r.create(kafka.TableSpec(name, partitions))
	return name
}

func row(table string, i int, value string) record.Record {
	x := record.Record{Topic: table, Key: fmt.Appendf(nil, "k%d", i)}
	if value != "" {
		x.Value = []byte(value)
	}
	return x
}

// joining keeps, per key, what the joined table said when the last record came.
func joining(group, in, table string) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) {
			name, ok := ctx.Join(goka.Table(table)).(string)
			if !ok {
				name = "nobody"
			}
			ctx.SetValue(name + " " + msg.(string))
		}),
		topology.Join(goka.Table(table), new(gcodec.String)),
		topology.Persist(new(gcodec.String)),
	)
}

// joinStep updates the table, waits until it has been followed, and asks.
func (r *rig) joinStep(e *engine.Engine, group, in string, total *int64, word string, rows ...record.Record) {
	r.emit(rows...)
	*total += int64(len(rows))
	r.processed(*total, group, e)
	const keys = 10
	var ask []record.Record
	for i := range keys {
		ask = append(ask, record.Record{Topic: in, Key: fmt.Appendf(nil, "k%d", i), Value: []byte(word)})
	}
	r.emit(ask...)
	*total += keys
	r.processed(*total, group, e)
}

func joined10(word string, name func(i int) string) map[string]string {
	m := map[string]string{}
	for i := range 10 {
		m[fmt.Sprintf("k%d", i)] = name(i) + " " + word
	}
	return m
}

func TestJoinsFollowUpdatesAndDeletesThroughCrashesAndRestores(t *testing.T) {
	each(t, func(r *rig) {
		in, table, group, dir := r.topic("in", 3), r.tableTopic("names", 3), r.name("join"), r.t.TempDir()
		var rows []record.Record
		for i := range 10 {
			rows = append(rows, row(table, i, fmt.Sprintf("n%d", i)))
		}
		var total int64
		check := func(what string, want map[string]string) {
			r.t.Helper()
			r.equal(what, r.table(group+"-table"), want)
		}
		e := r.start(r.fast(dir), joining(group, in, table))
		r.running(e, group, 3) // what a new task finds in the table is loaded, not counted
		r.joinStep(e, group, in, &total, "one", rows...)
		check("first", joined10("one", func(i int) string { return fmt.Sprintf("n%d", i) }))
		e.Kill()

		e = r.start(r.fast(dir), joining(group, in, table))
		r.joinStep(e, group, in, &total, "two", row(table, 3, "changed"), row(table, 4, ""))
		after := func(i int) string {
			switch i {
			case 3:
				return "changed"
			case 4:
				return "nobody"
			}
			return fmt.Sprintf("n%d", i)
		}
		check("after a crash, an update and a delete", joined10("two", after))
		r.stop(e)

		o := r.fast(r.t.TempDir()) // the store is gone
		o.Instance = e.Instance()
		e = r.start(o, joining(group, in, table))
		r.joinStep(e, group, in, &total, "three")
		check("without the store", joined10("three", after))
		r.stop(e)
	})
}

// lookups opens tables as an application does.
func (r *rig) lookups() func(context.Context, string, func([]byte) (any, error)) (engine.Lookup, error) {
	return func(ctx context.Context, table string, decode func([]byte) (any, error)) (engine.Lookup, error) {
		v, err := views.Open(ctx, views.Config{Logs: r.k, Table: table, DB: state.NewMemory(), Codec: decoder(decode), Log: quiet(r.t)})
		if err != nil {
			return nil, err
		}
		return lookup{v}, nil
	}
}

type decoder func([]byte) (any, error)

func (d decoder) Decode(b []byte) (any, error) { return d(b) }

type lookup struct{ *views.View }

func (l lookup) Get(key string) (any, error) {
	v, _, err := l.View.Get(key)
	return v, err
}

func (l lookup) GetBytes(key []byte) ([]byte, bool, error) { return l.View.GetBytes(string(key)) }

// A lookup reads any key of a table that is partitioned otherwise, and all that was
// there before the group started is seen by its first record.
func TestLookupsSeeWhatWasThereBeforeTheFirstRecord(t *testing.T) {
	each(t, func(r *rig) {
		in, table, group := r.topic("in", 4), r.tableTopic("names", 2), r.name("lookup")
		const n = 200
		var rows, recs []record.Record
		want := map[string]string{}
		for i := range n {
			rows = append(rows, row(table, i, fmt.Sprintf("name-%d", i)))
			key := fmt.Sprintf("x%d", i)
			recs = append(recs, record.Record{Topic: in, Key: []byte(key), Value: fmt.Appendf(nil, "k%d", i)})
			want[key] = fmt.Sprintf("name-%d", i)
		}
		r.emit(rows...)
		r.emit(recs...)
		o := r.fast(r.t.TempDir())
		o.OpenLookup = r.lookups()
		e := r.start(o, topology.Group(goka.Group(group),
			topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) {
				name, _ := ctx.Lookup(goka.Table(table), msg.(string)).(string)
				ctx.SetValue(name)
			}),
			topology.Lookup(goka.Table(table), new(gcodec.String)),
			topology.Persist(new(gcodec.String)),
		))
		r.processed(n, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), want)
	})
}
