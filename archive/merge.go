package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// MergePolicy says which small segments become one larger one. The zero value is sane.
type MergePolicy struct {
	// TargetBytes is the size at which a segment is large enough. Default 128 MiB.
	TargetBytes int64
	// Fan is how many small neighbours are merged even if they stay below the target
	// together: each byte is written about log(target/small)/log(Fan) times more.
	// Default 16.
	Fan int
}

func (p MergePolicy) withDefaults() MergePolicy {
	if p.TargetBytes <= 0 {
		p.TargetBytes = defaultMax
	}
	p.TargetBytes = min(p.TargetBytes, maxData)
	if p.Fan < 2 {
		p.Fan = 16
	}
	return p
}

// Plan returns the runs of neighbours to merge, oldest first. Segments of at least half
// the target are left alone, and gaps are not merged over.
func (p MergePolicy) Plan(m *Manifest) [][]Segment {
	p = p.withDefaults()
	var runs [][]Segment
	var run []Segment
	var size int64
	close := func() {
		if len(run) >= p.Fan || len(run) > 1 && size >= p.TargetBytes/2 {
			runs = append(runs, run)
		}
		run, size = nil, 0
	}
	for _, s := range m.Segments {
		large := s.DataBytes >= p.TargetBytes/2
		if large || len(run) > 0 && (run[len(run)-1].End != s.Start || size+s.DataBytes > p.TargetBytes) {
			close()
		}
		if large {
			continue
		}
		run, size = append(run, s), size+s.DataBytes
	}
	close()
	return runs
}

// Merge writes the batches of consecutive segments into one, verified on the way.
// Nothing counts before [Replace] of the result is committed.
func (w *Writer) Merge(ctx context.Context, run []Segment, c SegmentConfig) (*Sealed, error) {
	if len(run) == 0 {
		return nil, fmt.Errorf("%w: %s: nothing to merge", ErrContradiction, w.log)
	}
	return w.rewrite(ctx, run, run[len(run)-1].End, c)
}

// Cut returns the edit that truncates the archive at any offset between two batches: as
// [Truncate], but where the offset is inside of a segment the part below it is written
// anew, verified on the way.
func (w *Writer) Cut(ctx context.Context, offset int64, c SegmentConfig) (Edit, error) {
	m, err := w.Manifest(ctx)
	if err != nil {
		return Edit{}, err
	}
	i, err := m.Find(offset)
	if err != nil {
		return Edit{}, err
	}
	if i == len(m.Segments) || m.Segments[i].Start == offset {
		return Truncate(offset, epochBefore(m, i)), nil
	}
	old := m.Segments[i]
	s, err := w.rewrite(ctx, []Segment{old}, offset, c)
	if err != nil {
		return Edit{}, err
	}
	return Edit{sealed: []*Sealed{s}, apply: func(m *Manifest, now int64) error {
		i := m.index(old.ID)
		if i < 0 {
			return fmt.Errorf("%w: %s: segment %s is no longer the one to cut", ErrContradiction, m.Log, old.ID)
		}
		if err := Truncate(old.Start, epochBefore(m, i)).apply(m, now); err != nil {
			return err
		}
		return Append(s).apply(m, now)
	}}, nil
}

// epochBefore returns the leader epoch of the last batch before segment i.
func epochBefore(m *Manifest, i int) int32 {
	if i == 0 {
		return -1
	}
	return m.Segments[i-1].LastEpoch
}

// rewrite copies the batches of run below until into one new segment.
func (w *Writer) rewrite(ctx context.Context, run []Segment, until int64, c SegmentConfig) (*Sealed, error) {
	source := &Manifest{Log: w.log, Number: 1, Origin: run[0].Start, Next: run[len(run)-1].End, Segments: run}
	if err := source.validate(); err != nil {
		return nil, fmt.Errorf("%w: %s: the segments of a merge must be neighbours: %w", ErrContradiction, w.log, err)
	}
	var total Segment
	for _, s := range run {
		c.Compacted = c.Compacted || s.Compacted
		total.DataBytes += s.DataBytes
		total.Batches += s.Batches
	}
	if total.DataBytes >= maxData {
		return nil, fmt.Errorf("%w: %s: %d bytes are too many for a segment", ErrContradiction, w.log, total.DataBytes)
	}
	c.MaxBytes = maxData
	s, err := w.SegmentAt(ctx, source.Origin, c)
	if err != nil {
		return nil, err
	}
	defer s.Abort()
	if err := s.copy(ctx, source, until); err != nil {
		return nil, err
	}
	if n := s.footer.Segment.Batches; until == source.Next && n != total.Batches {
		return nil, fmt.Errorf("%w: %s: %d of %d batches were merged", ErrContradiction, w.log, n, total.Batches)
	}
	return s.Seal()
}

// copy appends what the source has below until.
func (s *SegmentWriter) copy(ctx context.Context, source *Manifest, until int64) error {
	r, err := s.w.a.Read(source, ReadConfig{From: source.Origin, Until: until, Ahead: 2})
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		chunk, err := r.nextOnce(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		_, err = s.Append(Fetched{Raw: chunk.Raw, Aborted: chunk.Aborted, Stable: -1})
		chunk.Release()
		if err != nil {
			return err
		}
	}
	if s.Next() > until {
		return fmt.Errorf("%w: %s: offset %d is inside of a batch", ErrContradiction, s.w.log, until)
	}
	s.Reach(until)
	return nil
}
