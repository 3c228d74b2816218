package engine

import (
	"slices"
	"time"
)

// A Pace is how fast something goes on, over the last ten looks at it: long enough to
// smooth commits, and short enough to follow a change. The zero value has seen nothing.
// It is for one goroutine.
type Pace struct {
	looks []look
}

// look is how much was done at a moment.
type look struct {
	at   time.Time
	done int64
}

const paceLooks = 10

// Look notes how much is done as of now, and returns how much is done in a second: 0
// where nothing is done, or known.
func (p *Pace) Look(done int64, now time.Time) (perSecond float64) {
	p.looks = append(p.looks, look{now, done})
	if old := len(p.looks) - paceLooks; old > 0 {
		p.looks = slices.Delete(p.looks, 0, old)
	}
	first := p.looks[0]
	took := now.Sub(first.at).Seconds()
	if took <= 0 {
		return 0
	}
	return max(0, float64(done-first.done)/took)
}

// ETA is how long it takes at a pace until nothing is left, in whole seconds; ok is
// false where nobody can know.
func ETA(left int64, perSecond float64) (d time.Duration, ok bool) {
	if perSecond <= 0 {
		return 0, false
	}
	return time.Duration(float64(left) / perSecond * float64(time.Second)).Round(time.Second), true
}

// progressAttrs are what a line of the log says of the way to an end.
func progressAttrs(done, left int64, perSecond float64) []any {
	eta := "unknown"
	if d, ok := ETA(left, perSecond); ok {
		eta = d.String()
	}
	return []any{"records", done, "left", left, "per_second", int64(perSecond), "eta", eta}
}
