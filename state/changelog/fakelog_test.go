package changelog_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/seed-73111be4/kappa/record"
)

// fakeCluster holds logs in memory, as a record.LogSource. Offsets may have gaps,
// as compaction and transaction markers leave them.
type fakeCluster struct {
	mu    sync.Mutex
	logs  map[record.Partition]*fakeLog
	batch int // records per Next; default 7

	// onNext is called before each Next with the position, for tests that change
	// the log under a reader.
	onNext func(p record.Partition, at int64)
}

type fakeLog struct {
	ends     record.Ends
	records  []record.Record
	epochEnd map[int32]int64
	reads    int // Opens
}

func newCluster() *fakeCluster {
	return &fakeCluster{logs: map[record.Partition]*fakeLog{}, batch: 7}
}

func (c *fakeCluster) create(topic string, partition int32, id byte) *fakeLog {
	l := &fakeLog{ends: record.Ends{TopicID: record.TopicID{id}, LeaderEpoch: 3}}
	c.logs[record.Partition{Topic: topic, Partition: partition}] = l
	return l
}

// put appends a record; a nil value is a tombstone.
func (l *fakeLog) put(key, value []byte) {
	l.records = append(l.records, record.Record{Offset: l.ends.HighWatermark, Key: key, Value: value, LeaderEpoch: l.ends.LeaderEpoch})
	l.ends.HighWatermark++
}

// marker appends what a reader never sees: the end of a transaction.
func (l *fakeLog) marker() { l.ends.HighWatermark++ }

// truncateBefore deletes what is before an offset.
func (l *fakeLog) truncateBefore(offset int64) {
	l.ends.Start = offset
	for len(l.records) > 0 && l.records[0].Offset < offset {
		l.records = l.records[1:]
	}
}

func (c *fakeCluster) Ends(_ context.Context, p record.Partition) (record.Ends, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.logs[p]
	if l == nil {
		return record.Ends{}, fmt.Errorf("%s: %w", p, record.ErrUnknownTopic)
	}
	return l.ends, nil
}

func (c *fakeCluster) EpochEnd(_ context.Context, p record.Partition, epoch int32) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.logs[p]
	if end, ok := l.epochEnd[epoch]; ok {
		return end, nil
	}
	return l.ends.HighWatermark, nil
}

func (c *fakeCluster) Open(p record.Partition, from int64) record.LogReader {
	c.logs[p].reads++
	return &fakeReader{c, p, from}
}

type fakeReader struct {
	c  *fakeCluster
	p  record.Partition
	at int64
}

func (r *fakeReader) Next(ctx context.Context) (record.Batch, error) {
	if err := ctx.Err(); err != nil {
		return record.Batch{}, err
	}
	if r.c.onNext != nil {
		r.c.onNext(r.p, r.at)
	}
	if err := ctx.Err(); err != nil {
		return record.Batch{}, err
	}
	l := r.c.logs[r.p]
	if r.at < l.ends.Start || r.at > l.ends.HighWatermark {
		return record.Batch{}, fmt.Errorf("fetch %s at %d: %w", r.p, r.at, record.ErrOffsetOutOfRange)
	}
	b := record.Batch{Next: l.ends.HighWatermark, LeaderEpoch: -1}
	for _, rec := range l.records {
		if rec.Offset < r.at {
			continue
		}
		if len(b.Records) == r.c.batch {
			b.Next = rec.Offset
			break
		}
		b.Records = append(b.Records, rec)
		b.LeaderEpoch = rec.LeaderEpoch
	}
	if b.Next == r.at {
		<-ctx.Done()
		return record.Batch{}, ctx.Err()
	}
	r.at = b.Next
	return b, nil
}

func (r *fakeReader) Close() {}
