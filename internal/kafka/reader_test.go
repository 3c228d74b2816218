package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

func TestReaderPassesMarkersAndAbortedData(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	transact(t, p, true, topic, 0, "a", "b")
	transact(t, p, false, topic, 0, "x", "y", "z")
	settledEnds(t, c, at(topic, 0)) // its marker stands before what follows
	plainly(t, c, topic, 0, "c")
	transact(t, p, false, topic, 0, "x")
	end := settledEnds(t, c, at(topic, 0))
	wantEqual(t, "high watermark", end.HighWatermark, 10) // 7 records, 3 markers
	r := c.Open(at(topic, 0), 0)
	defer r.Close()
	got, next := readTo(t, r, end.HighWatermark)
	wantEqual(t, "read", got, "a b c")
	wantEqual(t, "position", next, end.HighWatermark)

	for from, want := range map[int64]string{1: "b c", 2: "c", 4: "c", 7: "c", 8: "", 9: ""} {
		r := c.Open(at(topic, 0), from)
		got, next := readTo(t, r, end.HighWatermark)
		wantEqual(t, fmt.Sprintf("read from %d", from), got, want)
		wantEqual(t, "position", next, end.HighWatermark)
		r.Close()
	}
}

func TestReaderWaitsForTheEndOfAnOpenTransaction(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	topic := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	plainly(t, c, topic, 0, "a")
	produceValues(p, topic, 0, "b", "c")
	_, res := p.Flush(ctx)
	wantOutcome(t, OK, res)
	r := c.Open(at(topic, 0), 0)
	defer r.Close()
	got, next := readTo(t, r, 1)
	wantEqual(t, "read", got, "a")
	wantEqual(t, "position", next, 1)
	short, cancel := context.WithTimeout(ctx, 600*time.Millisecond)
	if b, err := r.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the commit: %v, %v", b, err)
	}
	cancel()
	wantOutcome(t, OK, p.End(ctx, true))
	b, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "after the commit", valuesOf(b.Records), "b c")
}

func TestReaderFollowsTheEndOfTheLog(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	r := c.Open(at(topic, 0), 0)
	defer r.Close()
	var end int64
	for i := range 20 {
		v := fmt.Sprint("v", i)
		end = transact(t, p, true, topic, 0, v)[0].Offset
		got, _ := readTo(t, r, end)
		wantEqual(t, "read", got, v)
	}
}

func TestReadersOfManyPartitionsDoNotWaitForEachOther(t *testing.T) {
	c := testCluster(t)
	const n = 40
	topic := testTopic(t, c, n)
	var wg sync.WaitGroup
	var got [n]string
	for i := range n {
		wg.Go(func() {
			for range 2 { // two readers of a partition share a request
				r := c.Open(at(topic, int32(i)), 0)
				defer r.Close()
				b, err := r.Next(testContext(t))
				if err != nil {
					t.Error(err)
				}
				got[i] = valuesOf(b.Records)
			}
		})
	}
	for i := range n {
		plainly(t, c, topic, int32(i), fmt.Sprint(i))
	}
	wg.Wait()
	for i := range n {
		wantEqual(t, "read", got[i], fmt.Sprint(i))
	}
}

func TestReaderBeyondTheLogSaysSo(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	topic := testTopic(t, c, 1)
	plainly(t, c, topic, 0, "a", "b", "c")
	if _, err := c.Open(at(topic, 0), 4).Next(ctx); !errors.Is(err, record.ErrOffsetOutOfRange) {
		t.Errorf("beyond the end: %v", err)
	}
	if err := c.DeleteRecords(ctx, map[record.Partition]int64{at(topic, 0): 2}); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "log start", endsOf(t, c, at(topic, 0)).Start, 2)
	_, err := c.Open(at(topic, 0), 0).Next(ctx)
	if !errors.Is(err, record.ErrOffsetOutOfRange) || !strings.Contains(err.Error(), topic) {
		t.Errorf("before the start: %v", err)
	}
	got, _ := readTo(t, c.Open(at(topic, 0), 2), 3)
	wantEqual(t, "read", got, "c")
}

func TestReaderOfAnUnknownPartitionSaysSo(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	for _, p := range []record.Partition{at(topic, 7), at(testName(t), 0)} {
		if _, err := c.Open(p, 0).Next(testContext(t)); !errors.Is(err, record.ErrUnknownTopic) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestReaderNoticesARecreatedTopic(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	topic := testTopic(t, c, 1)
	plainly(t, c, topic, 0, "a", "b")
	r := c.Open(at(topic, 0), 0)
	defer r.Close()
	readTo(t, r, 2)
	old := endsOf(t, c, at(topic, 0)).TopicID
	recreate(t, c, TopicSpec{Name: topic, Partitions: 1})
	plainly(t, c, topic, 0, "c", "d", "e")
	if id := endsOf(t, c, at(topic, 0)).TopicID; id == old || !id.Known() {
		t.Errorf("topic id %v after %v", id, old)
	}
	if b, err := r.Next(ctx); !errors.Is(err, record.ErrRecreated) {
		t.Errorf("%q, %v", valuesOf(b.Records), err)
	}
}

func recreate(t *testing.T, c *Cluster, spec TopicSpec) {
	t.Helper()
	ctx := testContext(t)
	if err := c.DeleteTopics(ctx, spec.Name); err != nil {
		t.Fatal(err)
	}
	for {
		created, err := c.CreateTopics(ctx, spec)
		if len(created) == 1 {
			return
		}
		if !pause(ctx, 20*time.Millisecond) {
			t.Fatal(err)
		}
	}
}

func TestClosedReaderReturns(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	r := c.Open(at(topic, 0), 0)
	done := make(chan error)
	go func() {
		_, err := r.Next(context.Background())
		done <- err
	}()
	time.AfterFunc(50*time.Millisecond, r.Close)
	if err := <-done; !errors.Is(err, errReaderClosed) {
		t.Error(err)
	}
	if _, err := r.Next(context.Background()); !errors.Is(err, errReaderClosed) {
		t.Error(err)
	}
}

func TestReaderSurvivesLeaderChangesAndRefusals(t *testing.T) {
	fake := fakeCluster(t, kfake.NumBrokers(3))
	c := openCluster(t, fake.ListenAddrs())
	topic := testTopic(t, c, 1)
	r := c.Open(at(topic, 0), 0)
	defer r.Close()
	want := int64(0)
	for i, refuse := range []*kerr.Error{nil, kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.UnknownLeaderEpoch, kerr.UnknownServerError} {
		if refuse != nil {
			fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: refuse, Count: 2})
		}
		if err := fake.MoveTopicPartition(topic, 0, int32(i%3)); err != nil {
			t.Fatal(err)
		}
		plainly(t, c, topic, 0, fmt.Sprint(i))
		want++
		got, _ := readTo(t, r, want)
		wantEqual(t, "read", got, fmt.Sprint(i))
	}
}

func TestReaderReadsLargeTransactionsInOneBatch(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	topic := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	const n = 12 // of 1 MB, so several answers
	for range n {
		p.Produce(&Out{Topic: topic, Value: make([]byte, 900_000), Timestamp: 1})
	}
	_, res := p.Flush(ctx)
	wantOutcome(t, OK, res)
	wantOutcome(t, OK, p.End(ctx, true))
	r := c.Open(at(topic, 0), 0)
	defer r.Close()
	b, err := r.Next(ctx)
	if err != nil || len(b.Records) != n || b.Next < n {
		t.Errorf("%d records, position %d, %v", len(b.Records), b.Next, err)
	}
}
