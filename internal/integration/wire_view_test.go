package integration

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/views"
)

// view opens a view of kappa's.
func (r *rig) view(table string) *views.View {
	r.t.Helper()
	db := state.NewMemory()
	v, err := views.Open(r.ctx, views.Config{Logs: r.k, Table: table, DB: db, Codec: new(gcodec.Int64), Log: quiet(r.t)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := v.Close(); err != nil {
			r.t.Error(err)
		}
		db.Close()
	})
	return v
}

// rows returns what a view shows.
func (r *rig) rows(v *views.View) map[string]string {
	r.t.Helper()
	m := map[string]string{}
	if err := v.Iterate(views.Query{}, func(x views.Row) error {
		m[x.Key] = fmt.Sprint(x.Value)
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	return m
}

// shows waits until the view shows a table, and gives up where it shows another.
func (r *rig) shows(v *views.View, want map[string]string) {
	r.t.Helper()
	total := sum(want)
	r.until("the view to follow", func() bool { return sum(r.rows(v)) == total })
	r.equal("view", r.rows(v), want)
}

// forgetting counts the records of a key, and forgets it where one says so.
func forgetting(group, in string) *goka.GroupGraph {
	return goka.DefineGroup(goka.Group(group),
		goka.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) {
			n, _ := ctx.Value().(int64)
			if msg.(string) == "forget" {
				ctx.Delete()
				return
			}
			ctx.SetValue(n + 1)
		}),
		goka.Persist(new(gcodec.Int64)),
	)
}

// A view of kappa's shows what a group of stock goka's has counted, and follows it
// while it goes on: updates, deletions, a restart of goka.
func TestAViewFollowsAGroupOfStockGoka(t *testing.T) {
	r := onKafka(t)
	const n, keys = 900, 30
	in, group := r.topic("in", 4), r.name("count")
	recs := numbers(in, n, keys)
	_, s := r.goka(forgetting(group, in), gokaConfig())
	r.emit(recs[:n/3]...)
	r.until("goka's table", func() bool {
		topics, err := r.k.Topics(r.ctx, group+"-table")
		return err == nil && len(topics) == 1
	})
	v := r.view(group)
	sub, err := v.Subscribe(r.ctx, "k7")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	r.shows(v, countsOf(n/3, keys))

	r.emit(recs[n/3 : 2*n/3]...)
	r.shows(v, countsOf(2*n/3, keys))

	s.stop()
	_, s = r.goka(forgetting(group, in), gokaConfig())
	r.emit(record.Record{Topic: in, Key: []byte("k7"), Value: []byte("forget")})
	r.emit(recs[2*n/3:]...)
	want := countsOf(n, keys)
	want["k7"] = fmt.Sprint(n / 3 / keys)
	r.shows(v, want)
	s.stop()
	if err := v.WaitCaughtUp(r.ctx); err != nil {
		t.Fatal(err)
	}
	r.equal("view", r.rows(v), r.table(group+"-table"))
	r.forgotten(sub, strconv.Itoa(2*n/3/keys))
}

// forgotten reads the changes of a key up to its deletion, and the one after it.
func (r *rig) forgotten(sub *views.Subscription, last string) {
	r.t.Helper()
	for {
		c := r.change(sub)
		if c.Value != nil {
			continue
		}
		if string(c.Old) != last {
			r.t.Errorf("%s was forgotten at %s, want %s", c.Key, c.Old, last)
		}
		if c = r.change(sub); c.Old != nil || string(c.Value) != "1" {
			r.t.Errorf("%s went from %q to %q after its deletion", c.Key, c.Old, c.Value)
		}
		return
	}
}

func (r *rig) change(sub *views.Subscription) views.Change {
	r.t.Helper()
	c, err := sub.Next(r.ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}
