package archive

import (
	"context"
	"errors"
	"io"

	"gocloud.dev/blob"
)

// VerifyConfig says how much is looked at.
type VerifyConfig struct {
	// Deep reads all data and checks every batch by its own checksum as well as by the
	// segment's. Default: manifests, sizes and footers.
	Deep bool
	// Budget bounds a deep verification's reads.
	Budget *Budget
}

// Verified is what a verification has seen.
type Verified struct {
	Segments, Batches, Records, Bytes int64
	// Orphans are keys of segments that no manifest counts; Collect removes them once
	// they are old enough.
	Orphans []string
	// Damage is what is wrong: CorruptErrors, by offset.
	Damage []error
}

// Verify checks the archive that a manifest describes: the chain of manifests below it,
// every segment's size, footer and place, and on demand every batch. What is wrong is
// in the result; the error is that of a bucket which cannot be asked.
func (a *Archive) Verify(ctx context.Context, m *Manifest, c VerifyConfig) (*Verified, error) {
	v := &Verified{}
	if err := a.verifyChain(ctx, m, v); err != nil {
		return v, err
	}
	sizes, err := a.segmentSizes(ctx, m, v)
	if err != nil {
		return v, err
	}
	for i := range m.Segments {
		s := m.Segments[i]
		err := a.verifySegment(ctx, m, s, sizes, c)
		switch {
		case err == nil:
			v.Batches += s.Batches
			v.Records += s.Records
		case errors.Is(err, ErrCorrupt):
			v.Damage = append(v.Damage, err)
		default:
			return v, err
		}
		v.Segments++
		v.Bytes += s.Bytes()
	}
	return v, nil
}

// chainDepth is how many manifests back the chain is verified: the older ones are only
// there until their grace is over.
const chainDepth = 16

// verifyChain checks that each manifest names its predecessor, as far back as there are
// any; one that was recovered names none.
func (a *Archive) verifyChain(ctx context.Context, m *Manifest, v *Verified) error {
	for sum, n := m.Previous, 0; m.Number > 1 && sum != 0 && n < chainDepth; n++ {
		previous, err := a.manifest(ctx, m.Log, m.Number-1)
		if isNotFound(err) {
			return nil
		}
		if errors.Is(err, ErrCorrupt) {
			v.Damage = append(v.Damage, err)
			return nil
		}
		if err != nil {
			return err
		}
		if previous.sum != sum {
			v.Damage = append(v.Damage, inObject(corrupt(-1, "manifest %d follows another manifest %d", m.Number, previous.Number), m.Log.manifestKey(m.Number), 0))
		}
		m, sum = previous, previous.Previous
	}
	return nil
}

// segmentSizes lists the log's segments, and notes the orphans.
func (a *Archive) segmentSizes(ctx context.Context, m *Manifest, v *Verified) (map[SegmentID]int64, error) {
	known := map[SegmentID]bool{}
	for i := range m.Segments {
		known[m.Segments[i].ID] = true
	}
	for _, d := range m.Dropped {
		known[d.ID] = true
	}
	sizes := map[SegmentID]int64{}
	err := a.list(ctx, m.Log.folder()+segmentFolder, "", func(o *blob.ListObject) {
		_, id, ok := segmentName(o.Key)
		if !ok || !known[id] {
			v.Orphans = append(v.Orphans, o.Key)
			return
		}
		sizes[id] = o.Size
	})
	return sizes, err
}

// verifySegment checks one segment.
func (a *Archive) verifySegment(ctx context.Context, m *Manifest, s Segment, sizes map[SegmentID]int64, c VerifyConfig) error {
	// A listing may lag behind: what it does not show is asked for by reading it.
	if size, ok := sizes[s.ID]; ok && size != s.Bytes() {
		return inSegment(inObject(corrupt(-1, "the object has %d bytes, it was written with %d", size, s.Bytes()), s.Key(m.Log), 0), s)
	}
	f, err := a.Footer(ctx, m.Log, s)
	if err != nil || !c.Deep {
		return err
	}
	one := &Manifest{Log: m.Log, Number: 1, Origin: s.Start, Next: s.End, Segments: []Segment{s}}
	r, err := a.Read(one, ReadConfig{From: s.Start, Budget: c.Budget})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := verifyBatches(ctx, r, f); err != nil {
		return inSegment(inObject(err, s.Key(m.Log), 0), s)
	}
	return nil
}

// verifyBatches checks every batch of a segment, and that they add up to what the
// footer says.
func verifyBatches(ctx context.Context, r *Reader, f *Footer) error {
	var batches, records, bytes int64
	next := f.Segment.Base
	for {
		chunk, err := r.nextOnce(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for b, err := range Batches(chunk.Raw) {
			if err == nil {
				err = b.Check()
			}
			if err == nil && b.BaseOffset < next {
				err = corrupt(-1, "batch at offset %d after offset %d", b.BaseOffset, next-1)
			}
			if err != nil {
				chunk.Release()
				return inBytes(err, bytes)
			}
			batches, records, bytes, next = batches+1, records+int64(b.Records), bytes+int64(len(b.Raw)), b.LastOffset()+1
		}
		chunk.Release()
	}
	if s := f.Segment; batches != s.Batches || records != s.Records || bytes != s.DataBytes || next > s.End {
		return corrupt(-1, "%d batches with %d records up to offset %d, the footer says %d with %d up to %d",
			batches, records, next, s.Batches, s.Records, s.End)
	}
	return nil
}

// inBytes gives an error about a batch its place in the object.
func inBytes(err error, at int64) error {
	var c *CorruptError
	if !errors.As(err, &c) || c.At >= 0 {
		return err
	}
	named := *c
	named.At = at
	return &named
}
