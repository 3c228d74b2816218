package views

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-73111be4/kappa/record"
)

var (
	// ErrClosed is returned by every method of a closed view.
	ErrClosed = errors.New("views: closed")
	// ErrOtherTable says that the positions to wait for are of a topic that the
	// view does not show (any more).
	ErrOtherTable = errors.New("the view shows another table")
)

// WaitError says what a view still lacked when waiting for it ended. It wraps
// the context's error.
type WaitError struct {
	View   string   // the name that the view was opened with
	Behind []Behind // at least one
	Err    error
}

// Behind is one partition that has not been followed, or not been processed, as
// far as wanted.
type Behind struct {
	Partition record.Partition
	Want      int64 // next offset that would do
	Have      int64 // next offset; -1 where nothing is known
}

// String returns "topic/partition@want (at have)".
func (b Behind) String() string {
	if b.Have < 0 {
		return fmt.Sprintf("%s@%d (nothing processed yet)", b.Partition, b.Want)
	}
	return fmt.Sprintf("%s@%d (at %d)", b.Partition, b.Want, b.Have)
}

func (e *WaitError) Error() string {
	const shown = 3
	var s []string
	for _, b := range e.Behind[:min(shown, len(e.Behind))] {
		s = append(s, b.String())
	}
	if more := len(e.Behind) - shown; more > 0 {
		s = append(s, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("view %s waits for %s: %v", e.View, strings.Join(s, ", "), e.Err)
}

func (e *WaitError) Unwrap() error { return e.Err }

// behind returns which of the positions the copy has not reached.
func (r *replica) behind(positions []record.Position) []Behind {
	var bs []Behind
	for _, want := range positions {
		if have := r.places[want.Partition].Load().Offset; have < want.Offset {
			bs = append(bs, Behind{want.Of(), want.Offset, have})
		}
	}
	return bs
}

// waitFor waits until the copy has reached the positions, which are of its topic.
func (r *replica) waitFor(ctx context.Context, positions []record.Position) error {
	for {
		moved := r.moved.changed()
		bs := r.behind(positions)
		if len(bs) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return &WaitError{Behind: bs, Err: context.Cause(ctx)}
		case <-moved:
		}
	}
}

// shows returns an error where the positions are not of the copy's topic.
func (r *replica) shows(positions []record.Position) error {
	for _, p := range positions {
		switch {
		case p.Topic != r.Topic || p.Cluster != "" && p.Cluster != r.Cluster:
			return fmt.Errorf("wait for %s: %w: %s", p, ErrOtherTable, r.Topic)
		case p.TopicID.Known() && p.TopicID != r.ID:
			return fmt.Errorf("wait for %s: %w", p, record.ErrRecreated)
		case p.Partition < 0 || p.Partition >= r.Partitions:
			return fmt.Errorf("wait for %s: %w: it has %d partitions", p, record.ErrUnknownTopic, r.Partitions)
		}
	}
	return nil
}

// errReplaced says that a copy is no longer the view's: look at the new one.
var errReplaced = errors.New("the copy was replaced")

// until calls missing with the current copy whenever something has changed, until
// it returns nothing, or an error.
func (v *View) until(ctx context.Context, missing func(*replica) ([]Behind, error)) error {
	for {
		moved := v.moved.changed()
		r, err := v.acquire()
		if err != nil {
			return err
		}
		bs, err := missing(r)
		r.release()
		switch {
		case errors.Is(err, errReplaced):
			continue
		case err != nil || len(bs) == 0:
			return err
		}
		select {
		case <-ctx.Done():
			return &WaitError{View: v.cfg.Table, Behind: bs, Err: context.Cause(ctx)}
		case <-moved:
		}
	}
}

// WaitFor waits until the view contains all that the table topic holds before the
// positions: with the positions of a committed write, until that can be read.
// When ctx ends first, the error is a *[WaitError] that says what is missing.
func (v *View) WaitFor(ctx context.Context, table []record.Position) error {
	return v.until(ctx, func(r *replica) ([]Behind, error) {
		if err := r.shows(table); err != nil {
			return nil, fmt.Errorf("view %s: %w", v.cfg.Table, err)
		}
		return r.behind(table), nil
	})
}

// WaitCaughtUp waits until the view contains all that was committed to its table
// before the call. A transaction that is open at the call is waited for. When ctx
// ends first, the error is a *[WaitError].
func (v *View) WaitCaughtUp(ctx context.Context) error {
	targets := v.latest(func(r *replica) []record.Partition { return r.partitions() })
	return v.until(ctx, func(r *replica) ([]Behind, error) { return targets(ctx, r) })
}

// latest returns a function that says what a copy lacks of the ends of its
// partitions as they were at the function's first call for that copy.
func (v *View) latest(parts func(*replica) []record.Partition) func(context.Context, *replica) ([]Behind, error) {
	var asked *replica
	var want []record.Position
	return func(ctx context.Context, r *replica) ([]Behind, error) {
		if asked != r {
			ps := parts(r)
			ends, err := r.logs.EndsOf(ctx, ps...)
			if err != nil {
				return nil, fmt.Errorf("view %s: %w", v.cfg.Table, err)
			}
			asked, want = r, want[:0]
			for _, p := range ps {
				want = append(want, record.Position{Topic: p.Topic, Partition: p.Partition, Offset: ends[p].HighWatermark})
			}
		}
		return r.behind(want), nil
	}
}

// WaitForInput waits until the view contains the results of all records of the
// table's group's inputs before the positions: with the position after a record
// that was written to an input, until what the group made of it can be read. The
// positions that a group commits and the changes that belong to them are in
// different partitions, so this waits for both: for the positions first, and then
// for all that the table held when they were seen.
//
// The first call reads the group's state topic and may take a while. Where the
// group records no positions the error wraps [ErrNoPositions]; when ctx ends
// first, it is a *[WaitError].
func (v *View) WaitForInput(ctx context.Context, input []record.Position) error {
	targets := v.latest(func(r *replica) []record.Partition { return r.tables(input) })
	return v.until(ctx, func(r *replica) ([]Behind, error) {
		in, err := r.followInputs(ctx)
		if err != nil {
			return nil, fmt.Errorf("view %s: %w", v.cfg.Table, err)
		}
		if in == nil {
			return nil, errReplaced
		}
		if bs, err := in.behind(input); err != nil || len(bs) > 0 {
			return bs, err
		}
		return targets(ctx, r)
	})
}
