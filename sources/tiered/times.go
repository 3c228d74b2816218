package tiered

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
)

// OffsetsAt looks into the archive, and into Kafka for what is not there.
func (s *Source) OffsetsAt(ctx context.Context, t int64, parts ...record.Partition) (map[record.Partition]int64, error) {
	ends, err := s.endsOf(ctx, parts)
	if err != nil {
		return nil, err
	}
	out := make(map[record.Partition]int64, len(parts))
	var rest []record.Partition
	for _, p := range parts {
		at, found, err := s.inArchive(ctx, p, ends[p], t)
		if err != nil {
			return nil, fmt.Errorf("%s: find the first record of time %d in the archive: %w", p, t, away(err))
		}
		_, over := s.c.Past[p.Topic]
		switch {
		case found:
			out[p] = at
		case over:
			out[p] = ends[p].HighWatermark
		default:
			rest = append(rest, p)
		}
	}
	if len(rest) == 0 {
		return out, nil
	}
	live, err := s.c.Live.OffsetsAt(ctx, t, rest...)
	for p, at := range live {
		out[p] = at
	}
	return out, err
}

// away makes an error that may be gone at the next attempt a sources.ErrAway.
func away(err error) error {
	if passing(err) {
		return fmt.Errorf("%w: %w", sources.ErrAway, err)
	}
	return err
}

// inArchive looks for the first record that is not older than t, where the archive
// goes back as far as Kafka or further.
func (s *Source) inArchive(ctx context.Context, p record.Partition, ends record.Ends, t int64) (int64, bool, error) {
	m, err := s.manifest(ctx, p, ends.TopicID)
	if err != nil || m == nil || m.Start() > ends.Start {
		return 0, false, err
	}
	from, err := s.c.Archive.OffsetAfter(ctx, m, t)
	if err != nil || from >= m.Next {
		return 0, false, err
	}
	r, err := s.c.Archive.Read(m, archive.ReadConfig{From: from, ChunkBytes: 1 << 20, Ahead: 1, Budget: s.c.Budget})
	if err != nil {
		return 0, false, err
	}
	defer r.Close()
	for {
		chunk, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, err
		}
		at, found, err := s.firstIn(p, chunk, t)
		if found || err != nil {
			return at, found, err
		}
	}
}

// firstIn returns the offset of a chunk's first record that is not older than t. The
// chunk's memory is given back.
func (s *Source) firstIn(p record.Partition, c *archive.Chunk, t int64) (int64, bool, error) {
	all := share(c)
	defer all.release()
	f, err := s.decode(p, all, whole(c))
	if err != nil {
		return 0, false, err
	}
	defer f.Release()
	for i := range f.Records {
		if f.Records[i].Timestamp >= t {
			return f.Records[i].Offset, true, nil
		}
	}
	return 0, false, nil
}
