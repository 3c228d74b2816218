package changelog

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// check compares the store with the logs and returns a misfit where it cannot be
// brought up to date by a replay.
func (s *State) check(ctx context.Context, m *meta) error {
	if len(m.Logs) == 0 && len(m.Joins) == 0 {
		s.adopt()
		return nil
	}
	if m.Cluster != s.c.Cluster {
		return misfitf("it is of cluster %q, this is cluster %q", m.Cluster, s.c.Cluster)
	}
	if err := s.checkTopics(m); err != nil {
		return err
	}
	age := s.c.Clock().Sub(time.UnixMilli(m.WrittenAt))
	for _, t := range append(s.logs, s.joins...) {
		if err := s.checkLog(ctx, &t, age); err != nil {
			return err
		}
	}
	s.adopt()
	return nil
}

// checkTopics refuses a store that holds a log that is no longer followed: its
// keys would grow old unnoticed.
func (s *State) checkTopics(m *meta) error {
	for _, p := range append(m.Logs, m.Joins...) {
		_, log := find(positionsOf(s.logs), p.Topic)
		_, join := find(positionsOf(s.joins), p.Topic)
		if !log && !join {
			return misfitf("it holds %s, which the group no longer has", p.Topic)
		}
		if p.Partition != s.c.Partition {
			return misfitf("it holds %s, this is partition %d", p.Of(), s.c.Partition)
		}
	}
	return nil
}

func (s *State) checkLog(ctx context.Context, t *tracked, age time.Duration) error {
	p, e := t.pos, t.ends
	switch {
	case p.TopicID.Known() && e.TopicID.Known() && p.TopicID != e.TopicID:
		return misfitf("topic %s was created again: its id was %s and is %s", p.Topic, p.TopicID, e.TopicID)
	case p.Offset > e.HighWatermark:
		return misfitf("its position %s is beyond the log, which ends at %d", p, e.HighWatermark)
	case p.Offset < e.Start:
		return misfitf("its position %s is before the log, which begins at %d", p, e.Start)
	case e.LeaderEpoch >= 0 && p.LeaderEpoch > e.LeaderEpoch:
		return misfitf("its leader epoch %d of %s is beyond the log's %d", p.LeaderEpoch, p.Of(), e.LeaderEpoch)
	case p.Offset < e.HighWatermark && s.tooOld(age):
		return misfitf("it is %s old, more than half of the %s for which deletions are kept", age.Round(time.Second), s.c.DeleteRetention)
	case age < -time.Hour:
		return misfitf("it was written %s from now: a clock is wrong", (-age).Round(time.Second))
	}
	return s.checkEpoch(ctx, p)
}

func (s *State) tooOld(age time.Duration) bool {
	return s.c.DeleteRetention > 0 && age > s.c.DeleteRetention/2
}

// checkEpoch asks whether the log still holds what was read in the position's
// epoch, or has lost it to another leader.
func (s *State) checkEpoch(ctx context.Context, p record.Position) error {
	src, ok := s.c.Logs.(EpochSource)
	if !ok || p.LeaderEpoch < 0 || p.Offset == 0 {
		return nil
	}
	end, err := src.EpochEnd(ctx, p.Of(), p.LeaderEpoch)
	if err != nil {
		return fmt.Errorf("end of epoch %d of %s: %w", p.LeaderEpoch, p.Of(), err)
	}
	if end >= 0 && end < p.Offset {
		return misfitf("the log of %s has lost what the store holds: leader epoch %d ended at %d", p, p.LeaderEpoch, end)
	}
	return nil
}

// adopt takes over the identity of the logs as they are now.
func (s *State) adopt() {
	for _, ts := range [][]tracked{s.logs, s.joins} {
		for i := range ts {
			ts[i].pos.Cluster, ts[i].pos.TopicID = s.c.Cluster, ts[i].ends.TopicID
		}
	}
}
