package views

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/record"
)

// Lag is how far a view is behind one partition of its table.
type Lag struct {
	Position      record.Position
	HighWatermark int64
}

// Offsets returns how many offsets are missing. Control records and what
// compaction has removed count, so it is an upper bound of the records.
func (l Lag) Offsets() int64 { return max(0, l.HighWatermark-l.Position.Offset) }

// Lag asks the cluster how far the view is behind each partition of its table.
func (v *View) Lag(ctx context.Context) ([]Lag, error) {
	r, err := v.acquire()
	if err != nil {
		return nil, err
	}
	defer r.release()
	ends, err := r.logs.EndsOf(ctx, r.partitions()...)
	if err != nil {
		return nil, fmt.Errorf("lag of view %s: %w", v.cfg.Table, err)
	}
	lags := make([]Lag, r.Partitions)
	for i, p := range r.partitions() {
		lags[i] = Lag{r.position(p.Partition), ends[p].HighWatermark}
	}
	return lags, nil
}

// Ready returns nil when the view has held, since it was opened, all that its
// table held at some moment, and follows every partition without errors; else
// what is in the way, as joined errors.
func (v *View) Ready() error {
	r, err := v.acquire()
	if err != nil {
		return err
	}
	defer r.release()
	var errs []error
	for p := range r.Partitions {
		if text := r.troubles[p].Load(); text != nil {
			errs = append(errs, fmt.Errorf("view %s: %s: %s", v.cfg.Table, r.position(p), *text))
		}
	}
	if !r.caughtUp() {
		errs = append(errs, fmt.Errorf("view %s: the copy of %s has not caught up yet (%d records so far)", v.cfg.Table, r.Topic, r.records.Load()))
	}
	return errors.Join(errs...)
}

// Stats are a view's figures.
type Stats struct {
	Name     string
	Table    string
	Records  int64 // table records applied to the current copy since it was opened
	Switches int64 // of the copy, by aliases and rebuilds, since the view was opened
	CaughtUp bool
	Bytes    int64 // of the copy, an estimate; -1 where unknown
}

// Stats returns the view's figures; they need no I/O beyond the local store.
func (v *View) Stats() Stats {
	s := Stats{Name: v.cfg.Table, Switches: v.switches.Load(), Bytes: -1}
	r, err := v.acquire()
	if err != nil {
		return s
	}
	defer r.release()
	s.Table, s.Records, s.CaughtUp = r.Topic, r.records.Load(), r.caughtUp()
	if n, err := r.store.Size(); err == nil {
		s.Bytes = n
	}
	return s
}
