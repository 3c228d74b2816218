package integration

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/reset"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// hurrying makes an engine's clock run ten times as fast, for what it says only now and
// then.
func hurrying(o *engine.Options) {
	start := time.Now()
	o.Clock = func() time.Time { return start.Add(10 * time.Since(start)) }
}

// progressLine is a line of the log that tells how far a group is.
type progressLine struct {
	done, left, perSecond int64
	eta                   time.Duration // -1: unknown
}

// progress returns the lines of a journal that say what, in their order.
func (j *journal) progress(t *testing.T, what string) (lines []progressLine) {
	t.Helper()
	pattern := `msg="` + what + `"[^\n]* records=(\d+) left=(\d+) per_second=(\d+) eta=(\S+)\n`
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(j.String(), -1) {
		l := progressLine{eta: -1}
		for i, to := range []*int64{&l.done, &l.left, &l.perSecond} {
			*to, _ = strconv.ParseInt(m[i+1], 10, 64)
		}
		if m[4] != "unknown" {
			var err error
			if l.eta, err = time.ParseDuration(m[4]); err != nil {
				t.Errorf("eta: %v", err)
			}
		}
		lines = append(lines, l)
	}
	return lines
}

// moving is a line of a group that goes on.
func (l progressLine) moving() bool { return l.perSecond > 0 }

// fits reports whether a line's time to go is what its other figures say. The rate is
// told as a whole number, the time is reckoned with the exact one.
func (l progressLine) fits() bool {
	if !l.moving() {
		return l.eta < 0
	}
	least := time.Duration(l.left)*time.Second/time.Duration(l.perSecond+1) - time.Second
	most := time.Duration(l.left)*time.Second/time.Duration(l.perSecond) + time.Second
	return l.eta >= 0 && l.eta >= least && l.eta <= most
}

// told waits for a line of the kind that is wanted, whose figures fit together.
func (r *rig) told(j *journal, what, kind string, wanted func(progressLine) bool) {
	r.t.Helper()
	r.until("the log to tell of "+kind, func() bool {
		for _, l := range j.progress(r.t, what) {
			if wanted(l) {
				if !l.fits() {
					r.t.Errorf("%+v does not fit together", l)
				}
				return true
			}
		}
		return false
	})
}

// A bounded run tells what it has done since it began, what is left, how fast it is and
// how long it will take, and that it does not know where nothing moves.
func TestABoundedRunTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	const what, keys = "on the way to the end of the inputs", 20
	in, group := r.topic("in", 1), r.name("g")
	o := r.fast(r.t.TempDir())
	o.Until = &engine.Until{Partitions: map[record.Partition]engine.Point{{Topic: in}: at(1000)}}
	hurrying(&o)
	j := journaled(t, &o)
	e := r.start(o, counting(group, in))
	r.told(j, what, "the begin", func(l progressLine) bool { return l.done == 0 && l.left == 1000 && !l.moving() })
	r.emit(sent(in, 0, 400, keys)...)
	r.told(j, what, "a part", func(l progressLine) bool { return l.done == 400 && l.left == 600 && l.moving() })
	r.emit(sent(in, 400, 600, keys)...)
	r.concluded(e)
	r.equal("table", r.table(group+"-table"), countsOf(1000, keys))
	j.has(t, "all inputs are processed up to their ends")
}

// So does a group that is on its way back to where it stood before a reset.
func TestAGroupTellsHowFarItIsWithItsReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	const what, n, keys = "on the way to where the group stood before its reset", 1000, 20
	in, group, dir := r.topic("in", 1), r.name("g"), r.t.TempDir()
	r.emit(numbers(in, n, keys)...)
	e := r.start(r.fast(dir), counting(group, in))
	r.processed(n, group, e)
	r.quit(group, e)
	r.resetting(reset.Options{Group: group})
	o := r.fast(dir)
	o.BatchBytes = 1 // a commit as often as can be, so that there are some before the gate
	hurrying(&o)
	j := journaled(t, &o)
	gate := make(chan struct{})
	e = r.start(o, fewer(group, in, gate))
	r.told(j, what, "the begin", func(l progressLine) bool { return l.done == 0 && l.left == n && !l.moving() })
	for range 400 {
		gate <- struct{}{}
	}
	r.told(j, what, "a part", func(l progressLine) bool { return l.done > 0 && l.done <= 400 && l.done+l.left == n && l.moving() })
	close(gate)
	r.until("readers to switch", func() bool { return j.says("the group stands where it stood before its reset") })
	r.stop(e)
	r.equal("table", r.table(r.resetTable(group)), halfOf(countsOf(n, keys)))
}
