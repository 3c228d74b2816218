package archive

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gocloud.dev/blob"
)

// Sweeper is what a bucket may have to remove leftovers of writes whose process died;
// buckets of this project's file:// driver do. Others call them incomplete uploads and
// remove them by a rule of the bucket's life cycle.
type Sweeper = interface {
	// Sweep removes leftovers from before the given moment and returns their bytes.
	Sweep(ctx context.Context, before time.Time) (int64, error)
}

// CollectConfig says what may be removed. The zero value is sane.
type CollectConfig struct {
	// Grace is how long an object is kept that no longer counts: readers that opened
	// an older manifest find their segments meanwhile, and uploads under way their
	// end. It is counted by the archive's clock against the bucket's. Default 24 h.
	Grace time.Duration
	// Manifests is how many of the newest manifests are kept, whatever their age.
	// Default 16.
	Manifests int
	// DryRun only looks.
	DryRun bool
}

// Collected says what was, or in a dry run would be, removed.
type Collected struct {
	Segments  []string // keys of segments: dropped ones and orphans
	Manifests []string // keys of old manifests
	Bytes     int64    // of all of them
}

// Collect removes what no longer counts: segments that a manifest has dropped, objects
// that no manifest ever counted (their writer died, or lost the race), old manifests.
// Before a segment is removed a new manifest is created: a writer that slept with a
// segment to commit wakes up fenced, and can never bring a removed one back. So the
// writer that collects may be any one, and ErrFenced means: nothing was removed, later.
func (w *Writer) Collect(ctx context.Context, c CollectConfig) (Collected, error) {
	if c.Grace <= 0 {
		c.Grace = 24 * time.Hour
	}
	if c.Manifests <= 0 {
		c.Manifests = 16
	}
	m, err := w.Manifest(ctx)
	if err != nil || m.Number == 0 {
		return Collected{}, err
	}
	before := w.a.c.Now().Add(-c.Grace)
	found, ids, err := w.garbage(ctx, m, before)
	if err != nil {
		return Collected{}, err
	}
	if err := w.oldManifests(ctx, m, before, c.Manifests, &found); err != nil || c.DryRun {
		return found, err
	}
	if len(found.Segments) > 0 {
		if _, err := w.Commit(ctx, forget(ids)); err != nil {
			return Collected{}, err
		}
	}
	for _, key := range slices.Concat(found.Segments, found.Manifests) {
		if err := w.a.delete(ctx, key); err != nil {
			return found, err
		}
	}
	var s Sweeper
	if w.a.bucket.As(&s) {
		n, err := s.Sweep(ctx, before)
		found.Bytes += n
		if err != nil {
			return found, fmt.Errorf("sweep the bucket: %w", err)
		}
	}
	return found, nil
}

// garbage returns the segments whose grace is over.
func (w *Writer) garbage(ctx context.Context, m *Manifest, before time.Time) (Collected, map[SegmentID]bool, error) {
	var found Collected
	keep, ids := map[SegmentID]bool{}, map[SegmentID]bool{}
	for i := range m.Segments {
		keep[m.Segments[i].ID] = true
	}
	for _, d := range m.Dropped {
		if keep[d.ID] {
			continue
		}
		keep[d.ID] = true // not an orphan
		if d.At < before.UnixMilli() {
			ids[d.ID] = true
			found.Segments = append(found.Segments, w.log.segmentKey(d.Base, d.ID))
			found.Bytes += d.Bytes
		}
	}
	err := w.a.list(ctx, w.log.folder()+segmentFolder, "", func(o *blob.ListObject) {
		_, id, ok := segmentName(o.Key)
		if ok && !keep[id] && o.ModTime.Before(before) {
			found.Segments = append(found.Segments, o.Key)
			found.Bytes += o.Size
		}
	})
	return found, ids, err
}

// oldManifests adds the manifests to remove, the lowest number first: that a number is
// there must mean that all above it are.
func (w *Writer) oldManifests(ctx context.Context, m *Manifest, before time.Time, keep int, found *Collected) error {
	var keys []string
	var size int64
	err := w.a.list(ctx, w.log.folder()+manifestFolder, "", func(o *blob.ListObject) {
		n, ok := manifestNumber(o.Key)
		if ok && n+uint64(keep) <= m.Number && o.ModTime.Before(before) {
			keys = append(keys, o.Key)
			size += o.Size
		}
	})
	slices.Reverse(keys)
	found.Manifests = keys
	found.Bytes += size
	return err
}
