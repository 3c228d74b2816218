package archive

import (
	"fmt"
	"slices"
)

// Edit is a change of a manifest; Writer.Commit makes it.
type Edit struct {
	sealed []*Sealed
	apply  func(m *Manifest, now int64) error
}

// Sealed is a segment whose object is complete, and that no manifest counts yet.
type Sealed struct {
	Segment Segment
	Footer  *Footer
	session uint64
}

// Append adds a segment that begins where the archive ends.
func Append(s *Sealed) Edit {
	return Edit{sealed: []*Sealed{s}, apply: func(m *Manifest, _ int64) error {
		if m.Number == 1 && len(m.Segments) == 0 && m.Next == m.Origin && m.Origin == 0 {
			m.Origin, m.Next = s.Segment.Start, s.Segment.Start
		}
		if s.Segment.Start != m.Next {
			return fmt.Errorf("%w: %s: a segment of [%d, %d) cannot follow an archive that ends at %d",
				ErrContradiction, m.Log, s.Segment.Start, s.Segment.End, m.Next)
		}
		m.Segments = append(m.Segments, s.Segment)
		m.Next, m.NextEpoch = s.Segment.End, s.Segment.LastEpoch
		return nil
	}}
}

// Replace puts a segment in the place of consecutive ones that answer for the same
// offsets: after a merge, or to heal one that is damaged.
func Replace(old []Segment, s *Sealed) Edit {
	return Edit{sealed: []*Sealed{s}, apply: func(m *Manifest, now int64) error {
		if len(old) == 0 {
			return fmt.Errorf("%w: %s: nothing to replace", ErrContradiction, m.Log)
		}
		i := m.index(old[0].ID)
		if i < 0 || i+len(old) > len(m.Segments) || !slices.EqualFunc(m.Segments[i:i+len(old)], old, sameSegment) {
			return fmt.Errorf("%w: %s: the segments of [%d, %d) are no longer the ones to replace",
				ErrContradiction, m.Log, old[0].Start, old[len(old)-1].End)
		}
		if s.Segment.Start != old[0].Start || s.Segment.End != old[len(old)-1].End {
			return fmt.Errorf("%w: %s: a segment of [%d, %d) cannot replace [%d, %d)", ErrContradiction, m.Log,
				s.Segment.Start, s.Segment.End, old[0].Start, old[len(old)-1].End)
		}
		m.drop(old, now)
		m.Segments = slices.Replace(m.Segments, i, i+len(old), s.Segment)
		return nil
	}}
}

func sameSegment(a, b Segment) bool { return a.ID == b.ID }

// DropBefore removes the segments that end at offset or before: the archive's own
// retention. The archive's end stays where it is.
func DropBefore(offset int64) Edit {
	return Edit{apply: func(m *Manifest, now int64) error {
		n := 0
		for n < len(m.Segments) && m.Segments[n].End <= offset {
			n++
		}
		m.drop(m.Segments[:n], now)
		m.Segments = slices.Delete(m.Segments, 0, n)
		start := m.Next
		if len(m.Segments) > 0 {
			start = m.Segments[0].Start
		}
		m.Gaps = slices.DeleteFunc(m.Gaps, func(g Gap) bool { return g.To <= start })
		return nil
	}}
}

// Truncate removes what the archive has from offset on, which must be where a segment
// begins or the archive ends: what the log itself has lost after an unclean election.
// epoch is the leader epoch of the last batch that is kept.
func Truncate(offset int64, epoch int32) Edit {
	return Edit{apply: func(m *Manifest, now int64) error {
		n := len(m.Segments)
		for n > 0 && m.Segments[n-1].Start >= offset {
			n--
		}
		if offset > m.Next || offset < m.Start() || n > 0 && m.Segments[n-1].End > offset {
			return fmt.Errorf("%w: %s: offset %d is no boundary of segments", ErrContradiction, m.Log, offset)
		}
		m.drop(m.Segments[n:], now)
		m.Segments = m.Segments[:n]
		m.Gaps = slices.DeleteFunc(m.Gaps, func(g Gap) bool { return g.From >= offset })
		for i := range m.Gaps {
			m.Gaps[i].To = min(m.Gaps[i].To, offset)
		}
		m.Next, m.NextEpoch = offset, epoch
		return nil
	}}
}

// Skip accepts that the offsets from the archive's end to the given one are lost: the
// archive goes on behind them, and whoever reads across meets a GapError with the
// reason. In an archive that has nothing yet it only sets the beginning.
func Skip(to int64, reason string) Edit {
	return Edit{apply: func(m *Manifest, now int64) error {
		switch {
		case to < m.Next:
			return fmt.Errorf("%w: %s: cannot skip from %d back to %d", ErrContradiction, m.Log, m.Next, to)
		case to == m.Next:
			return nil
		case len(m.Segments) == 0 && len(m.Gaps) == 0 && m.Next == m.Origin:
			m.Origin, m.Next = to, to
			return nil
		}
		m.Gaps = append(m.Gaps, Gap{From: m.Next, To: to, At: now, Reason: reason})
		m.Next = to
		return nil
	}}
}

// Grown notes the topic's present number of partitions.
func Grown(partitions int32) Edit {
	return Edit{apply: func(m *Manifest, _ int64) error {
		m.Partitions = partitions
		return nil
	}}
}

// forget takes dropped segments off the list, once they are to be deleted.
func forget(ids map[SegmentID]bool) Edit {
	return Edit{apply: func(m *Manifest, _ int64) error {
		m.Dropped = slices.DeleteFunc(m.Dropped, func(d Dropped) bool { return ids[d.ID] })
		return nil
	}}
}

// drop notes that segments no longer count.
func (m *Manifest) drop(segments []Segment, now int64) {
	for i := range segments {
		s := &segments[i]
		m.Dropped = append(m.Dropped, Dropped{ID: s.ID, Base: s.Base, Bytes: s.Bytes(), At: now})
	}
}
