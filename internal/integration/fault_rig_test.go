package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// on runs f on kfake and on a real Kafka, beside other tests: for faults that have nothing to do with
// the version of transactions.
func on(t *testing.T, f func(r *rig)) {
	t.Helper()
	t.Parallel()
	run := func(k testenv.Kind, cluster func(t *testing.T) *testenv.Cluster) {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			f(newRig(t, cluster(t)))
		})
	}
	run(testenv.KFake, func(t *testing.T) *testenv.Cluster { return testenv.Fake(t) })
	run(testenv.KafkaTV2, func(t *testing.T) *testenv.Cluster { return clusters.Kafka(t, testenv.KafkaTV2) })
}

// says fails the test unless the error has all of the texts.
func says(t testing.TB, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", texts)
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("the error does not say %q:\n%v", s, err)
		}
	}
}

// refused starts groups, which must fail before the first record with an error
// that has all of the texts.
func (r *rig) refused(o engine.Options, def *topology.Def, texts ...string) {
	r.t.Helper()
	e, err := r.tryStart(o, def)
	if err == nil {
		e.Kill()
		r.t.Fatalf("the engine started, want an error that says %q", texts)
	}
	says(r.t, err, texts...)
}

// failed waits until the engine has ended with an error that has all of the texts.
func (r *rig) failed(e *engine.Engine, texts ...string) error {
	r.t.Helper()
	err := r.ended(e)
	says(r.t, err, texts...)
	return err
}

// ended waits until the engine has ended, and returns why.
func (r *rig) ended(e *engine.Engine) error {
	r.t.Helper()
	done := make(chan error, 1)
	go func() { done <- e.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		r.t.Fatalf("the engine has not ended after %v; ready: %v", patience, e.Ready())
		return nil
	}
}

// ready waits until all tasks of the engine run.
func (r *rig) ready(e *engine.Engine) {
	r.t.Helper()
	r.until("all tasks to run", func() bool { return e.Ready() == nil })
}

// sent are n of the numbers, from the i-th on.
func sent(topic string, from, n, keys int) []record.Record {
	return numbers(topic, from+n, keys)[from:]
}

// journal keeps what is logged, for tests of what an operator is told.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// journaled makes the options log to the test's output and to a journal.
func journaled(t testing.TB, o *engine.Options) *journal {
	j := new(journal)
	o.Log = slog.New(slog.NewTextHandler(io.MultiWriter(j, t.Output()), nil))
	return j
}

// has fails the test unless one line of the journal has all of the texts.
func (j *journal) has(t testing.TB, texts ...string) {
	t.Helper()
	if !j.says(texts...) {
		t.Errorf("no line of the log says %q", texts)
	}
}

func (j *journal) says(texts ...string) bool {
	for line := range strings.Lines(j.String()) {
		all := true
		for _, s := range texts {
			all = all && strings.Contains(line, s)
		}
		if all {
			return true
		}
	}
	return false
}

// unread is a topology whose callback must never run.
func unread(t testing.TB, group, in string, more ...topology.Edge) *topology.Def {
	edges := []topology.Edge{
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, _ any) {
			t.Errorf("a record was processed: %s@%d", ctx.Topic(), ctx.Offset())
		}),
		topology.Persist(new(gcodec.Int64)),
	}
	return topology.Group(goka.Group(group), append(edges, more...)...)
}

// strictly is counting with a codec that reads nothing but numbers.
func strictly(group, in string, more ...topology.Edge) *topology.Def {
	edges := []topology.Edge{
		topology.Input(goka.Stream(in), new(gcodec.Int64), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Persist(new(gcodec.Int64)),
	}
	return topology.Group(goka.Group(group), append(edges, more...)...)
}

// takes are the settings of a topic that takes no larger batch.
func takes(bytes int) map[string]string {
	return map[string]string{"retention.ms": "-1", "max.message.bytes": fmt.Sprint(bytes)}
}

// wraps fails the test unless the error is the sentinel.
func wraps(t testing.TB, err, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("the error is not %q:\n%v", sentinel, err)
	}
}

// recreate deletes a topic and makes it anew, empty.
func (r *rig) recreate(spec kafka.TopicSpec) {
	r.t.Helper()
	before, err := r.k.Topics(r.ctx, spec.Name)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.k.DeleteTopics(r.ctx, spec.Name); err != nil {
		r.t.Fatal(err)
	}
	r.until("the topic to be made anew", func() bool {
		_, _ = r.k.CreateTopics(r.ctx, spec) // fails while the old one is being deleted
		now, err := r.k.Topics(r.ctx, spec.Name)
		return err == nil && now[spec.Name].Partitions > 0 && now[spec.Name].ID != before[spec.Name].ID
	})
}
