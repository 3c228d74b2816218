package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// poison is a record that a group cannot process, among ones that it can.
type poison struct {
	name string
	def  func(group, in, out string, more ...topology.Edge) *topology.Def
	bad  record.Record
	is   error    // nil: any
	says []string // beside group, topic, partition, offset and key
}

// tooBig is more than a topic takes by default.
const tooBig = 2 << 20

var errBroken = errors.New("the callback says no")

// guarded counts; on the value "bad" it first sets and emits, and then does harm.
func guarded(harm func(ctx goka.Context)) func(group, in, out string, more ...topology.Edge) *topology.Def {
	return func(group, in, out string, more ...topology.Edge) *topology.Def {
		edges := []topology.Edge{
			topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) {
				if msg == "bad" {
					ctx.SetValue("changed")
					ctx.Emit(goka.Stream(out), ctx.Key(), "emitted")
					harm(ctx)
				}
				s, _ := ctx.Value().(string)
				ctx.SetValue(s + "x")
			}),
			topology.Persist(new(gcodec.String)),
			topology.Output(goka.Stream(out), new(gcodec.String)),
		}
		return topology.Group(goka.Group(group), append(edges, more...)...)
	}
}

func poisons() []poison {
	large := strings.Repeat("v", tooBig)
	return []poison{
		{
			name: "a value that no codec reads",
			def: func(group, in, _ string, more ...topology.Edge) *topology.Def {
				return strictly(group, in, more...)
			},
			bad:  record.Record{Key: []byte("b"), Value: []byte("twelve")},
			says: []string{"decode", "twelve"},
		},
		{
			name: "a record without key",
			def:  guarded(func(goka.Context) {}),
			bad:  record.Record{Value: []byte("1")},
			is:   task.ErrNoKey,
			says: []string{"the record has no key and the group keeps state by key; give the records keys, or name a DeadLetter topic"},
		},
		{
			name: "an emitted record that is too large",
			def: guarded(func(ctx goka.Context) {
				ctx.Emit(goka.Stream(ctx.Topic()[:len(ctx.Topic())-2]+"out"), ctx.Key(), large)
			}),
			bad:  record.Record{Key: []byte("b"), Value: []byte("bad")},
			is:   task.ErrTooLarge,
			says: []string{"record too large: 2097", "-out takes 1048588 (max.message.bytes)"},
		},
		{
			name: "a value of the table that is too large",
			def:  guarded(func(ctx goka.Context) { ctx.SetValue(large) }),
			bad:  record.Record{Key: []byte("b"), Value: []byte("bad")},
			is:   task.ErrTooLarge,
			says: []string{"record too large: 2097", "-table takes 1048588 (max.message.bytes)"},
		},
		{
			name: "a callback that fails",
			def:  guarded(func(ctx goka.Context) { ctx.Fail(errBroken) }),
			bad:  record.Record{Key: []byte("b"), Value: []byte("bad")},
			is:   errBroken,
		},
		{
			name: "a callback that panics",
			def:  guarded(func(goka.Context) { panic("no way on") }),
			bad:  record.Record{Key: []byte("b"), Value: []byte("bad")},
			is:   task.ErrPanic,
			says: []string{"callback panicked: no way on (fault_record_test.go:"},
		},
	}
}

// write emits 3 good records, the bad one and 3 good ones to the only partition.
func (p poison) write(r *rig, in string) {
	good := func() []record.Record {
		var out []record.Record
		for _, k := range []string{"a", "b", "c"} {
			out = append(out, record.Record{Topic: in, Key: []byte(k), Value: []byte("1")})
		}
		return out
	}
	bad := p.bad
	bad.Topic = in
	r.emit(append(append(good(), bad), good()...)...)
}

// By default the group stops, names the record, and has committed nothing of it;
// started again it stops at the same record.
func TestARecordThatCannotBeProcessedStopsTheGroupByName(t *testing.T) {
	on(t, func(r *rig) {
		for i, p := range poisons() {
			in, out, group := r.topic(fmt.Sprint(i, "-in"), 1), r.topic(fmt.Sprint(i, "-out"), 1), r.name(fmt.Sprint(i, "-g"))
			p.write(r, in)
			o := r.fast(r.t.TempDir())
			for range 2 {
				err := r.failed(r.start(o, p.def(group, in, out)), append(p.says,
					"group "+group+": task 0 stopped", in+"/0 offset 3", fmt.Sprintf("key %q", p.bad.Key))...)
				if p.is != nil {
					wraps(r.t, err, p.is)
				}
				var at *task.RecordError
				if !errors.As(err, &at) || at.Topic != in || at.Offset != 3 || !bytes.Equal(at.Key, p.bad.Key) {
					r.t.Errorf("%s: no RecordError of offset 3: %v", p.name, err)
				}
			}
			if got := r.table(group + "-table"); len(got) > 3 || got["b"] == "changed" {
				r.t.Errorf("%s: something of the record was committed: %q", p.name, got)
			}
			if got := r.read(out); len(got) > 0 {
				r.t.Errorf("%s: something was emitted: %v", p.name, got)
			}
			if r.t.Failed() {
				r.t.Fatalf("that was: %s", p.name)
			}
		}
	})
}

// With a dead-letter topic the record goes there, alone, and the others go on.
func TestARecordThatCannotBeProcessedBecomesADeadLetter(t *testing.T) {
	on(t, func(r *rig) {
		for i, p := range poisons() {
			in, out, dead, group := r.topic(fmt.Sprint(i, "-in"), 1), r.topic(fmt.Sprint(i, "-out"), 1), r.topic(fmt.Sprint(i, "-dead"), 1), r.name(fmt.Sprint(i, "-g"))
			p.write(r, in)
			e := r.start(r.fast(""), p.def(group, in, out, topology.DeadLetter(goka.Stream(dead))))
			r.processed(7, group, e)
			if c := counts(e, group); c[record.Processed] != 6 || c[record.Dead] != 1 {
				r.t.Errorf("%s: counted %v", p.name, c)
			}
			r.stop(e)
			letters := r.read(dead)
			if len(letters) != 1 {
				r.t.Fatalf("%s: %d dead letters", p.name, len(letters))
			}
			l, err := task.ParseDeadLetter(&letters[0])
			if err != nil {
				r.t.Fatal(err)
			}
			if l.Record.Topic != in || l.Record.Offset != 3 || l.Group != group || string(l.Record.Value) != string(p.bad.Value) || !bytes.Equal(l.Record.Key, p.bad.Key) {
				r.t.Errorf("%s: the letter is of %s@%d, group %s, key %q", p.name, l.Record.Topic, l.Record.Offset, l.Group, l.Record.Key)
			}
			says(r.t, errors.New(l.Error), p.says...)
			if got := r.read(out); len(got) > 0 {
				r.t.Errorf("%s: something was emitted: %v", p.name, got)
			}
			want := map[string]string{"a": "xx", "b": "xx", "c": "xx"}
			if i == 0 {
				want = map[string]string{"a": "2", "b": "2", "c": "2"}
			}
			r.equal(p.name, r.table(group+"-table"), want)
		}
	})
}

// A large record whose dead letter would be too large, too, stops the group: it
// is not dropped.
func TestARecordTooLargeForItsDeadLetterStopsTheGroup(t *testing.T) {
	on(t, func(r *rig) {
		in, dead, group := r.name("in"), r.topic("dead", 1), r.name("g")
		r.create(kafka.TopicSpec{Name: in, Partitions: 1, Config: takes(4 << 20)})
		r.emitLarge(record.Record{Topic: in, Key: []byte("k"), Value: bytes.Repeat([]byte("x"), tooBig)})
		e := r.start(r.fast(""), strictly(group, in, topology.DeadLetter(goka.Stream(dead))))
		r.failed(e, in+"/0 offset 0", `key "k"`, "invalid syntax; and its dead letter of 210", "is more than "+dead+" takes")
	})
}

// One task stands still, is named, and the others go on.
func TestAFailedTaskMayPauseAlone(t *testing.T) {
	on(t, func(r *rig) {
		in, group := r.topic("in", 4), r.name("g")
		good := numbers(in, 400, 40)
		at := record.FNV1a.Partition([]byte("k0"), 4)
		rest := 0
		for _, x := range good {
			if record.FNV1a.Partition(x.Key, 4) != at {
				rest++
			}
		}
		r.emit(record.Record{Topic: in, Key: []byte("k0"), Value: []byte("twelve")})
		r.emit(good...)
		o := r.fast(r.t.TempDir())
		o.PauseFailed = true
		e := r.start(o, strictly(group, in))
		r.processed(int64(rest), group, e)
		r.until("the failure to show", func() bool {
			err := e.Ready()
			return err != nil && strings.Contains(err.Error(), "failed")
		})
		says(r.t, e.Ready(), fmt.Sprintf("group %s task %d failed", group, at), fmt.Sprintf("%s/%d offset 0", in, at), `key "k0"`, "twelve")
		r.stop(e)
		for k := range r.table(group + "-table") {
			if record.FNV1a.Partition([]byte(k), 4) == at {
				r.t.Errorf("key %s is of the failed task", k)
			}
		}
	})
}

// emitLarge writes a record that is larger than producers send by default.
func (r *rig) emitLarge(x record.Record) {
	r.t.Helper()
	p, err := r.k.NewProducer(kafka.ProducerConfig{TransactionalID: r.name("large"), Timeout: 10 * time.Second, MaxBatchBytes: 4 << 20})
	if err != nil {
		r.t.Fatal(err)
	}
	defer p.Close()
	ok := func(res kafka.Result) {
		r.t.Helper()
		if res.Outcome != kafka.OK {
			r.t.Fatal(res)
		}
	}
	ok(p.Init(r.ctx))
	p.Produce(&kafka.Out{Topic: x.Topic, Partition: x.Partition, Key: x.Key, Value: x.Value, Timestamp: 1_700_000_000_000})
	_, res := p.Flush(r.ctx)
	ok(res)
	ok(p.End(r.ctx, true))
}

// stuckVariable gives the process that TestStuckChild is the brokers, the input
// and the group.
const stuckVariable = "KAPPA_TEST_STUCK"

// A callback that never returns is named, and ends the engine; the process can
// then do nothing but exit.
func TestACallbackThatNeverReturnsIsNamed(t *testing.T) {
	on(t, func(r *rig) {
		in, group := r.topic("in", 1), r.name("g")
		r.emit(numbers(in, 10, 10)...)
		begun, hang := time.Now(), make(chan struct{})
		r.t.Cleanup(func() { close(hang) })
		o := r.fast(r.t.TempDir())
		o.Watchdog = 300 * time.Millisecond
		e := r.start(o, hanging(group, in, hang))
		err := r.failed(e, "group "+group, in+"/0 offset 7", `key "k7"`, "a callback does not return", "or raise the watchdog")
		wraps(r.t, err, engine.ErrStuck)
		if d := time.Since(begun); d > 20*time.Second {
			r.t.Errorf("Wait took %v", d)
		}
		if got := r.table(group + "-table"); got["k7"] != "" {
			r.t.Errorf("the hanging record was committed: %v", got)
		}
	})
}

func TestAProcessWhoseCallbackHangsExitsByItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	in, group := r.topic("in", 1), r.name("g")
	r.emit(numbers(in, 10, 10)...)
	cmd := exec.CommandContext(r.ctx, os.Args[0], "-test.run=^TestStuckChild$")
	cmd.Env = append(os.Environ(), stuckVariable+"="+r.env.Bootstrap()+" "+in+" "+group)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("the process ended with %v:\n%s", err, out)
	}
	says(t, errors.New(string(out)), in+"/0 offset 7", `key "k7"`, "a callback does not return")
}

// TestStuckChild is the process of TestAProcessWhoseCallbackHangsExitsByItself.
func TestStuckChild(t *testing.T) {
	args := strings.Fields(os.Getenv(stuckVariable))
	if len(args) != 3 {
		t.Skip("it is a process that another test starts")
	}
	k, err := kafka.Open(t.Context(), kafka.Config{Brokers: strings.Split(args[0], ",")})
	if err != nil {
		t.Fatal(err)
	}
	plans, err := topology.Build(hanging(args[2], args[1], nil))
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Start(t.Context(), plans, engine.Options{Cluster: k, Watchdog: 300 * time.Millisecond, CommitInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(e.Wait())
	os.Exit(3)
}

// hanging is counting, but for the record with value 7.
func hanging(group, in string, until <-chan struct{}) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.Int64), func(ctx goka.Context, msg any) {
			if msg == int64(7) {
				<-until
			}
			ctx.SetValue(msg)
		}),
		topology.Persist(new(gcodec.Int64)),
	)
}
