package task_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// busy is a group that uses everything, deterministically, by what its records say.
func busy(t *testing.T) *rig {
	return newRig(t,
		topology.Persist(new(codec.Int64)), topology.Store("recent", str), topology.Join("users", str),
		topology.Output("out", str), topology.DeadLetter("dead"), topology.Loop(str, nothing),
		input(func(ctx goka.Context, msg any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
			s := processors.FromContext(ctx).Store("recent")
			s.Set(fmt.Sprintf("%s/%d", ctx.Key(), n%3), msg)
			user, _ := ctx.Join("users").(string)
			ctx.Emit("out", ctx.Key(), fmt.Sprint(user, n), goka.WithCtxEmitHeaders(goka.Headers{"b": []byte("2"), "a": []byte("1"), "c": nil}))
			switch {
			case n%7 == 6:
				ctx.Delete()
			case n%5 == 4:
				s.Delete(ctx.Key() + "/0")
			case strings.HasSuffix(msg.(string), "9"):
				ctx.Fail(errMine)
			case strings.HasSuffix(msg.(string), "8"):
				processors.FromContext(ctx).Count(record.Duplicate)
				ctx.Loopback(ctx.Key(), "again")
			}
		}))
}

type message struct {
	topic, key string
	value      any
}

func messages(n int) []message {
	rnd := rand.New(rand.NewPCG(1, 2))
	all := make([]message, n)
	for i := range all {
		all[i] = message{"in", fmt.Sprint("k", rnd.IntN(20)), fmt.Sprint("v", i)}
		switch rnd.IntN(10) {
		case 0:
			all[i].topic, all[i].value = "users", fmt.Sprint("u", i)
		case 1:
			all[i].topic, all[i].value = "users", nil
		case 2:
			all[i].value = nil
		}
	}
	return all
}

// feed steps messages, with a commit after each batch, and returns what was emitted.
func feed(r *rig, all []message, batch int) string {
	var emits strings.Builder
	for i, m := range all {
		emits.WriteString(show(r.step(m.topic, m.key, m.value)))
		if (i+1)%batch == 0 {
			r.commit()
		}
	}
	if r.task.Touched() {
		r.commit()
	}
	return emits.String()
}

// fold returns the tables that the changelog leaves, without the positions.
func fold(r *rig) string {
	last := map[string]string{}
	for _, topic := range []string{"g-table", "g-state"} {
		for _, rec := range r.logs[topic] {
			if string(rec.Key) == string(changelog.PositionsKey()) {
				continue
			}
			if key := fmt.Sprintf("%s %q", topic, rec.Key); rec.Value == nil {
				delete(last, key)
			} else {
				last[key] = fmt.Sprintf("%q", rec.Value)
			}
		}
	}
	return fmt.Sprint(last)
}

func TestABatchOfOneIsABatchOfAThousand(t *testing.T) {
	all := messages(1000)
	one, thousand := busy(t), busy(t)
	same(t, "emits", feed(one, all, 1), feed(thousand, all, 1000))
	same(t, "state", one.dump(), thousand.dump())
	same(t, "changelog", fold(one), fold(thousand))
	same(t, "counts", one.task.Counts(), thousand.task.Counts())
	same(t, "positions", one.task.Positions(), thousand.task.Positions())
	if n := len(thousand.logs["g-table"]); n > 20 {
		t.Errorf("the changelog of one transaction has %d values for 20 keys", n)
	}
}

func TestRestoredIsNeverCrashed(t *testing.T) {
	all := messages(1000)
	steady, crashing := busy(t), busy(t)
	want := feed(steady, all, 10)
	var got string
	for i := 0; i < len(all); i += 50 {
		got += feed(crashing, all[i:i+50], 10)
		crashing.restore()
	}
	same(t, "emits", got, want)
	same(t, "state", crashing.dump(), steady.dump())
	same(t, "counts", crashing.task.Counts(), steady.task.Counts())
	same(t, "positions", crashing.task.Positions(), steady.task.Positions())
}

func TestAnAbortedTransactionLeavesNothing(t *testing.T) {
	all := messages(1000)
	steady, aborting := busy(t), busy(t)
	want := feed(steady, all, 50)
	var got string
	for i := 0; i < len(all); i += 50 {
		before, counts, positions := aborting.dump(), aborting.task.Counts(), fmt.Sprint(aborting.task.Positions())
		n := map[string]int{"in": len(aborting.logs["in"]), "users": len(aborting.logs["users"])}
		for _, m := range all[i : i+30] {
			aborting.step(m.topic, m.key, m.value)
		}
		if i%100 == 0 {
			aborting.seal() // aborted after the changelog was written
		}
		aborting.task.Abort()
		for topic, n := range n {
			aborting.logs[topic] = aborting.logs[topic][:n]
		}
		aborting.now = steadyTime(i)
		same(t, "state", aborting.dump(), before)
		same(t, "counts", aborting.task.Counts(), counts)
		same(t, "positions", fmt.Sprint(aborting.task.Positions()), positions)
		same(t, "touched", aborting.task.Touched(), false)
		got += feed(aborting, all[i:i+50], 50)
	}
	same(t, "emits", got, want)
	same(t, "state", aborting.dump(), steady.dump())
	same(t, "the changelogs", show2(aborting), show2(steady))
}

// steadyTime is the rig's time before its message i.
func steadyTime(i int) int64 { return 1_000 + int64(i) }

// show2 returns the changelogs byte by byte.
func show2(r *rig) string {
	var s strings.Builder
	for _, topic := range []string{"g-table", "g-state"} {
		for _, rec := range r.logs[topic] {
			fmt.Fprintf(&s, "%s %q=%s @%d\n", topic, rec.Key, text(rec.Value), rec.Timestamp)
		}
	}
	return s.String()
}

func TestTheSameInputMakesTheSameBytes(t *testing.T) {
	all := messages(500)
	a, b := busy(t), busy(t)
	same(t, "emits", feed(a, all, 25), feed(b, all, 25))
	same(t, "changelogs", show2(a), show2(b))
}

func TestPositionsSurvive(t *testing.T) {
	r := busy(t)
	id := record.TopicID{1, 2, 3}
	r.task.SetTopicID("in", id)
	rec := r.input("in", "k", "v")
	rec.LeaderEpoch = 4
	if _, err := r.task.Step("in", rec); err != nil {
		t.Fatal(err)
	}
	r.commit()
	r.restore()
	for _, p := range r.task.Positions() {
		if p.Topic == "in" {
			same(t, "position", fmt.Sprintf("%#v", p), fmt.Sprintf("%#v", record.Position{Cluster: "c", Topic: "in", TopicID: id, Offset: 1, LeaderEpoch: 4}))
		}
	}
	p := r.task.State().Positions()
	same(t, "stream time", p.StreamTime, rec.Timestamp)
	same(t, "commits", p.Epoch, 1)
	same(t, "fingerprint", p.Fingerprint, r.plan.Fingerprint)
	same(t, "a replayed record", len(r.must(rec)), 0)
	same(t, "counts", r.task.Counts().Sum(), 1)
}

func (r *rig) must(rec *record.Record) []task.Out {
	r.t.Helper()
	effects, err := r.task.Step(rec.Topic, rec)
	if err != nil {
		r.t.Fatal(err)
	}
	return effects.Emits
}

func TestTheStartIsOnlyForInputsWithoutPosition(t *testing.T) {
	r := busy(t)
	r.step("in", "k", "v")
	r.commit()
	core, err := task.New(task.Config{
		Plan: r.plan, Cluster: "c", State: r.task.State(),
		Start: map[string]int64{"in": 100, "users": 200},
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "next", []int64{core.Next("in"), core.Next("users")}, []int64{1, 0}) // both were committed
	fresh := newRig(t, input(nothing))
	core, err = task.New(task.Config{Plan: fresh.plan, Cluster: "c", State: fresh.task.State(), Start: map[string]int64{"in": 100}})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "next", core.Next("in"), 100)
}

func TestAnInputThatIsGoneKeepsItsPosition(t *testing.T) {
	r := newRig(t, input(nothing), topology.Input("other", str, nothing))
	r.step("other", "k", "v")
	r.commit()
	less := newRig(t, input(nothing))
	less.logs = r.logs
	less.restore()
	same(t, "inputs", len(less.task.Positions()), 1)
	less.step("in", "k", "v")
	less.commit()
	r.restore()
	same(t, "when it is back", r.task.Next("other"), 1)
}

func TestSealEndsWithThePositions(t *testing.T) {
	r := busy(t)
	r.step("in", "b", "v")
	r.step("in", "a", "v")
	r.step("in", "b", "v")
	var topics []string
	changes := r.seal()
	for _, c := range changes {
		topics = append(topics, fmt.Sprintf("%s %q", c.Topic, c.Key[max(0, len(c.Key)-3):]))
	}
	same(t, "in the order of the first change", topics, []string{
		`g-table "b"`, `g-state "b/0"`, `g-table "a"`, `g-state "a/0"`, `g-state "b/1"`,
		fmt.Sprintf("g-state %q", changelog.PositionsKey()),
	})
	for i, c := range changes {
		same(t, "marked as the positions", c.Positions, i == len(changes)-1)
	}
	failed := r.task.Seal(func(task.Change) error { return errMine })
	if failed == nil || !strings.Contains(failed.Error(), "mine") {
		t.Errorf("the error of write is lost: %v", failed)
	}
	r.task.Abort()
	r.step("in", "b", "v")
	r.commit()
	same(t, "commits", r.task.State().Positions().Epoch, 1)
}

func TestAChangeHasTheTimeOfItsCause(t *testing.T) {
	r := newRig(t, topology.Persist(str), topology.Store("s", str), topology.Visitor("visit", func(ctx goka.Context, _ any) { ctx.SetValue("x") }),
		input(func(ctx goka.Context, msg any) {
			if msg == "set" {
				ctx.SetValue("v")
			}
			processors.FromContext(ctx).Store("s").Set("last", ctx.Key())
		}))
	for _, m := range []struct {
		key, value string
		ms         int64
	}{{"a", "set", 5000}, {"b", "set", 3000}, {"a", "set", 4000}, {"b", "look", 9000}, {"c", "set", -1}} {
		rec := r.input("in", m.key, m.value)
		rec.Timestamp = m.ms
		r.must(rec)
	}
	var got []string
	for _, c := range r.commit() {
		got = append(got, fmt.Sprintf("%s %q %d", c.Topic, c.Value[:min(1, len(c.Value))], c.Timestamp))
	}
	same(t, "changes", got, []string{
		`g-table "v" 4000`,
		`g-state "c" 9000`, // without a time of its own: the stream's
		`g-table "v" 3000`,
		`g-table "v" 9000`,
		`g-state "k" 9000`, // the positions: the stream time
	})
}

func TestPreloadChangesNothing(t *testing.T) {
	r := busy(t)
	feed(r, messages(200), 10)
	before := r.dump()
	r.restore()
	recs := []record.Record{{Key: []byte("k1")}, {Key: []byte("k2")}, {Key: nil}, {Key: []byte("nowhere")}, {Key: []byte("k1")}}
	for range 2 {
		for _, topic := range []string{"in", "users", "elsewhere"} {
			if err := r.task.Preload(topic, recs); err != nil {
				t.Fatal(err)
			}
		}
	}
	same(t, "state", r.dump(), before)
	same(t, "touched", r.task.Touched(), false)
	if _, found, _ := r.task.State().Table.Get(state.TableKey(nil, []byte("nowhere"))); found {
		t.Error("a key was made")
	}
}

// Preloaded keys are taken in order; whatever is stepped instead must not get
// another record's key.
func TestOtherRecordsThanWerePreloadedKeepTheirKeys(t *testing.T) {
	keys := []string{"a", "b", "a", "c", "", "b"}
	for name, order := range map[string][]int{
		"in order": {0, 1, 2, 3, 4, 5}, "backwards": {5, 4, 3, 2, 1, 0}, "some": {1, 3, 5}, "more": {0, 0, 1, 1, 2, 3, 4, 5, 5, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, topology.Persist(new(codec.Int64)), topology.Input("in", new(codec.String), func(ctx goka.Context, _ any) {
				n, _ := ctx.Value().(int64)
				ctx.SetValue(n + 1)
			}))
			var recs []record.Record
			for _, k := range keys {
				recs = append(recs, record.Record{Topic: "in", Key: []byte(k)})
			}
			if err := r.task.Preload("in", recs); err != nil {
				t.Fatal(err)
			}
			want := map[string]int{}
			for i, at := range order {
				want[keys[at]]++
				rec := record.Record{Topic: "in", Offset: int64(i), Key: []byte(keys[at]), Value: []byte("x")}
				if _, err := r.task.Step("in", &rec); err != nil {
					t.Fatal(err)
				}
			}
			got := map[string]int{}
			for _, c := range r.commit() {
				if c.Topic == "g-table" {
					got[string(c.Key)], _ = strconv.Atoi(string(c.Value))
				}
			}
			same(t, "counts", got, want)
		})
	}
}
