package changelog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// Reach says how far positions go in all: the sum of their next offsets. Of two
// copies of one task's state the one that reaches farther is the fresher.
func Reach(logs []record.Position) (sum int64) {
	for _, p := range logs {
		sum += p.Offset
	}
	return sum
}

// Stored returns how far a store that is not open reflects its logs; none where it
// holds nothing, or nothing that this version can read.
func Stored(db state.DB, name string) ([]record.Position, error) {
	store, err := db.Open(name)
	if err != nil {
		return nil, fmt.Errorf("look into store %s: %w", name, err)
	}
	b, found, err := store.Get(metaKey(), nil)
	if err = errors.Join(err, store.Close()); err != nil {
		return nil, fmt.Errorf("look into store %s: %w", name, err)
	}
	if !found {
		return nil, nil
	}
	m, err := parseMeta(b)
	if err != nil {
		return nil, nil // a restore will wipe it and say so
	}
	return m.Logs, nil
}

// Take applies what comes next in the table's or the state topic, right where
// LogPositions ends: the owner of a standby's state follows the logs with it. No
// transaction may be open. After an error the state is of no more use.
func (s *State) Take(topic string, b *record.Batch) error {
	for i := range s.logs {
		if t := &s.logs[i]; t.pos.Topic == topic {
			r := replay{s: s, t: t, apply: s.applyOf(topic)}
			if err := r.take(b); err != nil {
				return fmt.Errorf("follow %s: %w", t.pos, err)
			}
			return nil
		}
	}
	return fmt.Errorf("follow %s: not one of the task's logs", topic)
}

// CatchUp brings the state of a standby up to what was committed at the call, its
// join topics too. Until then they stand where the restore, or the last CatchUp,
// has left them.
func (s *State) CatchUp(ctx context.Context) error {
	now := s.c.Clock()
	for i := range s.logs {
		t := &s.logs[i]
		ends, err := s.c.Logs.Ends(ctx, t.pos.Of())
		if err != nil {
			return fmt.Errorf("ends of %s: %w", t.pos.Of(), err)
		}
		if t.ends.TopicID.Known() && ends.TopicID.Known() && ends.TopicID != t.ends.TopicID {
			return fmt.Errorf("follow %s: %w", t.pos, record.ErrRecreated)
		}
		t.ends = ends
		if err := s.replayLog(ctx, t); err != nil {
			return err
		}
	}
	if err := s.parsePositions(); err != nil {
		return err
	}
	for i := range s.joins {
		if err := s.replayJoin(ctx, &s.joins[i]); err != nil {
			return err
		}
	}
	s.current = now
	return nil
}

// SyncDue reports whether a standby should catch up and flush: where a flush is due,
// and before its store counts as too old.
func (s *State) SyncDue(now time.Time) bool { return s.FlushDue(now) || s.CommitDue(now) }

// Sync catches up and flushes, on the owner.
func (s *State) Sync(ctx context.Context) error {
	if err := s.CatchUp(ctx); err != nil {
		return err
	}
	return s.flushNow()
}
