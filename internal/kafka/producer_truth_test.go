package kafka

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

// These tests hold the producer against what its client may answer though it is not
// so: the client's commit says nothing for a transaction that it has not committed,
// or not all of.

// A record that the client does not even buffer is refused by a promise of its own
// time, which the client's flush does not wait for.
func TestFlushWaitsForARecordThatIsNotBuffered(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{MaxBatchBytes: 1 << 10, MaxBufferedBytes: 1 << 10})
	transact(t, p, true, out, 0, "a")
	for range 300 {
		p.Produce(&Out{Topic: out, Value: make([]byte, 2<<10), Timestamp: 1})
		_, r := p.Flush(ctx)
		wantOutcome(t, Aborted, r)
		wantOutcome(t, Aborted, p.End(ctx, true))
		wantOutcome(t, OK, p.End(ctx, false))
	}
	transact(t, p, true, out, 0, "z")
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "a z")
}

// refuseAfter answers the n-th produce request from now on as brokers do that have
// ended the producer's transaction, and whose log has lost what it wrote before.
func refuseAfter(fake *kfake.Cluster, n int) {
	fake.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if n--; n != 0 {
			return nil, nil, false
		}
		req := kreq.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, q := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.BaseOffset, rp.LogStartOffset = q.Partition, kerr.InvalidProducerEpoch.Code, -1, 1<<20
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

// Where a partition's log start has passed the client's last record, the client
// takes a new epoch and goes on: the brokers abort what the transaction has written
// so far, and the client would commit the rest.
func TestTransactionThatChangesItsEpochIsNotCommitted(t *testing.T) {
	fake := fakeCluster(t, kfake.NumBrokers(1))
	c := openCluster(t, fake.ListenAddrs())
	ctx := testContext(t)
	out := testTopic(t, c, 2)
	p := testProducer(t, c, ProducerConfig{})
	transact(t, p, true, out, 1, "a")
	for _, flushed := range []bool{true, false} {
		produceValues(p, out, 0, "x")
		if flushed { // before, or in the same breath
			_, r := p.Flush(ctx)
			wantOutcome(t, OK, r)
		}
		refuseAfter(fake, 1)
		produceValues(p, out, 1, "y")
		if _, r := p.Flush(ctx); r.Outcome == OK && flushed {
			t.Error("flushed, though the first half is lost")
		}
		if r := p.End(ctx, true); r.Outcome == OK {
			got, _ := readTo(t, c.Open(at(out, 0), 0), settledEnds(t, c, at(out, 0)).HighWatermark)
			if got == "" || flushed {
				t.Errorf("committed, with %q of the first half", got)
			}
			continue
		}
		wantOutcome(t, OK, p.End(ctx, false))
	}
	transact(t, p, true, out, 0, "z")
}

// The client commits whatever has succeeded, whether the rest is known or not.
func TestNothingIsCommittedThatIsNotFlushed(t *testing.T) {
	fake := fakeCluster(t, kfake.NumBrokers(1))
	c := openCluster(t, fake.ListenAddrs())
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	produceValues(p, out, 0, "a")
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	release := make(chan struct{})
	fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.SleepControl(func() { <-release })
		return nil, nil, false
	})
	produceValues(p, out, 0, "b")
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, r = p.Flush(short)
	wantOutcome(t, Aborted, r)
	wantOutcome(t, Aborted, p.CommitOffsets(ctx, Fence{Group: "g"}, []record.Position{{Topic: out, Offset: 1}}))
	wantOutcome(t, Aborted, p.End(ctx, true))
	close(release)
	wantOutcome(t, OK, p.End(ctx, false))
	transact(t, p, true, out, 0, "z")
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "z")
}

// The client calls it an abort when it takes a new producer id after a commit that
// it does not know the outcome of.
func TestAbortAfterACommitWithoutAnAnswerIsNotCertain(t *testing.T) {
	fake := fakeCluster(t, kfake.NumBrokers(1))
	c := openCluster(t, fake.ListenAddrs())
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	produceValues(p, out, 0, "a")
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError, Count: 1})
	for _, commit := range []bool{true, false, true} {
		wantOutcome(t, Unknown, p.End(ctx, commit))
	}
	if err := p.Rebuild(); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, OK, p.Init(ctx))
	transact(t, p, true, out, 0, "b")
}

// A transaction that could not be begun stays refused: the first of its records is
// lost already.
func TestTransactionThatWasNotBegunIsRefusedAsAWhole(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	if err := p.cl.Load().BeginTransaction(); err != nil { // so that ours fails
		t.Fatal(err)
	}
	produceValues(p, out, 0, "x")
	if err := p.cl.Load().EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	produceValues(p, out, 0, "y")
	if _, r := p.Flush(ctx); r.Outcome == OK {
		t.Error("flushed without the first record")
	}
	wantOutcome(t, Aborted, p.End(ctx, true))
	wantOutcome(t, OK, p.End(ctx, false))
	transact(t, p, true, out, 0, "z")
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "z")
}

// The client takes a batch for written that a broker knows without its offset.
func TestTrackedRecordWithoutAnOffsetHasFailed(t *testing.T) {
	a := &acks{}
	r := &kgo.Record{Topic: "t", Offset: -1}
	a.done(r, nil)
	if err := a.err(); err != nil || a.n != 1 {
		t.Errorf("untracked: %v", err)
	}
	a.doneTracked(r, nil)
	if err := a.err(); !errors.Is(err, errNoOffset) || a.n != 1 || len(a.ends) != 0 {
		t.Errorf("tracked: %v, ends %v", err, a.ends)
	}
}
