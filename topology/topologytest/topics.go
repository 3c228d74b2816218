package topologytest

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed-73111be4/kappa/record"
)

// cluster is the id that positions carry.
const cluster = "topologytest"

// topics are the logs of an App: what is committed, and nothing else. Offsets are
// indexes.
type topics struct {
	partitions int32
	logs       map[string][]*partition
	appended   int64
}

type partition struct {
	records []record.Record
	order   []int64 // of each record among those of all topics
}

func newTopics(partitions int32) *topics {
	return &topics{partitions: partitions, logs: map[string][]*partition{}}
}

// of returns a topic's partitions, creating them where it is new.
func (t *topics) of(topic string) []*partition {
	ps := t.logs[topic]
	if ps == nil {
		for range t.partitions {
			ps = append(ps, &partition{})
		}
		t.logs[topic] = ps
	}
	return ps
}

// append adds a copy of r to its partition and gives it its offset.
func (t *topics) append(r *record.Record) {
	p := t.of(r.Topic)[r.Partition]
	c := r.Clone()
	c.Offset, c.LeaderEpoch = int64(len(p.records)), 0
	p.records = append(p.records, c)
	p.order = append(p.order, t.appended)
	t.appended++
}

// next returns the record at an offset and its place among those of all topics.
func (t *topics) next(topic string, partition int32, offset int64) (r *record.Record, order int64, ok bool) {
	p := t.of(topic)[partition]
	if offset >= int64(len(p.records)) {
		return nil, 0, false
	}
	return &p.records[offset], p.order[offset], true
}

// end returns the position behind the last record.
func (t *topics) end(topic string, partition int32) record.Position {
	return record.Position{
		Cluster: cluster, Topic: topic, Partition: partition,
		Offset: int64(len(t.of(topic)[partition].records)),
	}
}

// Ends implements record.LogSource.
func (t *topics) Ends(_ context.Context, p record.Partition) (record.Ends, error) {
	if p.Partition < 0 || p.Partition >= t.partitions {
		return record.Ends{}, fmt.Errorf("%s: %w", p, record.ErrUnknownTopic)
	}
	end := t.end(p.Topic, p.Partition).Offset
	return record.Ends{LastStable: end, HighWatermark: end}, nil
}

// Open implements record.LogSource.
func (t *topics) Open(p record.Partition, from int64) record.LogReader {
	return &reader{t.of(p.Topic)[p.Partition], from}
}

type reader struct {
	p    *partition
	next int64
}

// Next returns all that follows.
func (r *reader) Next(ctx context.Context) (record.Batch, error) {
	n := int64(len(r.p.records))
	if r.next >= n {
		<-ctx.Done()
		return record.Batch{}, ctx.Err()
	}
	b := record.Batch{Records: slices.Clone(r.p.records[r.next:]), Next: n}
	for i := range b.Records {
		b.Records[i] = b.Records[i].Clone()
	}
	r.next = n
	return b, nil
}

func (r *reader) Close() {}
