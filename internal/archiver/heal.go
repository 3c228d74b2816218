package archiver

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// Mender mends archives from Kafka. It works beside archivers: where one of them is
// first it begins again.
type Mender struct {
	Cluster *kafka.Cluster
	Archive *archive.Archive
}

// Healed is one thing that was mended, or could not be.
type Healed struct {
	Log        archive.Log
	Start, End int64
	What       string // what was wrong
	Err        error  // why it could not be mended; nil: it was
}

// mendTries is how often mending begins again because the manifest has moved on.
const mendTries = 5

// Heal looks for damage in the archive of a log, deeply, and rebuilds what it finds:
// manifests from older ones and the segments' footers, segments from Kafka, as long as
// that has their range. What cannot be mended is left as it is, and said so.
func (d Mender) Heal(ctx context.Context, l archive.Log) ([]Healed, error) {
	m, err := d.Archive.Latest(ctx, l)
	var healed []Healed
	if errors.Is(err, archive.ErrCorrupt) {
		broken := Healed{Log: l, Start: -1, End: -1, What: err.Error()}
		if m, err = d.Archive.Recover(ctx, l); err != nil {
			broken.Err = err
			return []Healed{broken}, nil
		}
		healed = append(healed, broken)
	}
	if err != nil {
		return nil, err
	}
	v, err := d.Archive.Verify(ctx, m, archive.VerifyConfig{Deep: true})
	if err != nil {
		return healed, err
	}
	for _, damage := range v.Damage {
		h := Healed{Log: l, Start: -1, End: -1, What: damage.Error()}
		var c *archive.CorruptError
		if errors.As(damage, &c) && c.Start >= 0 {
			h.Start, h.End = c.Start, c.End
			h.Err = d.again(ctx, l, func(w *archive.Writer, m *archive.Manifest) error { return d.rebuild(ctx, w, m, c.Start) })
		} else {
			h.Err = errors.New("an older manifest, which nobody reads, is damaged: gc removes it in time")
		}
		if ctx.Err() != nil {
			return healed, context.Cause(ctx)
		}
		healed = append(healed, h)
	}
	return healed, nil
}

// again does what may meet a manifest that moves on.
func (d Mender) again(ctx context.Context, l archive.Log, do func(*archive.Writer, *archive.Manifest) error) error {
	w, err := d.Archive.Writer(ctx, l)
	if err != nil {
		return err
	}
	for range mendTries {
		m, err := w.Manifest(ctx)
		if err != nil {
			return err
		}
		err = do(w, m)
		if !errors.Is(err, archive.ErrFenced) && !errors.Is(err, archive.ErrUnknownOutcome) {
			return err
		}
		if _, err := w.Reload(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: others extend the archive faster than it can be mended: stop the archiver meanwhile", l)
}

// rebuild replaces the segment that answers for an offset by what Kafka has of it.
func (d Mender) rebuild(ctx context.Context, w *archive.Writer, m *archive.Manifest, offset int64) error {
	i, err := m.Find(offset)
	if err != nil {
		return err
	}
	old := m.Segments[i]
	p := record.Partition{Topic: m.Log.Topic, Partition: m.Log.Partition}
	ends, err := d.Cluster.Ends(ctx, p)
	switch {
	case err != nil:
		return fmt.Errorf("rebuild [%d, %d): %w", old.Start, old.End, err)
	case ends.TopicID != m.Log.TopicID:
		return fmt.Errorf("rebuild [%d, %d): %w: Kafka has another history under the name", old.Start, old.End, record.ErrRecreated)
	case ends.Start > old.Start:
		return fmt.Errorf("rebuild [%d, %d): Kafka has only what comes from offset %d on: restore the object from a copy or an older version of the bucket", old.Start, old.End, ends.Start)
	}
	sealed, err := d.copy(ctx, w, m.Log, old)
	if err != nil {
		return err
	}
	if s := sealed.Segment; !old.Compacted && (s.Records != old.Records || s.DataBytes != old.DataBytes) {
		return &DivergedError{Log: m.Log, Offset: old.Start, End: m.Next, Epoch: m.NextEpoch,
			Reason: fmt.Sprintf("Kafka has %d records in %d bytes of [%d, %d), the archive had %d in %d", s.Records, s.DataBytes, old.Start, old.End, old.Records, old.DataBytes)}
	}
	_, err = w.Commit(ctx, archive.Replace([]archive.Segment{old}, sealed))
	return err
}

// copy writes what Kafka has of a segment's range as a new segment.
func (d Mender) copy(ctx context.Context, w *archive.Writer, l archive.Log, old archive.Segment) (*archive.Sealed, error) {
	s, err := w.SegmentAt(ctx, old.Start, archive.SegmentConfig{MaxBytes: math.MaxInt64, Compacted: old.Compacted})
	if err != nil {
		return nil, err
	}
	defer s.Abort()
	r := d.Cluster.OpenRawOf(l.TopicID, record.Partition{Topic: l.Topic, Partition: l.Partition}, old.Start)
	defer r.Close()
	for s.Next() < old.End {
		raw, err := r.Next(ctx)
		if err != nil {
			return nil, err
		}
		before := s.Next()
		if _, err := s.Append(fetched(raw, old.End)); err != nil {
			return nil, err
		}
		if s.Next() > before {
			continue
		}
		if raw.LastStable < old.End {
			return nil, fmt.Errorf("%s: %w: the log ends at %d", l, ErrDiverged, raw.LastStable)
		}
		s.Reach(old.End) // what follows is behind the segment
	}
	if s.Bytes() == 0 {
		return nil, fmt.Errorf("%s: compaction has left nothing of [%d, %d)", l, old.Start, old.End)
	}
	return s.Seal()
}

// Truncate removes from the archive of a log what the log itself has lost, as leader
// epochs tell. It returns where the archive ended and ends; these are equal where there
// was nothing to do.
func (d Mender) Truncate(ctx context.Context, l archive.Log) (was, is int64, err error) {
	err = d.again(ctx, l, func(w *archive.Writer, m *archive.Manifest) error {
		was = max(was, m.Next)
		for is = m.Next; m.Number > 0; is = m.Next {
			ends, err := d.Cluster.Ends(ctx, record.Partition{Topic: l.Topic, Partition: l.Partition})
			if err != nil {
				return err
			}
			if ends.TopicID != l.TopicID {
				return fmt.Errorf("truncate %s: %w", l, record.ErrRecreated)
			}
			gone, err := divergence(ctx, d.Cluster, d.Archive, m, ends)
			if err != nil || gone == nil {
				return err
			}
			cut, err := w.Cut(ctx, max(gone.Offset, m.Start()), archive.SegmentConfig{})
			if err != nil {
				return err
			}
			if m, err = w.Commit(ctx, cut); err != nil {
				return err
			}
		}
		return nil
	})
	return was, is, err
}
