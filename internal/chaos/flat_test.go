package chaos

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// settledLife is how old a process is before what it uses counts.
const settledLife = 15 * time.Second

// usage is what processes use over a run. It is safe for concurrent use.
type usage struct {
	mu      sync.Mutex
	samples []sample
}

// sample is what one instance used at one time.
type sample struct {
	at                     time.Time
	memory, routines, open float64
	disk                   float64 // bytes of its state directory
}

func (u *usage) add(s sample) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.samples = append(u.samples, s)
}

// trend compares the first third of a run with the last.
type trend struct {
	First, Last, Max float64 // medians, and the largest of all
}

// rises reports whether the last third is above the first by more than a factor
// and an amount: what was warming up, and noise.
func (t trend) rises(factor, amount float64) bool { return t.Last > t.First*factor+amount }

func (u *usage) trend(of func(sample) float64) trend {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.samples) == 0 {
		return trend{}
	}
	first, last := u.samples[0].at, u.samples[len(u.samples)-1].at
	third := last.Sub(first) / 3
	var early, late, all []float64
	for _, s := range u.samples {
		all = append(all, of(s))
		if s.at.Sub(first) <= third {
			early = append(early, of(s))
		}
		if last.Sub(s.at) <= third {
			late = append(late, of(s))
		}
	}
	return trend{median(early), median(late), slices.Max(all)}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// trends are of memory and disk in bytes, of goroutines and open files.
type trends struct{ Memory, Goroutines, Files, Disk trend }

func (u *usage) trends() trends {
	return trends{
		Memory:     u.trend(func(s sample) float64 { return s.memory }),
		Goroutines: u.trend(func(s sample) float64 { return s.routines }),
		Files:      u.trend(func(s sample) float64 { return s.open }),
		Disk:       u.trend(func(s sample) float64 { return s.disk }),
	}
}

// smallState is what a state directory may hold beside twice the live data: files
// that wait for their compaction, each at least the size of a memtable.
const smallState = 32 << 20

// notFlat says what has grown. live is the size of all keys and values.
func (t trends) notFlat(live float64) (bad []string) {
	for name, c := range map[string]struct {
		trend
		factor, amount float64
	}{
		"memory":     {t.Memory, 1.3, 64 << 20},
		"goroutines": {t.Goroutines, 1.3, 50},
		"open files": {t.Files, 1.3, 50},
	} {
		if c.rises(c.factor, c.amount) {
			bad = append(bad, fmt.Sprintf("%s rises from %.0f to %.0f", name, c.First, c.Last))
		}
	}
	if t.Disk.Max > 2*live+smallState {
		bad = append(bad, fmt.Sprintf("a state directory had %.0f bytes, of %.0f that live", t.Disk.Max, live))
	}
	slices.Sort(bad)
	return bad
}

func TestWhatRisesIsNotFlat(t *testing.T) {
	begin := time.Now()
	fill := func(per float64) trends {
		var u usage
		for i := range 90 {
			u.add(sample{at: begin.Add(time.Duration(i) * time.Second), memory: 1e8 + per*float64(i)*1e6, routines: 100 + per*float64(i), open: 50, disk: 1e6})
		}
		return u.trends()
	}
	if bad := fill(0).notFlat(1e6); len(bad) != 0 {
		t.Errorf("flat, but %q", bad)
	}
	if bad := fill(3).notFlat(1e6); len(bad) != 2 {
		t.Errorf("memory and goroutines rise: %q", bad)
	}
	if bad := fill(0).notFlat(-1e9); len(bad) != 1 {
		t.Errorf("the disk is too full: %q", bad)
	}
}
