package tiered

import (
	"math"

	"github.com/seed-73111be4/kappa/sources"
)

// limit is the latest timestamp that a partition of a stage may show: the earliest that
// any partition in the archive stands at, and the skew. One that has nothing ready
// stands where it was last; one that has never shown anything holds all others back, for
// it is about to. One that is still deciding holds back those in the archive, as it may
// be about to join them, but nobody who is live: its bucket may be away. Where nobody
// reads the archive there is no limit.
func (s *Source) limit(of stage) int64 {
	earliest, some := int64(math.MaxInt64), false
	for _, p := range s.parts {
		if p.stage == deciding && of == past && s.c.Skew >= 0 {
			return none
		}
		if p.stage != past && (p.stage != over || len(p.ready) == 0) {
			continue
		}
		some = true
		at := p.clock
		if len(p.ready) > 0 {
			at = max(at, first(&p.ready[0]))
		}
		earliest = min(earliest, at)
	}
	if !some || s.c.Skew < 0 {
		return math.MaxInt64
	}
	if earliest == none {
		return none
	}
	return saturated(earliest, s.c.Skew.Milliseconds())
}

func saturated(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// first is the timestamp of the first record; what has none may pass at any time.
func first(f *sources.Fetched) int64 {
	if len(f.Records) == 0 {
		return none
	}
	return f.Records[0].Timestamp
}

// holdBack keeps the live source from bringing more of a partition that is ahead of
// those in the archive; it lets it go on when that is over.
func (s *Source) holdBack(p *part) {
	ahead := p.stage == present && len(p.ready) > 0 && !p.paused
	if ahead == p.held {
		return
	}
	p.held = ahead
	switch {
	case ahead:
		s.c.Live.Pause(p.p)
	case !p.paused && p.stage == present:
		s.c.Live.Resume(p.p)
	}
}
