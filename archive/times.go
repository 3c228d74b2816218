package archive

import (
	"context"
)

// OffsetAfter returns where to read from to get every record of the manifest's archive
// whose timestamp is t or later (milliseconds): the base offset of the first batch that
// has one. Who reads from there meets at most the rest of one batch before the first
// such record. Where there is none it returns the archive's end. Markers have no time
// here: theirs is the broker's, not the data's.
func (a *Archive) OffsetAfter(ctx context.Context, m *Manifest, t int64) (int64, error) {
	for i := range m.Segments {
		s := m.Segments[i]
		if s.MaxTimestamp == NoTimestamp || s.MaxTimestamp < t {
			continue
		}
		offset, err := a.offsetIn(ctx, m.Log, s, t)
		if err != nil {
			return 0, inSegment(err, s)
		}
		return max(offset, s.Start), nil
	}
	return m.Next, nil
}

// offsetIn looks into the first block that has a timestamp of t or later.
func (a *Archive) offsetIn(ctx context.Context, l Log, s Segment, t int64) (int64, error) {
	f, err := a.Footer(ctx, l, s)
	if err != nil {
		return 0, err
	}
	for i, b := range f.Blocks {
		if b.MaxTimestamp == NoTimestamp || b.MaxTimestamp < t {
			continue
		}
		buf := make([]byte, b.Bytes)
		run := f.Blocks[i : i+1]
		if err := a.checked(ctx, s.Key(l), b.At, buf, func() error { return checkBlocks(buf, run) }); err != nil {
			return 0, err
		}
		at, err := boundary(buf, func(b *Batch) bool { return !b.Control() && b.Records > 0 && b.MaxTimestamp >= t })
		if err != nil || at == len(buf) {
			return b.Base, err
		}
		return headerOf(buf[at:]).BaseOffset, nil
	}
	return 0, inObject(corrupt(-1, "the index has no time as late as %d", t), s.Key(l), 0)
}
