package task_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// letterOf returns what becomes of a record whose callback fails like this.
func letterOf(t *testing.T, fail func(goka.Context), key, value []byte, headers ...record.Header) task.Out {
	t.Helper()
	r := newRig(t, topology.Input("in", str, func(ctx goka.Context, _ any) { fail(ctx) }), topology.DeadLetter("dead"), topology.ProcessNil())
	r.input("in", "", "passed over")
	rec := &record.Record{Topic: "in", Offset: 42, LeaderEpoch: 3, Timestamp: 1_700_000_000_123, Key: key, Value: value, Headers: headers}
	effects, err := r.task.Step("in", rec)
	if err != nil || len(effects.Emits) != 1 {
		t.Fatal(err, show(effects.Emits))
	}
	return effects.Emits[0]
}

func lines(o task.Out) string {
	s := fmt.Sprintf("topic     %s\nkey       %s\nvalue     %s\ntimestamp %d\n", o.Topic, text(o.Key), text(o.Value), o.Timestamp)
	for _, h := range o.Headers {
		s += fmt.Sprintf("header    %s: %s\n", h.Key, text(h.Value))
	}
	return s
}

func TestDeadLetterFormat(t *testing.T) {
	failWith := func(err error) func(goka.Context) { return func(ctx goka.Context) { ctx.Fail(err) } }
	got := "# a record with headers of its own\n" +
		lines(letterOf(t, failWith(errors.New("the amount is negative")), []byte("ann"), []byte("-5"),
			record.Header{Key: "trace", Value: []byte("af31")}, record.Header{Key: "trace", Value: nil})) +
		"\n# a tombstone without key\n" +
		lines(letterOf(t, failWith(errors.New("no")), nil, nil)) +
		"\n# a dead letter that dies again\n" +
		lines(letterOf(t, failWith(errors.New("again")), []byte("k"), []byte("v"),
			letterOf(t, failWith(errors.New("first")), []byte("k"), []byte("v")).Headers...))
	path := filepath.Join("testdata", "dead-letter-v1.txt")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the format has changed: it needs a new version and a page (docs/format/dead-letter.md)\n%s", got)
	}
}

func TestADeadLetterIsReadBack(t *testing.T) {
	own := []record.Header{{Key: "trace", Value: []byte("af31")}, {Key: "kappa-error", Value: []byte("not ours")}}
	o := letterOf(t, func(ctx goka.Context) { ctx.Fail(errMine) }, []byte("k"), []byte("v"), own...)
	l, err := task.ParseDeadLetter(&record.Record{Topic: "dead", Offset: 7, Partition: 5, Timestamp: o.Timestamp, Key: o.Key, Value: o.Value, Headers: o.Headers})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "letter", l, task.DeadLetter{Group: "g", Error: "mine", Record: record.Record{
		Topic: "in", Offset: 42, LeaderEpoch: -1, Timestamp: 1_700_000_000_123, Key: []byte("k"), Value: []byte("v"), Headers: own,
	}})
}

func TestWhatIsNoDeadLetterIsAnError(t *testing.T) {
	good := letterOf(t, func(ctx goka.Context) { ctx.Fail(errMine) }, []byte("k"), []byte("v")).Headers
	change := func(i int, value string) []record.Header {
		h := append([]record.Header(nil), good...)
		h[i].Value = []byte(value)
		return h
	}
	for want, headers := range map[string][]record.Header{
		"no dead letter":         {{Key: "kappa-group", Value: []byte("g")}},
		`version "2"`:            change(0, "2"),
		"header kappa-partition": change(3, "x"),
		"header kappa-offset":    change(4, ""),
		"header kappa-timestamp": change(5, "99999999999999999999"),
	} {
		_, err := task.ParseDeadLetter(&record.Record{Headers: headers})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	if _, err := task.ParseDeadLetter(&record.Record{Headers: change(0, "2")}); !errors.Is(err, changelog.ErrVersion) {
		t.Errorf("a later version: %v", err)
	}
}

func TestADeadLetterOfAPanicIsTheSameTwice(t *testing.T) {
	deep := func() { panic("boom") }
	letter := func() task.Out { return letterOf(t, func(goka.Context) { deep() }, []byte("k"), []byte("v")) }
	first := lines(letter())
	done := make(chan string)
	go func() { done <- lines(letter()) }()
	if second := <-done; second != first {
		t.Errorf("first\n%ssecond\n%s", first, second)
	}
	if !strings.Contains(first, "callback panicked: boom (deadletter_test.go:") || strings.Contains(first, "goroutine") {
		t.Error(first)
	}
}

func TestALongErrorIsCut(t *testing.T) {
	o := letterOf(t, func(ctx goka.Context) { ctx.Fail(errors.New("x" + strings.Repeat("ü", 1<<16))) }, []byte("k"), []byte("v"))
	cause := o.Headers[len(o.Headers)-1].Value
	if len(cause) > 8<<10 || len(cause) < 8<<10-4 || !utf8.Valid(cause) {
		t.Errorf("%d bytes, valid %v", len(cause), utf8.Valid(cause))
	}
}

func FuzzParseDeadLetter(f *testing.F) {
	f.Add("1", "g", "in", "0", "42", "1700000000123", "mine")
	f.Add("2", "", "", "-1", "x", "", "")
	f.Fuzz(func(t *testing.T, version, group, topic, partition, offset, timestamp, cause string) {
		r := &record.Record{Headers: []record.Header{
			{Key: "own", Value: []byte(group)},
			{Key: task.HeaderDeadLetter, Value: []byte(version)}, {Key: task.HeaderGroup, Value: []byte(group)},
			{Key: task.HeaderTopic, Value: []byte(topic)}, {Key: task.HeaderPartition, Value: []byte(partition)},
			{Key: task.HeaderOffset, Value: []byte(offset)}, {Key: task.HeaderTimestamp, Value: []byte(timestamp)},
			{Key: task.HeaderError, Value: []byte(cause)},
		}}
		l, err := task.ParseDeadLetter(r)
		if err == nil && (l.Group != group || l.Record.Topic != topic || l.Error != cause || len(l.Record.Headers) != 1) {
			t.Errorf("%+v", l)
		}
	})
}
