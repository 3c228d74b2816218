package changelog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// attempts is how often a restore starts again from an empty store.
const attempts = 4

// misfit says that the local store cannot be brought up to date.
type misfit struct{ reason string }

func (m *misfit) Error() string { return "the local store does not fit: " + m.reason }

func misfitf(format string, args ...any) error {
	return &misfit{fmt.Sprintf(format, args...)}
}

// Restore opens a task's store and brings it up to date: it compares the store
// with the logs and wipes it where it does not fit (State.Wiped says why), then
// replays the table's and the state topic by position up to the high watermarks
// as of the call, and the join topics up to their committed positions, or to the
// high watermark where the task has never committed one. Committed records only.
// On an error the store is closed; what was replayed and flushed is kept, so the
// next attempt goes on from there.
//
// A positions record of another cluster, or a join topic that was created again
// or has lost committed records, is an error: wiping cannot mend it.
func Restore(ctx context.Context, c Config) (*State, error) {
	c = c.withDefaults()
	store, err := c.DB.Open(c.Store)
	if err != nil {
		return nil, fmt.Errorf("restore %s: %w", c.Store, err)
	}
	s := &State{c: c, store: store}
	if err := s.restore(ctx); err != nil {
		return nil, fmt.Errorf("restore %s: %w", c.Store, errors.Join(err, store.Close()))
	}
	return s, nil
}

func (s *State) restore(ctx context.Context) error {
	for n := 1; ; n++ {
		err := s.attempt(ctx)
		var m *misfit
		if !errors.As(err, &m) {
			return err
		}
		if n == attempts {
			return fmt.Errorf("gave up after %d attempts: %w", n, err)
		}
		s.c.Log.Warn("wiping the local store, it will be rebuilt from its logs", "store", s.c.Store, "reason", m.reason)
		if err := s.store.Wipe(); err != nil {
			return fmt.Errorf("wipe: %w", err)
		}
		s.wiped = m.reason
	}
}

func (s *State) attempt(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.Table = state.NewTable(s.store, s.c.Table)
	for i := range s.logs {
		if err := s.replayLog(ctx, &s.logs[i]); err != nil {
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
	if s.replayed == 0 && s.flushedAt.IsZero() {
		s.flushedAt = s.c.Clock() // nothing that a crash could cost
	}
	return nil
}

// lastFlush returns when the store was last written, zero where it never was. A
// restore is no flush: a process that crashes again and again would never reach
// the age of one, and replay more each time.
func (s *State) lastFlush(m *meta) time.Time {
	if m.WrittenAt == 0 {
		return time.Time{}
	}
	at, now := time.UnixMilli(m.WrittenAt), s.c.Clock()
	if at.After(now) {
		return now
	}
	return at
}

// begin reads what the store knows about itself and where the logs are.
func (s *State) begin(ctx context.Context) error {
	s.positions, s.raw, s.replayed, s.current = nil, nil, 0, s.c.Clock()
	m, err := s.readMeta()
	if err != nil {
		return err
	}
	s.flushedAt = s.lastFlush(m)
	s.logs, s.joins = nil, nil
	for _, topic := range []string{s.c.TableTopic, s.c.StateTopic} {
		if topic == "" {
			continue
		}
		t, err := s.track(ctx, topic, m.Logs)
		if err != nil {
			return err
		}
		s.logs = append(s.logs, t)
	}
	for _, topic := range s.c.JoinTopics {
		t, err := s.track(ctx, topic, m.Joins)
		if err != nil {
			return err
		}
		s.joins = append(s.joins, t)
	}
	return s.check(ctx, m)
}

func (s *State) readMeta() (*meta, error) {
	b, found, err := s.store.Get(metaKey(), nil)
	if err != nil {
		return nil, fmt.Errorf("read meta: %w", err)
	}
	if !found {
		return &meta{}, s.mustBeEmpty()
	}
	m, err := parseMeta(b)
	if err != nil {
		return nil, misfitf("%v", err)
	}
	s.raw, found, err = s.store.Get(state.PositionsKey(nil), nil)
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	if !found {
		s.raw = nil
	}
	return m, nil
}

func (s *State) mustBeEmpty() error {
	it, err := s.store.Scan(state.Range{})
	if err != nil {
		return fmt.Errorf("read store: %w", err)
	}
	some := it.Next()
	if err := it.Close(); err != nil {
		return fmt.Errorf("read store: %w", err)
	}
	if some {
		return misfitf("it holds keys but does not say of which positions")
	}
	return nil
}

// track finds out where a log is and where the store stands in it: at the log's
// start where the store holds nothing of it.
func (s *State) track(ctx context.Context, topic string, known []record.Position) (tracked, error) {
	p := record.Partition{Topic: topic, Partition: s.c.Partition}
	ends, err := s.c.Logs.Ends(ctx, p)
	if err != nil {
		return tracked{}, fmt.Errorf("ends of %s: %w", p, err)
	}
	pos, ok := find(known, topic)
	if !ok {
		pos = record.Position{Topic: topic, Partition: s.c.Partition, Offset: ends.Start, LeaderEpoch: -1}
	}
	t := tracked{pos: pos, flushed: pos.Offset, ends: ends}
	return t, nil
}

func (s *State) parsePositions() error {
	if s.raw == nil {
		return nil
	}
	p, err := ParsePositions(s.raw)
	if err != nil {
		return fmt.Errorf("%s: %w", s.c.StateTopic, err)
	}
	if p.Cluster != s.c.Cluster {
		return fmt.Errorf("the positions in %s are of cluster %q, this is cluster %q; was the topic copied? Delete it, or run the group under another name", s.c.StateTopic, p.Cluster, s.c.Cluster)
	}
	s.positions, s.raw = p, nil
	return nil
}
