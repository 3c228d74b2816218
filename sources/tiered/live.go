package tiered

import (
	"errors"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
)

// pollLive moves what the live source brings to its partitions, until the source is
// closed or the live one has ended.
func (s *Source) pollLive() {
	for s.ctx.Err() == nil {
		fetched, err := s.c.Live.Poll(s.ctx)
		var full []*part
		for i := range fetched {
			full = s.deliver(full, fetched[i])
		}
		if err != nil && s.ctx.Err() == nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
		}
		s.wake()
		if err != nil {
			return
		}
		s.await(full)
	}
}

// deliver gives a partition what is its own; full are those that have something now.
func (s *Source) deliver(full []*part, f sources.Fetched) []*part {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.parts[f.Partition]
	if p == nil || p.stage != present || f.Epoch != p.turn {
		f.Release()
		return full
	}
	f.Epoch = p.seek.Epoch
	if errors.Is(f.Err, record.ErrOffsetOutOfRange) {
		s.begin(p, f.Next, f.Err) // retention was quicker: perhaps the archive has it
		return full
	}
	p.ready = append(p.ready, f)
	return append(full, p)
}

// await waits until Poll has taken what these partitions have, or does not want it
// now: the live source must not run ahead of its poller.
func (s *Source) await(full []*part) {
	for s.anyWaits(full) {
		select {
		case <-s.room:
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Source) anyWaits(full []*part) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range full {
		if s.parts[p.p] == p && !p.paused && !p.held && len(p.ready) > 0 {
			return true
		}
	}
	return false
}
