package engine

import (
	"testing"
	"time"
)

func TestAPaceIsThatOfTheLastLooks(t *testing.T) {
	var p Pace
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	if rate := p.Look(1000, now); rate != 0 {
		t.Errorf("%v a second, of one look", rate)
	}
	if rate := p.Look(1100, now); rate != 0 {
		t.Errorf("%v a second, of one moment", rate)
	}
	for i := range 20 { // 100 a second, then 10
		now = now.Add(time.Second)
		p.Look(1100+100*int64(i+1), now)
	}
	for i := range 9 {
		now = now.Add(time.Second)
		rate := p.Look(3100+10*int64(i+1), now)
		if i == 0 && (rate <= 10 || rate >= 100) || i == 8 && rate != 10 {
			t.Errorf("%v a second at look %d of another pace", rate, i)
		}
	}
	if rate := p.Look(0, now.Add(time.Second)); rate != 0 { // another reset has taken the group back
		t.Errorf("%v a second, backwards", rate)
	}
}

func TestWhenAllWillBeDone(t *testing.T) {
	for _, test := range []struct {
		left int64
		rate float64
		want time.Duration
		ok   bool
	}{
		{300, 100, 3 * time.Second, true},
		{1, 100, 0, true},
		{0, 100, 0, true},
		{9_000_000, 2500, time.Hour, true},
		{300, 0, 0, false},
		{0, 0, 0, false},
	} {
		if got, ok := ETA(test.left, test.rate); got != test.want || ok != test.ok {
			t.Errorf("%d at %v a second: %v, %v", test.left, test.rate, got, ok)
		}
	}
}
