package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"gocloud.dev/blob"
)

// Recover makes a new manifest where the newest one cannot be decoded: from the newest
// that can, and from the footers of the segments that it does not know. It returns the
// newest manifest as it is where that is sound.
//
// What only the damaged manifests knew is lost: accepted gaps, what was dropped. So
// segments that were truncated or lost a race may count again; compare the end with
// Kafka's leader epochs, as after each start. Where offsets are missing that the older
// manifest had, the error is a CorruptError that names them, and nothing is changed.
func (a *Archive) Recover(ctx context.Context, l Log) (*Manifest, error) {
	newest, m, err := a.newestSound(ctx, l)
	if err != nil || newest == 0 {
		return nil, cmp.Or(err, fmt.Errorf("%s: %w", l, ErrNotArchived))
	}
	if m != nil && m.Number == newest {
		return m, nil
	}
	pool, err := a.pool(ctx, l, m)
	if err != nil {
		return nil, err
	}
	next, err := rebuild(l, m, pool)
	if err != nil {
		return nil, err
	}
	next.Number, next.Previous, next.Created = newest+1, 0, a.now()
	if err := a.random(next.Writer[:]); err != nil {
		return nil, err
	}
	if err := next.validate(); err != nil {
		return nil, err
	}
	err = a.create(ctx, l.manifestKey(next.Number), next.encode())
	var taken *takenError
	if errors.As(err, &taken) {
		return nil, &FencedError{Log: l, Number: next.Number}
	}
	return next, err
}

// newestSound returns the highest number and the newest manifest that can be decoded,
// nil where none can.
func (a *Archive) newestSound(ctx context.Context, l Log) (uint64, *Manifest, error) {
	var numbers []uint64
	err := a.list(ctx, l.folder()+manifestFolder, "", func(o *blob.ListObject) {
		if n, ok := manifestNumber(o.Key); ok {
			numbers = append(numbers, n)
		}
	})
	if err != nil || len(numbers) == 0 {
		return 0, nil, err
	}
	for _, n := range numbers {
		m, err := a.manifest(ctx, l, n)
		if err == nil {
			return numbers[0], m, nil
		}
		if !errors.Is(err, ErrCorrupt) && !isNotFound(err) {
			return 0, nil, err
		}
	}
	return numbers[0], nil, nil
}

// pool returns the segments that are there, by footer; those that m drops are not among
// them, nor is what does not end like a segment.
func (a *Archive) pool(ctx context.Context, l Log, m *Manifest) ([]Segment, error) {
	dropped := map[SegmentID]bool{}
	if m != nil {
		for _, d := range m.Dropped {
			dropped[d.ID] = true
		}
	}
	sizes := map[string]int64{}
	err := a.list(ctx, l.folder()+segmentFolder, "", func(o *blob.ListObject) {
		if _, id, ok := segmentName(o.Key); ok && !dropped[id] {
			sizes[o.Key] = o.Size
		}
	})
	if err != nil {
		return nil, err
	}
	var pool []Segment
	for key, size := range sizes {
		f, err := a.strayFooter(ctx, key, size)
		if err == nil && f.Log == l {
			pool = append(pool, f.Segment)
		} else if err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, err
		}
	}
	return pool, nil
}

// rebuild chains segments from the beginning on: those of m where they are there, else
// the one that reaches farthest, the youngest of several.
func rebuild(l Log, m *Manifest, pool []Segment) (*Manifest, error) {
	next := &Manifest{Log: l, NextEpoch: -1}
	if m != nil {
		next = m.clone()
	} else if len(pool) > 0 {
		next.Origin = slices.MinFunc(pool, func(a, b Segment) int { return cmp.Compare(a.Start, b.Start) }).Start
		next.Next = next.Origin
	}
	known := map[SegmentID]bool{}
	for i := range next.Segments {
		known[next.Segments[i].ID] = true
	}
	slices.SortFunc(pool, func(a, b Segment) int {
		if known[a.ID] != known[b.ID] {
			return map[bool]int{true: -1, false: 1}[known[a.ID]]
		}
		return cmp.Or(cmp.Compare(b.End, a.End), cmp.Compare(b.Created, a.Created), cmp.Compare(a.ID, b.ID))
	})
	at, end, gaps := next.Start(), next.Next, next.Gaps
	next.Segments = nil
	for {
		at, gaps = skipGaps(at, gaps)
		i := slices.IndexFunc(pool, func(s Segment) bool { return s.Start == at })
		if i < 0 {
			break
		}
		next.Segments = append(next.Segments, pool[i])
		at, next.NextEpoch = pool[i].End, pool[i].LastEpoch
	}
	if at < end {
		c := corrupt(-1, "no segment begins at offset %d", at)
		c.Object, c.Missing, c.Start, c.End = l.folder()+segmentFolder, true, at, end
		return nil, c
	}
	next.Next = at
	return next, nil
}
