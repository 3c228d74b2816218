package archiver

import (
	"context"
	"errors"
	"time"

	"github.com/seed-73111be4/kappa/archive"
)

// tend merges small segments, applies the retention and removes what no longer counts.
// collect says that it is time for the latter two.
func (t *task) tend(ctx context.Context, collect bool) error {
	if err := t.mergeSmall(ctx); err != nil || !collect {
		return err
	}
	if before := expired(t.m, t.c.retention(t.log.Topic), t.c.Now()); before > t.m.Start() {
		if err := t.commit(ctx, archive.DropBefore(before)); err != nil {
			return err
		}
	}
	_, err := t.w.Collect(ctx, archive.CollectConfig{Grace: t.c.Grace})
	if errors.Is(err, archive.ErrFenced) || errors.Is(err, archive.ErrUnknownOutcome) {
		t.fenced = errors.Is(err, archive.ErrFenced)
		if t.m, err = t.w.Reload(ctx); err == nil {
			err = errAgain
		}
	}
	if err == nil {
		t.m, err = t.w.Manifest(ctx)
	}
	return err
}

// mergeSmall merges one run of small neighbours; others wait for their turn, so that
// what must be archived goes first.
func (t *task) mergeSmall(ctx context.Context) error {
	runs := t.c.merging().Plan(t.m)
	if len(runs) == 0 {
		return nil
	}
	s, err := t.w.Merge(ctx, runs[0], t.c.segment(t.topic.compacted))
	if err != nil {
		return err
	}
	if err := t.commit(ctx, archive.Replace(runs[0], s)); err != nil {
		return err
	}
	t.merged++
	return nil
}

// expired returns the offset before which a retention rule keeps nothing.
func expired(m *archive.Manifest, r Retention, now time.Time) int64 {
	drop := 0
	if r.Age > 0 {
		bound := now.Add(-r.Age).UnixMilli()
		for drop < len(m.Segments) && max(m.Segments[drop].MaxTimestamp, m.Segments[drop].Created) < bound {
			drop++
		}
	}
	if r.Bytes > 0 {
		kept := m.Bytes()
		for i := 0; i < len(m.Segments) && kept-m.Segments[i].Bytes() >= r.Bytes; i++ {
			kept -= m.Segments[i].Bytes()
			drop = max(drop, i+1)
		}
	}
	if drop == 0 {
		return m.Start()
	}
	return m.Segments[drop-1].End
}
