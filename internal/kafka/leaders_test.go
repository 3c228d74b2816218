package kafka

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// counter writes the numbers from 0 on to every partition of a topic, one a
// transaction, and the count to a group's offsets.
type counter struct {
	t     *testing.T
	c     *Cluster
	p     *Producer
	topic string
	group string
	parts int32
	done  int
	// flushed is called in each transaction before its end.
	flushed func(n int)
}

// count commits the next number, however often that takes.
func (w *counter) count() {
	n := w.done
	for w.done == n {
		if r := w.attempt(n); r.Outcome == OK {
			w.done++
		} else {
			w.recover(r)
		}
		if w.t.Failed() {
			return
		}
	}
}

func (w *counter) attempt(n int) Result {
	ctx := context.Background()
	for p := range w.parts {
		produceValues(w.p, w.topic, p, fmt.Sprint(n))
	}
	if _, r := w.p.Flush(ctx); r.Outcome != OK {
		return r
	}
	w.flushed(n)
	pos := []record.Position{{Topic: w.topic, Offset: int64(n) + 1, LeaderEpoch: -1}}
	if r := w.p.CommitOffsets(ctx, Fence{Group: w.group, Generation: -1}, pos); r.Outcome != OK {
		return r
	}
	return w.p.End(ctx, true)
}

// recover does what the outcome asks for. Where that cannot be known it looks
// whether the number stands.
func (w *counter) recover(r Result) {
	w.t.Logf("%d: %v", w.done, r)
	if r.Outcome == Aborted && w.p.End(context.Background(), false).Outcome == OK {
		return
	}
	if err := w.p.Rebuild(); err != nil {
		w.t.Error(err)
		return
	}
	for r = w.p.Init(context.Background()); r.Outcome == Retry; r = w.p.Init(context.Background()) {
	}
	if r.Outcome != OK {
		w.t.Errorf("init: %v", r)
		return
	}
	got, err := w.c.Committed(testContext(w.t), w.group, w.topic)
	if err != nil {
		w.t.Error(err)
	}
	w.done = int(got[at(w.topic, 0)])
}

func numbers(n int) string {
	var s []string
	for i := range n {
		s = append(s, fmt.Sprint(i))
	}
	return strings.Join(s, " ")
}

func TestNothingIsLostOrDoubledWhenALeaderDies(t *testing.T) {
	if realBrokers() != nil {
		t.Skip("needs brokers of its own")
	}
	t.Parallel()
	env := testenv.Kafka(t, testenv.Options{Nodes: 3, Properties: map[string]string{"broker.session.timeout.ms": "3000"}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := openCluster(t, env.Brokers())
	const total, parts = 25, 3
	topic := testTopic(t, c, parts)
	w := &counter{t: t, c: c, p: testProducer(t, c, ProducerConfig{Timeout: 4 * time.Second}), topic: topic, group: testName(t), parts: parts}
	killed := false
	w.flushed = func(n int) {
		if killed || n != 10 {
			return
		}
		leader, _, err := c.leader(ctx, at(topic, 0))
		if err != nil {
			t.Error(err)
			return
		}
		killed = true
		t.Logf("%d: node %d is killed", n, leader)
		env.Kill(int(leader))
	}
	// The readers are at work all the time.
	var readers sync.WaitGroup
	want := numbers(total)
	for p := range int32(parts) {
		r := c.Open(at(topic, p), 0)
		t.Cleanup(r.Close)
		readers.Go(func() { readNumbers(ctx, t, r, want) })
	}
	f := testFetcher(t, c)
	readers.Go(func() { fetchNumbers(ctx, t, f, topic, parts, want) })
	for w.done < total && !t.Failed() {
		w.count()
	}
	readers.Wait()
	got, err := c.Committed(testContext(t), w.group, topic)
	if err != nil || got[at(topic, 0)] != total {
		t.Errorf("committed %v, %v; want %d", got, err, total)
	}
}

func readNumbers(ctx context.Context, t *testing.T, r record.LogReader, want string) {
	var got []record.Record
	for len(valuesOf(got)) < len(want) {
		b, err := r.Next(ctx)
		if err != nil {
			t.Errorf("reader after %q: %v", valuesOf(got), err)
			return
		}
		got = append(got, b.Records...)
	}
	wantEqual(t, "read", valuesOf(got), want)
}

func fetchNumbers(ctx context.Context, t *testing.T, f *Fetcher, topic string, parts int32, want string) {
	var missing int
	got := make(map[record.Partition]string)
	for p := range parts {
		f.Seek(Seek{Partition: at(topic, p), Epoch: 1})
		missing += len(want)
	}
	for missing > 0 {
		fs, err := f.Poll(ctx)
		if err != nil {
			t.Errorf("fetcher after %q: %v", got, err)
			return
		}
		for i := range fs {
			if fs[i].Err != nil {
				t.Error(fs[i].Err)
				return
			}
			before := len(got[fs[i].Partition])
			got[fs[i].Partition] = strings.TrimSpace(got[fs[i].Partition] + " " + valuesOf(fs[i].Records))
			missing -= len(got[fs[i].Partition]) - before
			fs[i].Release()
		}
	}
	for p := range parts {
		wantEqual(t, "fetched", got[at(topic, p)], want)
	}
}
