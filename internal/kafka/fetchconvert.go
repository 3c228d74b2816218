package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// convert turns the client's records into ours, in memory that Release gives
// back, and gives the client's memory back at once.
func (f *Fetcher) convert(ctx context.Context, fetches kgo.Fetches) []Fetched {
	var out []Fetched
	for i := range fetches {
		for j := range fetches[i].Topics {
			t := &fetches[i].Topics[j]
			for k := range t.Partitions {
				out = f.one(ctx, out, t, &t.Partitions[k])
			}
		}
	}
	return out
}

func (f *Fetcher) one(ctx context.Context, out []Fetched, t *kgo.FetchTopic, fp *kgo.FetchPartition) []Fetched {
	if fp.Partition < 0 {
		return f.whole(ctx, out, t.Topic, fp.Err)
	}
	p := record.Partition{Topic: t.Topic, Partition: fp.Partition}
	st := f.parts[p]
	if st == nil {
		recycle(fp.Records)
		return out
	}
	if got := record.TopicID(t.TopicID); st.id.Known() && got.Known() && got != st.id {
		recycle(fp.Records)
		return f.fail(out, p, st, record.ErrRecreated)
	}
	if len(fp.Records) > 0 {
		out = append(out, f.take(p, st, fp))
	}
	if fp.Err != nil {
		if err := f.explain(ctx, p, st, fp.Err); err != nil {
			out = f.fail(out, p, st, err)
		}
	}
	return out
}

// whole meets an error that is about all partitions of a topic. One without a
// topic is the end of the poll, or nothing that concerns a partition.
func (f *Fetcher) whole(ctx context.Context, out []Fetched, topic string, err error) []Fetched {
	if topic == "" {
		if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, kgo.ErrClientClosed) {
			f.c.log.Warn("kafka: fetch", "error", err)
		}
		return out
	}
	for p, st := range f.parts {
		if p.Topic != topic {
			continue
		}
		if err := f.explain(ctx, p, st, err); err != nil {
			out = f.fail(out, p, st, err)
		}
	}
	return out
}

// take converts one partition's records.
func (f *Fetcher) take(p record.Partition, st *fetching, fp *kgo.FetchPartition) Fetched {
	slab := f.pool.records(len(fp.Records))
	for _, r := range fp.Records {
		if r.Offset < st.next {
			continue // never twice
		}
		st.next = r.Offset + 1
		if !r.Attrs.IsControl() {
			slab.add(r)
		}
	}
	recycle(fp.Records)
	return Fetched{Partition: p, Epoch: st.epoch, Records: slab.recs, Next: st.next, HighWatermark: fp.HighWatermark, slab: slab}
}

func recycle(rs []*kgo.Record) {
	for _, r := range rs {
		r.Recycle()
	}
}

// fail stops a partition. What a pause has held back of it comes before the error.
func (f *Fetcher) fail(out []Fetched, p record.Partition, st *fetching, err error) []Fetched {
	kept := f.held[:0]
	for i := range f.held {
		if f.held[i].Partition == p {
			out = append(out, f.held[i])
		} else {
			kept = append(kept, f.held[i])
		}
	}
	f.held = kept
	f.stop([]command{{stopCommand, Seek{Partition: p}}})
	return append(out, Fetched{Partition: p, Epoch: st.epoch, Next: st.next, HighWatermark: -1, Err: f.failed(p, st.next, err)})
}

func (f *Fetcher) failed(p record.Partition, at int64, err error) error {
	return fmt.Errorf("fetch %s at offset %d: %w", p, at, err)
}

// explain says what an error of the client means for a partition; nil for one
// that the client will get over by itself.
func (f *Fetcher) explain(ctx context.Context, p record.Partition, st *fetching, err error) error {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange), errors.As(err, &loss):
		if f.recreated(ctx, p, st) {
			return record.ErrRecreated
		}
		return fmt.Errorf("%w: %w", record.ErrOffsetOutOfRange, err)
	case missing(err), errors.Is(err, kerr.InconsistentTopicID):
		if f.recreated(ctx, p, st) {
			return record.ErrRecreated
		}
		return fmt.Errorf("%w: %w", record.ErrUnknownTopic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("%w (grant Read on the topic)", err)
	case mendable(err):
		return f.undecodable(err)
	}
	return err
}

// undecodable tells a log that cannot be read from an error that passes by.
func (f *Fetcher) undecodable(err error) error {
	var k *kerr.Error
	if errors.As(err, &k) || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("%w: %w", errDecode, err)
}

// recreated reports whether the topic exists under another id than expected.
func (f *Fetcher) recreated(ctx context.Context, p record.Partition, st *fetching) bool {
	return f.verify(ctx, []command{{seekCommand, Seek{Partition: p, TopicID: st.id}}})[p] != nil
}
