package archive

import (
	"context"
	"errors"
	"fmt"
)

// Writer extends the archive of one log. It holds the newest manifest that it knows;
// every Commit creates the next one, and whoever creates it first has won: the others
// get ErrFenced and must Reload. A Writer claims nothing while it does not commit, so a
// writer that died needs no clean-up.
//
// It is safe for concurrent use: segments may be written, merged and committed side by
// side; commits wait for each other.
type Writer struct {
	a   *Archive
	log Log
	id  WriterID

	turn     chan struct{} // holds one token: who has it may touch the fields below
	manifest *Manifest     // the newest known; Number 0: there is none yet
	session  uint64        // grows with each Reload: what was sealed in an older one is void
	broken   error         // why Reload must come first
}

// Writer returns a writer of the log, and reads its newest manifest.
func (a *Archive) Writer(ctx context.Context, l Log) (*Writer, error) {
	w := &Writer{a: a, log: l, turn: make(chan struct{}, 1)}
	if err := a.random(w.id[:]); err != nil {
		return nil, err
	}
	w.turn <- struct{}{}
	if _, err := w.Reload(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// ID returns the id that the writer's manifests carry.
func (w *Writer) ID() WriterID { return w.id }

// lock waits for the writer's turn.
func (w *Writer) lock(ctx context.Context) error {
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *Writer) unlock() { w.turn <- struct{}{} }

// Reload reads the newest manifest. Segments that were sealed before it can no longer
// be committed: what their absence from the manifest has allowed to be removed cannot
// come back. Where nothing is archived yet, the manifest has number 0.
func (w *Writer) Reload(ctx context.Context) (*Manifest, error) {
	if err := w.lock(ctx); err != nil {
		return nil, err
	}
	defer w.unlock()
	m, err := w.a.Latest(ctx, w.log)
	if errors.Is(err, ErrNotArchived) {
		m, err = &Manifest{Log: w.log, NextEpoch: -1}, nil
	}
	if err != nil {
		return nil, err
	}
	w.manifest, w.broken = m, nil
	w.session++
	return m, nil
}

// Manifest returns the newest manifest that the writer knows.
func (w *Writer) Manifest(ctx context.Context) (*Manifest, error) {
	if err := w.lock(ctx); err != nil {
		return nil, err
	}
	defer w.unlock()
	return w.manifest, nil
}

// Commit makes the edits, in this order, with one new manifest, and returns it. It is
// all or nothing: after ErrFenced nothing has happened; after ErrUnknownOutcome Reload
// tells whether it has. After either, and not after another error, Reload must come
// before the next Commit.
func (w *Writer) Commit(ctx context.Context, edits ...Edit) (*Manifest, error) {
	if err := w.lock(ctx); err != nil {
		return nil, err
	}
	defer w.unlock()
	if w.broken != nil {
		return nil, w.broken
	}
	next, err := w.next(edits)
	if err != nil {
		return nil, err
	}
	if err := w.publish(ctx, next); err != nil {
		if errors.Is(err, ErrFenced) || errors.Is(err, ErrUnknownOutcome) {
			w.broken = err
		}
		return nil, err
	}
	w.manifest = next
	return next, nil
}

// next returns the manifest that the edits make.
func (w *Writer) next(edits []Edit) (*Manifest, error) {
	next := w.manifest.clone()
	next.Previous, next.Number = w.manifest.sum, w.manifest.Number+1
	next.Writer, next.Created = w.id, w.a.now()
	for _, e := range edits {
		for _, s := range e.sealed {
			if s.session != w.session {
				return nil, fmt.Errorf("%w: %s: the segment of [%d, %d) was sealed before the last reload; write it anew",
					ErrContradiction, w.log, s.Segment.Start, s.Segment.End)
			}
		}
		if err := e.apply(next, next.Created); err != nil {
			return nil, err
		}
	}
	return next, next.validate()
}

// publish creates the manifest.
func (w *Writer) publish(ctx context.Context, m *Manifest) error {
	err := w.a.create(ctx, w.log.manifestKey(m.Number), m.encode())
	var taken *takenError
	if errors.As(err, &taken) {
		fenced := &FencedError{Log: w.log, Number: m.Number}
		if other, err := DecodeManifest(taken.body); err == nil {
			fenced.By = other.Writer
		}
		return fenced
	}
	if err != nil || m.Number == 1 {
		return err
	}
	return w.confirm(ctx, m)
}

// confirm makes sure that the manifest that m follows is still there. Numbers are removed
// from the lowest on; where the predecessor is gone, or another writer that slept has
// taken its number, this number had been taken and removed while the writer slept, and m
// is a manifest that nobody will ever look at.
func (w *Writer) confirm(ctx context.Context, m *Manifest) error {
	found, err := w.a.holds(ctx, w.log, m.Number-1, m.Previous)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	if !found {
		_ = w.a.delete(ctx, w.log.manifestKey(m.Number)) // as well as we can: Collect will
		return &FencedError{Log: w.log, Number: m.Number}
	}
	return nil
}
