package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

// The timestamps that stand for ends in a ListOffsets request.
const (
	atEnd   = -1
	atStart = -2
)

// Ends returns the limits of one partition's log. The high watermark is asked
// for last, so whatever was committed before the call lies below it.
func (c *Cluster) Ends(ctx context.Context, p record.Partition) (record.Ends, error) {
	ends, err := c.EndsOf(ctx, p)
	return ends[p], err
}

// endsPatience bounds how long EndsOf waits for leaders that are on the move, or gone
// without the others knowing it yet.
const endsPatience = 30 * time.Second

// EndsOf returns the limits of several partitions' logs, as Ends. It waits a
// while for partitions that are just being created or whose leader moves.
func (c *Cluster) EndsOf(ctx context.Context, parts ...record.Partition) (map[record.Partition]record.Ends, error) {
	ctx, cancel := context.WithTimeout(ctx, endsPatience)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		ends, err := c.endsOf(ctx, parts)
		if err == nil || !Transient(err) || !pause(ctx, wait) {
			return ends, err
		}
	}
}

func (c *Cluster) endsOf(ctx context.Context, parts []record.Partition) (map[record.Partition]record.Ends, error) {
	ends := make(map[record.Partition]record.Ends, len(parts))
	if len(parts) == 0 {
		return ends, nil
	}
	if err := c.leadersOf(ctx, parts, ends); err != nil {
		return nil, err
	}
	for _, q := range []struct {
		at        int64
		isolation int8
		set       func(*record.Ends, int64)
	}{
		{atStart, 0, func(e *record.Ends, n int64) { e.Start = n }},
		{atEnd, 1, func(e *record.Ends, n int64) { e.LastStable = n }},
		{atEnd, 0, func(e *record.Ends, n int64) { e.HighWatermark = n }},
	} {
		err := c.listOffsets(ctx, parts, q.at, q.isolation, func(p record.Partition, offset, _ int64) {
			e := ends[p]
			q.set(&e, offset)
			ends[p] = e
		})
		if err != nil {
			return nil, err
		}
	}
	return ends, nil
}

// leadersOf fills in topic ids and leader epochs; an unknown partition is an error.
func (c *Cluster) leadersOf(ctx context.Context, parts []record.Partition, ends map[record.Partition]record.Ends) error {
	var names []string
	want := make(map[string]bool)
	for _, p := range parts {
		if !want[p.Topic] {
			want[p.Topic] = true
			names = append(names, p.Topic)
		}
	}
	m, err := c.metadata(ctx, false, names...)
	if err != nil {
		return fmt.Errorf("find the leaders of %v: %w", names, err)
	}
	found := make(map[record.Partition]record.Ends)
	for _, t := range m.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return topicError(topicName(t), err)
		}
		for _, p := range t.Partitions {
			found[record.Partition{Topic: topicName(t), Partition: p.Partition}] = record.Ends{TopicID: t.TopicID, LeaderEpoch: p.LeaderEpoch}
		}
	}
	for _, p := range parts {
		e, ok := found[p]
		if !ok {
			return fmt.Errorf("%s: %w", p, record.ErrUnknownTopic)
		}
		ends[p] = e
	}
	return nil
}

// topicError gives a broker's error the project's sentinel and a hint.
func topicError(topic string, err error) error {
	switch {
	case missing(err):
		return fmt.Errorf("topic %s: %w", topic, record.ErrUnknownTopic)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("topic %s: %w (grant Describe and Read on it)", topic, err)
	}
	return fmt.Errorf("topic %s: %w", topic, err)
}

// listOffsets asks for one offset of each partition. Errors that a retry may mend
// are retried by the client.
func (c *Cluster) listOffsets(ctx context.Context, parts []record.Partition, at int64, isolation int8, each func(p record.Partition, offset, timestamp int64)) error {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	req.IsolationLevel = isolation
	index := make(map[string]int)
	for _, p := range parts {
		i, ok := index[p.Topic]
		if !ok {
			i = len(req.Topics)
			index[p.Topic] = i
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		}
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p.Partition, at
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
	}
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	n := 0
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			at := record.Partition{Topic: t.Topic, Partition: p.Partition}
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("list offsets of %s: %w", at, partitionError(err))
			}
			n++
			each(at, p.Offset, p.Timestamp)
		}
	}
	if n != len(parts) {
		return fmt.Errorf("list offsets: the brokers answered for %d of %d partitions", n, len(parts))
	}
	return nil
}

// partitionError wraps the project's sentinel around a broker's error, where
// there is one.
func partitionError(err error) error {
	switch {
	case missing(err):
		return fmt.Errorf("%w: %w", record.ErrUnknownTopic, err)
	case errors.Is(err, kerr.OffsetOutOfRange):
		return fmt.Errorf("%w: %w", record.ErrOffsetOutOfRange, err)
	}
	return err
}

// OffsetsAfter returns, for each partition of a topic, the first offset whose
// record's timestamp is at least ms (milliseconds since the epoch), or the end
// of the log where there is none.
func (c *Cluster) OffsetsAfter(ctx context.Context, topic string, ms int64) (map[int32]int64, error) {
	listed, err := c.adm.ListOffsetsAfterMilli(ctx, ms, topic)
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	out := make(map[int32]int64)
	for p, o := range listed[topic] {
		if o.Err != nil {
			return nil, topicError(topic, o.Err)
		}
		out[p] = o.Offset
	}
	return out, nil
}

// DeleteRecords deletes what lies before the given offsets. Offsets beyond a high
// watermark are an error of the broker.
func (c *Cluster) DeleteRecords(ctx context.Context, before map[record.Partition]int64) error {
	var os kadm.Offsets
	for p, at := range before {
		os.AddOffset(p.Topic, p.Partition, at, -1)
	}
	if len(os) == 0 {
		return nil
	}
	rs, err := c.adm.DeleteRecords(ctx, os)
	if err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	var errs []error
	for _, r := range rs.Sorted() {
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("delete records of %s/%d: %w", r.Topic, r.Partition, partitionError(r.Err)))
		}
	}
	return errors.Join(errs...)
}
