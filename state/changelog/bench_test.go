package changelog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// staticLog is a log whose batches are ready in memory: it costs the reader next
// to nothing, so the benchmark measures the restore.
type staticLog struct {
	ends    map[string]record.Ends
	batches map[string][]record.Batch
}

func (l *staticLog) Ends(_ context.Context, p record.Partition) (record.Ends, error) {
	return l.ends[p.Topic], nil
}

func (l *staticLog) Open(p record.Partition, from int64) record.LogReader {
	return &staticReader{l.batches[p.Topic]}
}

type staticReader struct{ rest []record.Batch }

func (r *staticReader) Next(context.Context) (record.Batch, error) {
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b, nil
}

func (r *staticReader) Close() {}

func staticTable(records, keys, value int) *staticLog {
	rnd := rand.New(rand.NewPCG(1, 2))
	all := make([][]byte, keys)
	for i := range all {
		all[i] = fmt.Appendf(nil, "user-%07d", i)
	}
	v := make([]byte, value)
	l := &staticLog{
		ends:    map[string]record.Ends{tableTopic: {HighWatermark: int64(records)}},
		batches: map[string][]record.Batch{},
	}
	var b record.Batch
	for i := range records {
		b.Records = append(b.Records, record.Record{Offset: int64(i), Key: all[rnd.IntN(keys)], Value: v})
		if len(b.Records) == 1000 || i == records-1 {
			b.Next = int64(i) + 1
			l.batches[tableTopic] = append(l.batches[tableTopic], b)
			b = record.Batch{}
		}
	}
	return l
}

// BenchmarkRestore restores a table's log into memory, flushing where it does not
// fit. The driver is memory and costs more than the table; what is flushed is lost
// by intent (nullDB).
func BenchmarkRestore(b *testing.B) {
	for _, c := range []struct{ keys, value int }{{10_000, 8}, {1_000_000, 8}, {1_000_000, 100}} {
		b.Run(fmt.Sprintf("keys=%d value=%d", c.keys, c.value), func(b *testing.B) {
			const records = 2_000_000
			logs := staticTable(records, c.keys, c.value)
			b.ReportAllocs()
			for b.Loop() {
				s, err := changelog.Restore(b.Context(), changelog.Config{
					Store: "g/0", DB: openDB(b), Cluster: "c", TableTopic: tableTopic, StateTopic: stateTopic,
					Logs: logs, Clock: time.Now,
				})
				must(b, err)
				must(b, s.Close(false))
			}
			b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func openDB(b *testing.B) state.DB { return nullDB{state.NewMemory()} }

// nullDB gives out stores that forget what is written to them.
type nullDB struct{ state.DB }

type nullStore struct{ state.Store }

func (d nullDB) Open(name string) (state.Store, error) {
	s, err := d.DB.Open(name)
	return nullStore{s}, err
}

func (nullStore) Apply(*state.Batch) error { return nil }
