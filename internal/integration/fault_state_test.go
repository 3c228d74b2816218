package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

func TestAStateDirectoryOfAnotherAppIsRefused(t *testing.T) {
	on(t, func(r *rig) {
		in, group, o := r.topic("in", 1), r.name("g"), r.fast(r.t.TempDir())
		r.emit(numbers(in, 10, 3)...)
		e := r.start(o, counting(group, in))
		r.processed(10, group, e)
		r.stop(e)
		o.App = "other"
		r.refused(o, counting(group, in), "state directory "+o.StateDir, `belongs to app "test", this is "other"`, "choose another directory")
		o.App = "test"
		e = r.start(o, counting(group, in)) // nothing was touched
		r.emit(numbers(in, 10, 3)...)
		r.processed(20, group, e)
		if n := stats(e, group).ReplayedRecords; n != 0 {
			t.Errorf("%d records were replayed: the refusal has harmed the store", n)
		}
	})
}

// What does not fit is rebuilt from the changelog, and the log says why.
func TestAStateDirectoryThatCannotBeReadIsRebuilt(t *testing.T) {
	on(t, func(r *rig) {
		in, group, o := r.topic("in", 2), r.name("g"), r.fast(r.t.TempDir())
		sent := 0
		more := func() {
			r.emit(numbers(in, 300, 30)...)
			sent += 300
		}
		more()
		e := r.start(o, counting(group, in))
		r.processed(int64(sent), group, e)
		r.stop(e)
		for _, harm := range []struct {
			what string
			do   func(dir string)
			says string
		}{
			{"nothing", func(string) {}, ""},
			{"another version", func(dir string) { r.write(dir, "kappa-state", []byte("kappa-state 7\napp \"test\"\n")) }, "it is of version 7, this is version 1"},
			{"a marker cut short", func(dir string) { r.write(dir, "kappa-state", []byte("kappa-sta")) }, "its marker is half written or corrupt"},
			{"no marker", func(dir string) { r.remove(dir, "kappa-state") }, "its marker is missing"},
			{"no manifest", func(dir string) { r.remove(dir, "kappa-store/MANIFEST-*") }, ""},
			{"garbage in the manifest", func(dir string) { r.garble(dir, "kappa-store/MANIFEST-*") }, ""},
			{"garbage in the tables", func(dir string) { r.garble(dir, "kappa-store/*.sst") }, ""},
			{"tables cut short", func(dir string) { r.halve(dir, "kappa-store/*.sst") }, ""},
		} {
			harm.do(filepath.Join(o.StateDir, "store"))
			j := journaled(r.t, &o)
			more()
			e = r.start(o, counting(group, in))
			r.processed(int64(sent), group, e)
			if harm.what != "nothing" && !j.says("level=WARN", harm.says) {
				r.t.Errorf("%s: the log does not say why the state was rebuilt:\n%s", harm.what, j)
			}
			if n := stats(e, group).ReplayedRecords; (n > 0) != (harm.what != "nothing") {
				r.t.Errorf("%s: %d records replayed", harm.what, n)
			}
			r.stop(e)
			r.equal(harm.what, r.table(group+"-table"), times(sent/300, countsOf(300, 30)))
		}
	})
}

// times multiplies decimal values.
func times(n int, m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		var x int
		fmt.Sscan(v, &x)
		out[k] = fmt.Sprint(n * x)
	}
	return out
}

func (r *rig) write(dir, name string, data []byte) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// files returns what matches a pattern, which is something.
func (r *rig) files(dir, pattern string) []string {
	r.t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		r.t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	return found
}

func (r *rig) remove(dir, pattern string) {
	r.t.Helper()
	for _, f := range r.files(dir, pattern) {
		if err := os.Remove(f); err != nil {
			r.t.Fatal(err)
		}
	}
}

// garble overwrites files with as many bytes of nonsense.
func (r *rig) garble(dir, pattern string) {
	r.t.Helper()
	for _, f := range r.files(dir, pattern) {
		s, err := os.Stat(f)
		if err == nil {
			err = os.WriteFile(f, bytes.Repeat([]byte("nonsense"), int(s.Size())/8+1), 0o644)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) halve(dir, pattern string) {
	r.t.Helper()
	for _, f := range r.files(dir, pattern) {
		s, err := os.Stat(f)
		if err == nil {
			err = os.Truncate(f, s.Size()/2)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// forgetful joins the values of each key; "" deletes it. A named store remembers all
// keys, so that neither log begins later after compaction.
func forgetful(group, in string) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) {
			if known := processors.FromContext(ctx).Store("known"); known.Get(ctx.Key()) == nil {
				known.Set(ctx.Key(), "yes")
			}
			if msg == "" {
				ctx.Delete()
				return
			}
			old, _ := ctx.Value().(string)
			ctx.SetValue(old + msg.(string))
		}),
		topology.Persist(new(gcodec.String)),
		topology.Store("known", new(gcodec.String)),
	)
}

// A store that is older than half of the time for which the topic keeps deletions
// may have missed some.
func TestAStoreTooOldForItsTopicsDeletionsIsRebuilt(t *testing.T) {
	on(t, func(r *rig) {
		for _, age := range []time.Duration{3 * 24 * time.Hour, 4 * 24 * time.Hour} {
			in, group, o := r.topic(fmt.Sprint("in", age.Hours()), 1), r.name(fmt.Sprint("g", age.Hours())), r.fast(r.t.TempDir())
			o.Dynamic = true
			put := func(k, v string) { r.emit(record.Record{Topic: in, Key: []byte(k), Value: []byte(v)}) }
			put("gone", "x")
			put("here", "x")
			e := r.start(o, forgetful(group, in))
			r.processed(2, group, e)
			r.stop(e)
			other := r.fast(r.t.TempDir())
			other.Dynamic = true
			put("gone", "")
			e = r.start(other, forgetful(group, in))
			r.processed(3, group, e)
			r.stop(e)

			j := journaled(r.t, &o)
			o.Clock = func() time.Time { return time.Now().Add(age) }
			put("here", "y")
			e = r.start(o, forgetful(group, in))
			r.processed(4, group, e)
			r.stop(e)
			r.equal("table", r.table(group+"-table"), map[string]string{"here": "xy"})
			tooOld := age > 7*24*time.Hour/2
			if j.says("wiping the local store", "h0m", "more than half of the 168h0m0s for which deletions are kept") != tooOld {
				r.t.Errorf("after %v: the log is\n%s", age, j)
			}
		}
	})
}

// The same with deletions that compaction has removed from the log: only a store
// that is rebuilt forgets the key.
func TestDeletedKeysDoNotComeBackFromAnOldStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	in, group, o := r.topic("in", 1), r.name("g"), r.fast(t.TempDir())
	const kept = 400 * time.Millisecond
	s := kafka.TableSpec(group+"-table", 1)
	s.Config["delete.retention.ms"], s.Config["min.compaction.lag.ms"] = fmt.Sprint(kept.Milliseconds()), "0"
	r.create(s)
	put := func(k, v string) {
		r.emit(record.Record{Topic: in, Key: []byte(k), Value: []byte(v), Timestamp: time.Now().UnixMilli()})
	}
	turn := func(o engine.Options, n int64) {
		t.Helper()
		o.Dynamic = true
		e := r.start(o, forgetful(group, in))
		r.processed(n, group, e)
		r.stop(e)
	}
	put("first", "stays at the log's start")
	turn(o, 1)
	put("gone", "old ")
	turn(o, 2)
	other := r.fast(t.TempDir())
	put("gone", "")
	turn(other, 3)
	r.until("compaction to remove the deletion", func() bool {
		put("tick", "t")
		turn(other, r.written(in))
		r.env.Fake().Compact()
		for _, x := range r.read(group + "-table") {
			if string(x.Key) == "gone" {
				return false
			}
		}
		return true
	})
	j := journaled(t, &o)
	put("gone", "new")
	turn(o, r.written(in))
	j.has(t, "wiping the local store", "for which deletions are kept")
	if got := r.table(group + "-table")["gone"]; got != "new" {
		t.Errorf("the deleted value has come back: %q", got)
	}
}

// written is the number of records in a topic.
func (r *rig) written(topic string) int64 {
	r.t.Helper()
	return int64(len(r.read(topic)))
}
