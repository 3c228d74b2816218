package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

func TestCommittedTransactionIsReadAndItsOffsetsStand(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out, in := testTopic(t, c, 2), testTopic(t, c, 1)
	f := joinGroup(t, c, testName(t), "", in)
	p := testProducer(t, c, ProducerConfig{})
	for round := int64(1); round <= 3; round++ {
		produceValues(p, out, 0, "a", "b")
		produceValues(p, out, 1, "c")
		ends, r := p.Flush(ctx)
		wantOutcome(t, OK, r)
		if len(ends) != 2 || ends[0].Of() != at(out, 0) || ends[1].Of() != at(out, 1) {
			t.Fatalf("ends %v", ends)
		}
		// Two records and one marker a transaction.
		wantEqual(t, "end of partition 0", ends[0].Offset, 3*round-1)
		wantEqual(t, "end of partition 1", ends[1].Offset, 2*round-1)
		wantOutcome(t, OK, p.CommitOffsets(ctx, f, []record.Position{{Topic: in, Offset: 10 * round, LeaderEpoch: -1}}))
		wantOutcome(t, OK, p.End(ctx, true))
		got, err := c.Committed(ctx, f.Group, in)
		if err != nil || got[at(in, 0)] != 10*round {
			t.Fatalf("committed %v, %v; want %d", got, err, 10*round)
		}
	}
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "a b a b a b")
}

func TestAbortedTransactionLeavesNothingAndTheProducerGoesOn(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out, in := testTopic(t, c, 1), testTopic(t, c, 1)
	f := joinGroup(t, c, testName(t), "", in)
	p := testProducer(t, c, ProducerConfig{})
	produceValues(p, out, 0, "x", "y")
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	wantOutcome(t, OK, p.CommitOffsets(ctx, f, []record.Position{{Topic: in, Offset: 7, LeaderEpoch: -1}}))
	wantOutcome(t, OK, p.End(ctx, false))
	transact(t, p, true, out, 0, "z")
	committed, err := c.Committed(ctx, f.Group, in)
	if err != nil || len(committed) != 0 {
		t.Errorf("committed %v, %v; want nothing", committed, err)
	}
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "z")
}

func TestAbortBeforeFlushDropsWhatIsBuffered(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{Linger: time.Minute})
	produceValues(p, out, 0, "x", "y")
	wantOutcome(t, OK, p.End(ctx, false))
	produceValues(p, out, 0, "z")
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	wantOutcome(t, OK, p.End(ctx, true))
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "z")
}

func TestOffsetsOfAnOldGenerationAreStale(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out, in := testTopic(t, c, 1), testTopic(t, c, 1)
	f := joinGroup(t, c, testName(t), "", in)
	p := testProducer(t, c, ProducerConfig{})
	for _, zombie := range []Fence{
		{f.Group, f.Member, f.Generation - 1, ""},
		{f.Group, "nobody", f.Generation, ""},
	} {
		produceValues(p, out, 0, "x")
		_, r := p.Flush(ctx)
		wantOutcome(t, OK, r)
		wantOutcome(t, Stale, p.CommitOffsets(ctx, zombie, []record.Position{{Topic: in, Offset: 1, LeaderEpoch: -1}}))
		wantOutcome(t, OK, p.End(ctx, false))
	}
	transact(t, p, true, out, 0, "z")
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "z")
}

func TestStaticInstanceThatWasTakenOverIsFenced(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out, in, group := testTopic(t, c, 1), testTopic(t, c, 1), testName(t)
	old := joinGroup(t, c, group, "i", in)
	joinGroup(t, c, group, "i", in)
	p := testProducer(t, c, ProducerConfig{})
	produceValues(p, out, 0, "x")
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	wantOutcome(t, Fenced, p.CommitOffsets(ctx, old, []record.Position{{Topic: in, Offset: 1, LeaderEpoch: -1}}))
	wantOutcome(t, OK, p.End(ctx, false))
}

func TestSecondProducerFencesTheFirstAndAbortsItsTransaction(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	id := testName(t)
	zombie := testProducer(t, c, ProducerConfig{TransactionalID: id})
	produceValues(zombie, out, 0, "x")
	_, r := zombie.Flush(ctx)
	wantOutcome(t, OK, r)
	if e := endsOf(t, c, at(out, 0)); e.LastStable != 0 || e.HighWatermark != 1 {
		t.Fatalf("ends %+v, want an open transaction at 0", e)
	}
	heir := testProducer(t, c, ProducerConfig{TransactionalID: id})
	if e := endsOf(t, c, at(out, 0)); e.LastStable != e.HighWatermark {
		t.Errorf("after Init a transaction of the predecessor is still open: %+v", e)
	}
	if r := zombie.End(ctx, true); r.Outcome != Fenced && r.Outcome != Unknown { // the brokers differ
		t.Errorf("commit of the zombie: %v, want fenced or unknown", r)
	}
	transact(t, heir, true, out, 0, "y")
	if err := zombie.Rebuild(); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, OK, zombie.Init(ctx))
	transact(t, zombie, true, out, 0, "z")
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "y z")
}

func TestZombieThatProducesOnIsFenced(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	id := testName(t)
	zombie := testProducer(t, c, ProducerConfig{TransactionalID: id})
	transact(t, zombie, true, out, 0, "a")
	testProducer(t, c, ProducerConfig{TransactionalID: id})
	produceValues(zombie, out, 0, "x")
	_, r := zombie.Flush(ctx)
	wantOutcome(t, Fenced, r)
	if r := zombie.End(ctx, false); r.Outcome == Aborted || r.Outcome == Retry {
		t.Errorf("abort of the zombie: %v", r)
	}
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "a")
}

func TestRecordTooLargeForItsTopicIsNamed(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out := testTopicOf(t, c, TopicSpec{Partitions: 2, Config: map[string]string{"max.message.bytes": "100000"}})
	for _, limit := range []int32{0, 150_000} { // beyond the topic's limit, beyond the client's
		p := testProducer(t, c, ProducerConfig{TransactionalID: testName(t), MaxBatchBytes: limit})
		produceValues(p, out, 1, "small")
		p.Produce(&Out{Topic: out, Partition: 1, Value: make([]byte, 200_000), Timestamp: 1})
		_, r := p.Flush(ctx)
		wantOutcome(t, Aborted, r)
		var pe *ProduceError
		if !errors.As(r.Err, &pe) || pe.Topic != out || pe.Partition != 1 || pe.Size != 200_000 || !errors.Is(pe, kerr.MessageTooLarge) {
			t.Errorf("error %v", r.Err)
		}
		if !strings.Contains(r.Err.Error(), "max.message.bytes") {
			t.Errorf("the error %q does not say how to mend it", r.Err)
		}
		wantOutcome(t, Aborted, p.End(ctx, true))
		wantOutcome(t, OK, p.End(ctx, false))
		transact(t, p, true, out, 1, "z")
	}
	got, _ := readTo(t, c.Open(at(out, 1), 0), endsOf(t, c, at(out, 1)).HighWatermark)
	wantEqual(t, "read", got, "z z")
}

func TestUnknownTopicAbortsOnlyItsTransaction(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	produceValues(p, out, 0, "x")
	produceValues(p, testName(t), 0, "y")
	_, r := p.Flush(ctx)
	wantOutcome(t, Aborted, r)
	wantOutcome(t, OK, p.End(ctx, false))
	transact(t, p, true, out, 0, "z")
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "z")
}

func TestTransactionThatOutlivesItsTimeoutIsNotCommitted(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{Timeout: 2 * time.Second})
	produceValues(p, out, 0, "x")
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	for e := endsOf(t, c, at(out, 0)); e.LastStable != e.HighWatermark; e = endsOf(t, c, at(out, 0)) {
		if !pause(ctx, 200*time.Millisecond) {
			t.Fatal("the brokers do not time the transaction out")
		}
	}
	r = p.End(ctx, true)
	if r.Outcome != Fenced && r.Outcome != Unknown && r.Outcome != Aborted {
		t.Errorf("commit after the timeout: %v", r)
	}
	if err := p.Rebuild(); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, OK, p.Init(ctx))
	transact(t, p, true, out, 0, "z")
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "z")
}

func TestTransactionWithoutRecordIsRefusedNotSilentlyDone(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	in := testTopic(t, c, 1)
	f := joinGroup(t, c, testName(t), "", in)
	p := testProducer(t, c, ProducerConfig{})
	wantOutcome(t, OK, p.End(ctx, true)) // nothing was begun
	wantOutcome(t, Aborted, p.CommitOffsets(ctx, f, []record.Position{{Topic: in, Offset: 1, LeaderEpoch: -1}}))
}

func TestProducerThatIsNoMoreSaysUnknown(t *testing.T) {
	c := testCluster(t)
	out := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	produceValues(p, out, 0, "x")
	p.Close()
	ctx, cancel := context.WithTimeout(testContext(t), 5*time.Second)
	defer cancel()
	_, r := p.Flush(ctx)
	wantOutcome(t, Unknown, r)
	wantOutcome(t, Unknown, p.End(ctx, true))
	produceValues(p, out, 0, "y")
}

func TestHeadersTombstonesAndTimestampsSurvive(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{Compression: "zstd"})
	hs := []record.Header{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}, {Key: "", Value: []byte{}}}
	o := Out{Topic: out, Key: []byte("k"), Headers: hs, Timestamp: 1_380_000_000_123}
	p.Produce(&o)
	o = Out{Topic: out, Value: []byte{}, Timestamp: 0}
	p.Produce(&o)
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	wantOutcome(t, OK, p.End(ctx, true))
	b, err := c.Open(at(out, 0), 0).Next(ctx)
	if err != nil || len(b.Records) != 2 {
		t.Fatalf("%v, %v", b, err)
	}
	first, second := b.Records[0], b.Records[1]
	if !first.Tombstone() || string(first.Key) != "k" || first.Timestamp != 1_380_000_000_123 || len(first.Headers) != 3 ||
		string(first.Headers[0].Value) != "1" || first.Headers[1].Value != nil || first.Headers[2].Value == nil {
		t.Errorf("first %+v", first)
	}
	if second.Key != nil || second.Value == nil || second.Timestamp != 0 {
		t.Errorf("second %+v", second)
	}
}

func TestInitWaitsForACoordinatorThatIsAway(t *testing.T) {
	fake := fakeCluster(t, kfake.NumBrokers(1))
	c := openCluster(t, fake.ListenAddrs())
	out := testTopic(t, c, 1)
	h := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.UnknownServerError, Count: 3})
	p := testProducer(t, c, ProducerConfig{})
	wantEqual(t, "refusals", h.Hits(), 3)
	transact(t, p, true, out, 0, "a")
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.CoordinatorLoadInProgress, Count: -1})
	if err := p.Rebuild(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
	defer cancel()
	wantOutcome(t, Retry, p.Init(ctx))
}

func TestCoordinatorThatIsBusyIsAskedAgain(t *testing.T) {
	fake := fakeCluster(t, kfake.NumBrokers(1))
	c := openCluster(t, fake.ListenAddrs())
	ctx := testContext(t)
	out, in := testTopic(t, c, 1), testTopic(t, c, 1)
	f := joinGroup(t, c, testName(t), "", in)
	p := testProducer(t, c, ProducerConfig{Timeout: 2 * time.Second})
	pos := []record.Position{{Topic: in, Offset: 1, LeaderEpoch: -1}}
	for _, busy := range []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator} {
		fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: busy, Count: 2})
		produceValues(p, out, 0, "a")
		_, r := p.Flush(ctx)
		wantOutcome(t, OK, r)
		wantOutcome(t, OK, p.CommitOffsets(ctx, f, pos))
		wantOutcome(t, OK, p.End(ctx, true))
	}
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.ConcurrentTransactions, Count: -1})
	produceValues(p, out, 0, "x")
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	wantOutcome(t, Aborted, p.CommitOffsets(ctx, f, pos)) // not for ever
	wantOutcome(t, OK, p.End(ctx, false))
}

func TestCommitWithoutAnAnswerIsUnknown(t *testing.T) {
	fake := fakeCluster(t, kfake.NumBrokers(1))
	c := openCluster(t, fake.ListenAddrs())
	ctx := testContext(t)
	out := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError, Count: 1})
	produceValues(p, out, 0, "a")
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	wantOutcome(t, Unknown, p.End(ctx, true))
	if err := p.Rebuild(); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, OK, p.Init(ctx))
	transact(t, p, true, out, 0, "b")
	got, _ := readTo(t, c.Open(at(out, 0), 0), endsOf(t, c, at(out, 0)).HighWatermark)
	wantEqual(t, "read", got, "b") // Init aborted what had not been committed
}

func TestProducingDoesNotAllocatePerRecord(t *testing.T) {
	a := &acks{}
	s := newSlab(a)
	const n = 2000
	o := Out{Topic: "t", Key: []byte("k"), Value: []byte("v"), Headers: []record.Header{{Key: "h"}}, Track: true}
	round := func() {
		for i := range n {
			o.Partition = int32(i % 3)
			r, promise := s.fill(&o)
			promise(r, nil)
		}
		s.reset()
		a.reset()
	}
	round()
	if allocs := testing.AllocsPerRun(20, round); allocs > 0 {
		t.Errorf("%v allocations for %d records", allocs, n)
	}
}

// The client sends the first records of a topic before its table shows the topic's
// partitions, and takes a transaction without a partition for one in which nothing
// was written: it would abort it and call that a commit.
func TestTransactionDoesNotEndBeforeTheClientKnowsItsPartitions(t *testing.T) {
	c := testCluster(t)
	out, other := testTopic(t, c, 1), testTopic(t, c, 2)
	p := testProducer(t, c, ProducerConfig{})
	transact(t, p, true, other, 0, "a")
	acked := &acks{topics: []record.Partition{at(other, 0), at(out, 0)}, known: map[string]bool{other: true}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := acked.awaitKnown(ctx, p.cl.Load()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("of a topic that the client has not seen: %v", err)
	}
	known := make(chan error, 1)
	go func() { known <- acked.awaitKnown(testContext(t), p.cl.Load()) }()
	transact(t, p, true, out, 0, "b")
	if err := <-known; err != nil {
		t.Fatal(err)
	}
	for _, a := range []*acks{acked, {}, {topics: []record.Partition{at("unseen", 0)}, known: map[string]bool{"unseen": true}}} {
		if err := a.awaitKnown(ctx, p.cl.Load()); err != nil {
			t.Errorf("%v: %v", a.topics, err)
		}
	}
}
