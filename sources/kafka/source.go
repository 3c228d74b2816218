// Package kafka is the source that reads from the brokers.
package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
)

// Source reads partitions from a cluster: committed records only.
type Source struct {
	cluster *kafka.Cluster
	fetcher *kafka.Fetcher
	out     []sources.Fetched // the poller's
}

var _ sources.Source = (*Source)(nil)

// Open returns a source of no partitions.
func Open(c *kafka.Cluster, fc kafka.FetchConfig) (*Source, error) {
	f, err := c.NewFetcher(fc)
	if err != nil {
		return nil, fmt.Errorf("kafka source: %w", err)
	}
	return &Source{cluster: c, fetcher: f}, nil
}

// Seek starts partitions at exact offsets.
func (s *Source) Seek(seeks ...sources.Seek) {
	out := make([]kafka.Seek, len(seeks))
	for i, k := range seeks {
		out[i] = kafka.Seek(k)
	}
	s.fetcher.Seek(out...)
}

// Stop ends the fetching of partitions.
func (s *Source) Stop(parts ...record.Partition) { s.fetcher.Stop(parts...) }

// Pause holds partitions back.
func (s *Source) Pause(parts ...record.Partition) { s.fetcher.Pause(parts...) }

// Resume lets paused partitions go on.
func (s *Source) Resume(parts ...record.Partition) { s.fetcher.Resume(parts...) }

// Poll returns what was fetched. The slice is valid until the next Poll.
func (s *Source) Poll(ctx context.Context) ([]sources.Fetched, error) {
	fetched, err := s.fetcher.Poll(ctx)
	if errors.Is(err, kafka.ErrFetcherClosed) {
		return nil, sources.ErrClosed
	}
	if err != nil {
		return nil, err
	}
	s.out = s.out[:0]
	for i := range fetched {
		f := &fetched[i]
		s.out = append(s.out, sources.Fetched{
			Partition: f.Partition, Epoch: f.Epoch, Records: f.Records, Next: f.Next, HighWatermark: f.HighWatermark, Err: f.Err,
		}.WithLease(f))
	}
	return s.out, nil
}

// Ends asks the brokers.
func (s *Source) Ends(ctx context.Context, parts ...record.Partition) (map[record.Partition]record.Ends, error) {
	return s.cluster.EndsOf(ctx, parts...)
}

// OffsetsAt asks the brokers, and looks at what they name: for them, the marker that
// ends a transaction is a record with a time of its own. Times before 1970 have other
// meanings to them.
func (s *Source) OffsetsAt(ctx context.Context, t int64, parts ...record.Partition) (map[record.Partition]int64, error) {
	ends, err := s.Ends(ctx, parts...)
	if err != nil {
		return nil, err
	}
	named := map[string]map[int32]int64{}
	out := make(map[record.Partition]int64, len(parts))
	for _, p := range parts {
		if named[p.Topic] == nil {
			if named[p.Topic], err = s.cluster.OffsetsAfter(ctx, p.Topic, max(t, 0)); err != nil {
				return nil, err
			}
		}
		if out[p], err = s.firstFrom(ctx, p, named[p.Topic][p.Partition], ends[p].HighWatermark, t); err != nil {
			return nil, fmt.Errorf("%s: find the first record of time %d: %w", p, t, err)
		}
	}
	return out, nil
}

// firstFrom returns the offset of the first record of [from, until) that is not older
// than t, until where there is none.
func (s *Source) firstFrom(ctx context.Context, p record.Partition, from, until, t int64) (int64, error) {
	r := s.cluster.Open(p, from)
	defer r.Close()
	for from < until {
		b, err := r.Next(ctx)
		if err != nil {
			return 0, err
		}
		for i := range b.Records {
			if b.Records[i].Timestamp >= t {
				return min(b.Records[i].Offset, until), nil
			}
		}
		from = b.Next
	}
	return until, nil
}

// Close ends the source.
func (s *Source) Close() { s.fetcher.Close() }
