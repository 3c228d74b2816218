package kafka

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lend fills a whole chunk and returns how to answer each record.
func lend(s *slab) []func(error) {
	var answers []func(error)
	for range slabChunk {
		r, promise := s.fill(&Out{Topic: "t", Key: []byte("k")})
		answers = append(answers, func(err error) { promise(r, err) })
	}
	return answers
}

func TestAChunkIsLentAgainOnlyOnceAllOfItIsAcknowledged(t *testing.T) {
	s := newSlab(&acks{})
	first, _ := lend(&s), lend(&s)
	one := s.lent[0]
	for _, answer := range first[1:] {
		answer(nil)
	}
	lend(&s)
	if s.chunk == one {
		t.Fatal("a record that is in flight was lent again")
	}
	first[0](nil)
	r, _ := s.fill(&Out{Topic: "t", Value: []byte("v")})
	if s.chunk != one || r != &one.records[0] {
		t.Error("the chunk that is back was not used")
	}
	if r.Key != nil || string(r.Value) != "v" || r.Offset != 0 {
		t.Errorf("something is left of the last use: %+v", r)
	}
}

func TestAFailedRecordIsNotLentAgainBeforeTheReset(t *testing.T) {
	s := newSlab(&acks{})
	answers := lend(&s)
	one := s.chunk
	answers[0](errors.New("refused"))
	for _, answer := range answers[1:] {
		answer(nil)
	}
	lend(&s)
	if s.chunk == one {
		t.Fatal("lent again")
	}
	s.reset()
	if one.records[3].Key != nil {
		t.Error("the reset keeps memory alive")
	}
	s.fill(&Out{})
	if s.chunk != one {
		t.Error("not used after the reset")
	}
}

func TestAnIdleSlabKeepsLittle(t *testing.T) {
	s := newSlab(&acks{})
	for range 2 * slabKeep {
		lend(&s)
	}
	s.reset()
	if len(s.lent) > slabKeep {
		t.Errorf("%d chunks kept, want %d", len(s.lent), slabKeep)
	}
}

// What a chunk's records say must reach the brokers before they say something else.
func TestATransactionOfManyChunksIsWrittenAsItWas(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	topic := testTopic(t, c, 3)
	p := testProducer(t, c, ProducerConfig{MaxBatchBytes: 10_000, MaxBufferedBytes: 30_000})
	const n = 40 * slabChunk
	for i := range n {
		p.Produce(&Out{Topic: topic, Partition: int32(i % 3), Key: fmt.Append(nil, i), Value: fmt.Append(nil, i), Timestamp: 1})
	}
	if got := len(p.slab.lent); got > n/slabChunk/2 {
		t.Errorf("%d chunks are in use for %d that were lent: none came back", got, n/slabChunk)
	}
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	wantOutcome(t, OK, p.End(ctx, true))
	f := testFetcher(t, c)
	for q := range int32(3) {
		f.Seek(Seek{Partition: at(topic, q), Epoch: 1})
	}
	next := []int{0, 1, 2}
	for got := 0; got < n; {
		fs, err := f.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range fs {
			q := fs[i].Partition.Partition
			for _, rec := range fs[i].Records {
				if want := fmt.Sprint(next[q]); string(rec.Key) != want || string(rec.Value) != want {
					t.Fatalf("partition %d: %q=%q, want %s", q, rec.Key, rec.Value, want)
				}
				next[q] += 3
				got++
			}
			fs[i].Release()
		}
	}
}

func TestEndsAreFoundInAnyOrder(t *testing.T) {
	a := &acks{}
	const partitions, records = 1000, 5000
	want := map[int32]int64{}
	for i := range int64(records) {
		p := int32(i * 7919 % partitions)
		want[p] = i + 1
		a.doneTracked(&kgo.Record{Topic: "t", Partition: p, Offset: i}, nil)
		if i == records/2 { // a flush in the middle sorts them
			a.positions("c")
		}
	}
	ends := a.positions("c")
	if len(ends) != partitions {
		t.Fatalf("%d ends", len(ends))
	}
	for i, e := range ends {
		if e.Partition != int32(i) || e.Offset != want[e.Partition] || e.Cluster != "c" {
			t.Fatalf("end %d is %+v, want offset %d", i, e, want[e.Partition])
		}
	}
	if a.reset(); len(a.positions("c")) != 0 {
		t.Error("ends of a transaction that is over")
	}
	a.doneTracked(&kgo.Record{Topic: "t", Partition: 3, Offset: 9}, nil)
	if e := a.positions("c"); len(e) != 1 || e[0].Partition != 3 || e[0].Offset != 10 {
		t.Errorf("%+v", e)
	}
}
