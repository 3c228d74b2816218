package archive

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// decode is what a read_committed consumer makes of a fetch that begins at offset.
func decode(t testing.TB, raw []byte, aborted []AbortedTxn, offset int64) ([]string, int64) {
	t.Helper()
	p := kmsg.NewFetchResponseTopicPartition()
	p.HighWatermark, p.LastStableOffset, p.RecordBatches = 1<<40, 1<<40, slices.Clone(raw)
	for _, a := range aborted {
		p.AbortedTransactions = append(p.AbortedTransactions, kmsg.FetchResponseTopicPartitionAbortedTransaction{
			ProducerID: a.ProducerID, FirstOffset: a.First,
		})
	}
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: "t",
	}, &p, kgo.DefaultDecompressor(), nil)
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	var records []string
	for _, r := range got.Records {
		records = append(records, fmt.Sprintf("%d %s %d %d", r.Offset, r.Key, r.LeaderEpoch, r.Timestamp.UnixMilli()))
	}
	return records, next
}

// decodeAll reads the archive chunk by chunk and decodes each by itself.
func decodeAll(t testing.TB, a *Archive, m *Manifest, c ReadConfig) []string {
	t.Helper()
	r, err := a.Read(m, c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var records []string
	for next := c.From; next < m.Next; {
		chunk, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		some, _ := decode(t, chunk.Raw, chunk.Aborted, max(next, chunk.From))
		records = append(records, some...)
		next = chunk.Next.Offset
		chunk.Release()
	}
	return records
}

// diff returns the first place where two lists differ.
func diff(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("record %d is missing: %s", i, want[i])
		case i >= len(want):
			return fmt.Sprintf("record %d is too much: %s", i, got[i])
		case got[i] != want[i]:
			return fmt.Sprintf("record %d is %s, want %s", i, got[i], want[i])
		}
	}
	return ""
}

func TestAbortedTransactionsAreFilteredAsLiveFetchesFilterThem(t *testing.T) {
	for seed := range uint64(20) {
		kafka := randomBroker(100+seed, 150)
		want, _ := decode(t, kafka.raw(0, kafka.next), kafka.aborted, 0)
		all, _ := decode(t, kafka.raw(0, kafka.next), nil, 0)
		if len(want) == len(all) {
			t.Fatal("nothing is aborted in this log")
		}
		a := inMemory(t)
		w := writer(t, a)
		m := archiveAll(t, w, kafka, 700+int64(seed)*300)
		for _, chunk := range []int{1, 1500, 1 << 20} {
			if d := diff(decodeAll(t, a, m, ReadConfig{ChunkBytes: chunk}), want); d != "" {
				t.Fatalf("seed %d, chunks of %d: %s", seed, chunk, d)
			}
		}
		for _, from := range []int64{1, m.Next / 3, m.Next / 2, m.Next - 1} {
			live := kafka.fetch(from, 1<<30)
			want, _ := decode(t, live.Raw, live.Aborted, from)
			if d := diff(decodeAll(t, a, m, ReadConfig{From: from, ChunkBytes: 900}), want); d != "" {
				t.Fatalf("seed %d from %d: %s", seed, from, d)
			}
		}
	}
}

func TestMergedSegmentsHaveTheSameRecords(t *testing.T) {
	for seed := range uint64(10) {
		kafka := randomBroker(200+seed, 150)
		want, _ := decode(t, kafka.raw(0, kafka.next), kafka.aborted, 0)
		a := inMemory(t)
		w := writer(t, a)
		m := archiveAll(t, w, kafka, 600)
		policy := MergePolicy{TargetBytes: 6_000, Fan: 3}
		for runs := policy.Plan(m); len(runs) > 0; runs = policy.Plan(m) {
			sealed, err := w.Merge(t.Context(), runs[0], SegmentConfig{BlockBytes: 1000})
			if err != nil {
				t.Fatal(err)
			}
			if m, err = w.Commit(t.Context(), Replace(runs[0], sealed)); err != nil {
				t.Fatal(err)
			}
			if d := diff(decodeAll(t, a, m, ReadConfig{ChunkBytes: 1500}), want); d != "" {
				t.Fatalf("seed %d, %d segments left: %s", seed, len(m.Segments), d)
			}
		}
		if len(m.Dropped) < 10 || len(m.Segments) > len(m.Dropped)/2 {
			t.Errorf("%d segments left, %d merged", len(m.Segments), len(m.Dropped))
		}
		v, err := a.Verify(t.Context(), m, VerifyConfig{Deep: true})
		if err != nil || len(v.Damage) > 0 || len(v.Orphans) > 0 {
			t.Errorf("verification: %+v, %v", v, err)
		}
	}
}

func TestATransactionThatTheBrokerForgotToNameIsFoundByItsMarker(t *testing.T) {
	kafka := goldenLog()
	want, _ := decode(t, kafka.raw(0, kafka.next), kafka.aborted, 0)
	kafka.aborted = nil
	a := inMemory(t)
	m := archiveAll(t, writer(t, a), kafka, 1<<20)
	if d := diff(decodeAll(t, a, m, ReadConfig{}), want); d != "" {
		t.Error(d)
	}
}
