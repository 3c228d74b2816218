package task_test

import (
	"testing"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

func TestEachRecordHasOneFate(t *testing.T) {
	r := newRig(t, topology.DeadLetter("dead"), topology.Join("users", str), input(func(ctx goka.Context, msg any) {
		c := processors.FromContext(ctx)
		switch msg {
		case "duplicate":
			c.Count(record.Late)
			c.Count(record.Duplicate)
		case "late":
			c.Count(record.Late)
		case "filtered":
			c.Count(record.Filtered)
		case "dead":
			c.Count(record.Late)
			panic("dead")
		}
	}))
	taken := int64(0)
	for _, msg := range []any{"plain", "duplicate", "late", "dead", nil, "filtered", "plain", "plain"} {
		r.step("in", "k", msg)
		taken++
		same(t, "sum", r.task.Counts().Sum(), taken)
	}
	r.step("users", "k", "v")
	r.step("users", "k", nil)
	want := record.Counts{record.Processed: 5, record.Filtered: 2, record.Duplicate: 1, record.Late: 1, record.Dead: 1}
	same(t, "counts", r.task.Counts(), want)
	same(t, "committed before", r.task.Committed(), record.Counts{})
	r.commit()
	same(t, "committed after", r.task.Committed(), want)
	r.restore()
	same(t, "restored", r.task.Counts(), want)
}

func TestTombstonesAreFilteredUnlessAskedFor(t *testing.T) {
	var seen []any
	note := func(_ goka.Context, msg any) { seen = append(seen, msg) }
	r := newRig(t, input(note))
	r.step("in", "k", nil)
	r.step("in", "k", "")
	same(t, "by default", seen, []any{""})
	same(t, "counts", r.task.Counts(), record.Counts{1, 1})

	seen = nil
	r = newRig(t, input(note), topology.ProcessNil())
	r.step("in", "k", nil)
	same(t, "with ProcessNil", seen, []any{nil})
	same(t, "counts", r.task.Counts(), record.Counts{1})
}

func TestARecordBeforeThePositionIsPassedOver(t *testing.T) {
	calls := 0
	r := newRig(t, input(func(goka.Context, any) { calls++ }))
	first := r.input("in", "k", "1")
	second := r.input("in", "k", "2")
	for _, rec := range []*record.Record{first, second, first, second} {
		if _, err := r.task.Step("in", rec); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "calls", calls, 2)
	same(t, "counts", r.task.Counts().Sum(), 2)
	same(t, "next", r.task.Next("in"), 2)
}

func TestOffsetsMayHaveHoles(t *testing.T) {
	r := newRig(t, input(nothing))
	same(t, "moved at first", r.task.Moved(), false)
	r.task.Advance("in", 5)
	same(t, "moved", []any{r.task.Moved(), r.task.Touched()}, []any{true, false})
	r.task.Advance("in", 3)
	r.task.Advance("elsewhere", 9)
	same(t, "next", r.task.Next("in"), 5)
	rec := r.input("in", "k", "v")
	rec.Offset = 9
	if _, err := r.task.Step("in", rec); err != nil {
		t.Fatal(err)
	}
	same(t, "next", r.task.Next("in"), 10)
	same(t, "moved", []any{r.task.Moved(), r.task.Touched()}, []any{false, true})
}

func TestARecordOfNoInputIsAnError(t *testing.T) {
	r := newRig(t, input(nothing))
	if _, err := r.try("elsewhere", "k", "v"); err == nil {
		t.Error("no error")
	}
}
