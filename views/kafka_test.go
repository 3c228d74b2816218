package views_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/state/pebble"
	"github.com/seed-73111be4/kappa/views"
)

// group writes what a group's worker would write.
type group struct {
	c *kafka.Cluster
	p *kafka.Producer
}

func connect(t testing.TB, topics ...string) *kafka.Cluster {
	t.Helper()
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: testenv.Fake(t).Brokers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, topic := range topics {
		if _, err := c.CreateTopics(t.Context(), kafka.TableSpec(topic, 2)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func newGroup(t testing.TB, c *kafka.Cluster) *group {
	t.Helper()
	p, err := c.NewProducer(kafka.ProducerConfig{TransactionalID: t.Name(), Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if r := p.Init(t.Context()); r.Outcome != kafka.OK {
		t.Fatal(r.Err)
	}
	return &group{c, p}
}

func (g *group) put(topic string, partition int32, changes ...string) {
	for _, ch := range changes {
		k, v, set := strings.Cut(ch, "=")
		o := kafka.Out{Topic: topic, Partition: partition, Key: []byte(k), Timestamp: 1}
		if set {
			o.Value = []byte(v)
		}
		g.p.Produce(&o)
	}
}

func (g *group) positions(topic string, task int32, inputs ...record.Position) {
	ps := changelog.Positions{Cluster: g.c.ID(), Inputs: inputs}
	g.p.Produce(&kafka.Out{Topic: topic, Partition: task, Key: changelog.PositionsKey(), Value: ps.Append(nil), Timestamp: 1})
}

func (g *group) end(t testing.TB, commit bool) {
	t.Helper()
	if _, r := g.p.Flush(t.Context()); r.Outcome != kafka.OK {
		t.Fatal(r.Err)
	}
	if r := g.p.End(t.Context(), commit); r.Outcome != kafka.OK {
		t.Fatal(r.Err)
	}
}

func open(t testing.TB, c *kafka.Cluster, name string, db state.DB) *views.View {
	t.Helper()
	v, err := views.Open(t.Context(), views.Config{Logs: c, Table: name, DB: db})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return v
}

func within(t testing.TB, what string, wait func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := wait(ctx); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func rows(t testing.TB, v *views.View) string {
	t.Helper()
	s := ""
	if err := v.Iterate(views.Query{}, func(r views.Row) error { s += r.Key + "=" + string(r.Bytes) + " "; return nil }); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAViewOfATransactionalTable(t *testing.T) {
	c := connect(t, "t-table")
	g := newGroup(t, c)
	g.put("t-table", 0, "a=1", "b=1")
	g.put("t-table", 1, "c=1")
	g.end(t, true)
	g.put("t-table", 0, "a=aborted")
	g.end(t, false)
	db, err := pebble.Open(t.TempDir(), pebble.Options{App: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	v := open(t, c, "t", db)
	within(t, "an idle table that ends in an aborted transaction", v.WaitCaughtUp)
	if got := rows(t, v); got != "a=1 b=1 c=1 " {
		t.Errorf("rows %q", got)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	g.put("t-table", 0, "b", "d=2")
	g.end(t, true)
	v = open(t, c, "t-table", db)
	within(t, "the topic's own name", v.WaitCaughtUp)
	v.Close()
	v = open(t, c, "t", db)
	within(t, "the copy of before", v.WaitCaughtUp)
	if got := rows(t, v); got != "a=1 c=1 d=2 " {
		t.Errorf("after a restart: rows %q", got)
	}
	if s := v.Stats(); s.Records != 2 {
		t.Errorf("%d records were applied after the restart, want the 2 new ones", s.Records)
	}
}

func TestAViewOfAStockGokaTable(t *testing.T) {
	c := connect(t, "goka-table")
	e, err := c.NewEmitter(kafka.EmitterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for i := range 20 {
		r := record.Record{Topic: "goka-table", Key: fmt.Appendf(nil, "k%d", i%3), Value: fmt.Append(nil, i), Timestamp: 1}
		if err := e.Emit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "flush", e.Flush)
	v := open(t, c, "goka", state.NewMemory())
	within(t, "a table without transactions", v.WaitCaughtUp)
	if got := rows(t, v); got != "k0=18 k1=19 k2=17 " {
		t.Errorf("rows %q", got)
	}
}

func TestAViewFollowsAliasAndInput(t *testing.T) {
	c := connect(t, "one-table", "two-table", "two-state")
	g := newGroup(t, c)
	g.put("one-table", 0, "a=1")
	in := record.Position{Topic: "in", Partition: 1, Offset: 5}
	g.put("two-table", 1, "a=2")
	g.positions("two-state", 1, in)
	g.end(t, true)
	if err := control.SetAlias(t.Context(), c, "live", "one-table"); err != nil {
		t.Fatal(err)
	}
	v := open(t, c, "live", state.NewMemory())
	within(t, "before the switch", v.WaitCaughtUp)
	if got := rows(t, v); got != "a=1 " {
		t.Errorf("rows %q", got)
	}
	sub, err := v.Subscribe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := control.SetAlias(t.Context(), c, "live", "two-table"); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Next(t.Context()); err != views.ErrSwitched {
		t.Errorf("the subscription: %v", err)
	}
	within(t, "input", func(ctx context.Context) error { return v.WaitForInput(ctx, []record.Position{in}) })
	if got := rows(t, v); got != "a=2 " || v.Table() != "two-table" {
		t.Errorf("rows %q of %s", got, v.Table())
	}
}

func TestARecreatedTableIsFollowedAnew(t *testing.T) {
	c := connect(t, "t-table")
	g := newGroup(t, c)
	g.put("t-table", 0, "gone=1")
	g.end(t, true)
	v := open(t, c, "t", state.NewMemory())
	within(t, "first", v.WaitCaughtUp)
	if err := c.DeleteTopics(t.Context(), "t-table"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateTopics(t.Context(), kafka.TableSpec("t-table", 2)); err != nil {
		t.Fatal(err)
	}
	g = newGroup(t, c)
	g.put("t-table", 0, "b=2")
	g.end(t, true)
	deadline := time.Now().Add(30 * time.Second)
	for rows(t, v) != "b=2 " {
		if time.Now().After(deadline) {
			t.Fatalf("rows %q", rows(t, v))
		}
		time.Sleep(20 * time.Millisecond)
	}
}
