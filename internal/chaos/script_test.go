package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The kinds of faults.
const (
	faultKill    = "kill"    // SIGKILL of an instance, which is started again
	faultFreeze  = "freeze"  // SIGSTOP of an instance, for shorter or longer than its session
	faultRestart = "restart" // SIGTERM of an instance, which is started again at once
	faultAdd     = "add"     // an instance comes, new or known
	faultLeave   = "leave"   // an instance gives its tasks away and goes
	faultQuit    = "quit"    // an instance stops, goes, and says nothing
	faultVanish  = "vanish"  // SIGKILL of an instance, which does not come back
	faultBroker  = "broker"  // SIGKILL of a broker, which is started again
)

// action is one fault: what becomes of whom, when and for how long.
type action struct {
	At    time.Duration
	Kind  string
	Who   int // instance, or node of the cluster
	Lasts time.Duration
	Early bool // also before the process has committed anything
}

func (a action) String() string {
	s := fmt.Sprintf("%6.1fs %s %d", a.At.Seconds(), a.Kind, a.Who)
	if a.Lasts > 0 {
		s += fmt.Sprintf(" for %v", a.Lasts)
	}
	if a.Early {
		s += ", early or not"
	}
	return s
}

// plan says what a script is made of.
type plan struct {
	seed     uint64
	every    time.Duration // from one fault to the next, about
	duration time.Duration // 0: the deck once
	nodes    int
	deck     []string
}

// The decks from which faults are drawn: each is dealt out, shuffled, before it is
// drawn from again.
var (
	longDeck = append(slices.Repeat([]string{faultKill}, 10), faultFreeze, faultFreeze, faultRestart,
		faultAdd, faultAdd, faultAdd, faultLeave, faultQuit, faultVanish, faultBroker, faultBroker)
	shortDeck = append(slices.Repeat([]string{faultKill}, 10), faultFreeze, faultAdd, faultLeave, faultBroker)
)

// firstInstances is how many instances a run begins with; there are never fewer
// than leastInstances and never more than mostInstances.
const (
	firstInstances = 3
	leastInstances = 2
	mostInstances  = 4
)

// scripter deals out faults and knows whom they can meet.
type scripter struct {
	plan
	rnd    *rand.Rand
	hand   []string
	live   []int
	gone   []int
	next   int
	busy   map[int]time.Duration // instance: until when it is down, frozen or on its way
	broker time.Duration         // until when one is down
	node   int
}

// script returns the faults of a plan in order. It depends on nothing but the plan.
func script(p plan) []action {
	s := &scripter{plan: p, rnd: rand.New(rand.NewPCG(p.seed, 77)), busy: map[int]time.Duration{}}
	for range firstInstances {
		s.live = append(s.live, s.next)
		s.next++
	}
	var out []action
	for at := s.gap(); ; at += s.gap() {
		if p.duration > 0 && at > p.duration || p.duration == 0 && len(out) == len(p.deck) {
			return out
		}
		a := s.action(at)
		out, at = append(out, a), a.At
	}
}

// gap is between half and three halves of the interval.
func (s *scripter) gap() time.Duration {
	return s.every/2 + time.Duration(s.rnd.Int64N(int64(s.every)))
}

func (s *scripter) action(at time.Duration) action {
	if len(s.hand) == 0 {
		s.hand = slices.Clone(s.deck)
		s.rnd.Shuffle(len(s.hand), func(i, j int) { s.hand[i], s.hand[j] = s.hand[j], s.hand[i] })
	}
	// The first card that can be played; where none can, a kill, if need be later.
	for i, kind := range s.hand {
		if a, ok := s.play(at, kind); ok {
			s.hand = slices.Delete(s.hand, i, i+1)
			return a
		}
	}
	for {
		if a, ok := s.play(at, faultKill); ok {
			return a
		}
		at += s.every / 4
	}
}

func (s *scripter) play(at time.Duration, kind string) (action, bool) {
	a := action{At: at, Kind: kind}
	switch kind {
	case faultBroker:
		if s.nodes == 1 || at < s.broker {
			return a, false
		}
		s.node = (s.node + 1 + s.rnd.IntN(2)) % s.nodes
		a.Who, a.Lasts = s.node+1, s.between(time.Second, 7*time.Second)
		s.broker = at + a.Lasts + brokerBack
		return a, true
	case faultAdd:
		if len(s.live) >= mostInstances {
			return a, false
		}
		a.Who = s.comer(at)
		s.live = append(s.live, a.Who)
		return a, true
	}
	ready := s.ready(at)
	leaving := kind == faultLeave || kind == faultQuit || kind == faultVanish
	if leaving && len(s.live) <= leastInstances || len(ready) == 0 {
		return a, false
	}
	a.Who = ready[s.rnd.IntN(len(ready))]
	switch kind {
	case faultKill:
		if s.rnd.IntN(8) == 0 { // longer than the session: others take over
			a.Lasts = s.between(session, session+4*time.Second)
		} else {
			a.Lasts = s.between(0, time.Second)
		}
		a.Early = s.rnd.IntN(4) == 0
		s.busy[a.Who] = at + a.Lasts + starting
	case faultFreeze:
		a.Lasts = s.between(500*time.Millisecond, session/2)
		if s.rnd.IntN(2) == 0 {
			a.Lasts = s.between(session+time.Second, 2*session+3*time.Second)
		}
		s.busy[a.Who] = at + a.Lasts
	case faultRestart:
		s.busy[a.Who] = at + 2*starting
	default:
		s.live = slices.DeleteFunc(s.live, func(i int) bool { return i == a.Who })
		s.gone = append(s.gone, a.Who)
		s.busy[a.Who] = at + childDrain + starting
	}
	return a, true
}

const (
	starting   = time.Second      // after its start a process may be killed again
	brokerBack = 15 * time.Second // a broker is back in the cluster, about
)

// ready are the instances that faults can meet. Some are still starting then.
func (s *scripter) ready(at time.Duration) []int {
	var out []int
	for _, i := range s.live {
		if s.busy[i] <= at {
			out = append(out, i)
		}
	}
	return out
}

// comer is an instance that was there before, with an old store, or a new one.
func (s *scripter) comer(at time.Duration) int {
	if i := slices.IndexFunc(s.gone, func(i int) bool { return s.busy[i] <= at }); i >= 0 && s.rnd.IntN(2) == 0 {
		who := s.gone[i]
		s.gone = slices.Delete(s.gone, i, i+1)
		return who
	}
	s.next++
	return s.next - 1
}

func (s *scripter) between(from, to time.Duration) time.Duration {
	return (from + time.Duration(s.rnd.Int64N(int64(to-from)))).Round(time.Millisecond)
}

func TestAScriptDependsOnItsSeedAlone(t *testing.T) {
	p := plan{seed: 5, every: 3 * time.Second, duration: 10 * time.Minute, nodes: 3, deck: longDeck}
	a, b := script(p), script(p)
	if !slices.Equal(a, b) {
		t.Error("two scripts of a seed differ")
	}
	p.seed++
	if slices.Equal(a, script(p)) {
		t.Error("two seeds have the same script")
	}
}

func TestAScriptPlaysWhatCanBe(t *testing.T) {
	for seed := range uint64(200) {
		for nodes, p := range map[int]plan{
			3: {seed: seed, every: 2 * time.Second, nodes: 3, deck: shortDeck},
			1: {seed: seed, every: 2 * time.Second, duration: 5 * time.Minute, nodes: 1, deck: longDeck},
		} {
			live, kinds := map[int]bool{0: true, 1: true, 2: true}, map[string]int{}
			for _, a := range script(p) {
				kinds[a.Kind]++
				switch a.Kind {
				case faultBroker:
					continue
				case faultAdd:
					if live[a.Who] {
						t.Fatalf("seed %d: %v is there already", seed, a)
					}
					live[a.Who] = true
					continue
				}
				if !live[a.Who] {
					t.Fatalf("seed %d: %v is not there", seed, a)
				}
				if a.Kind == faultLeave || a.Kind == faultQuit || a.Kind == faultVanish {
					delete(live, a.Who)
				}
				if len(live) < leastInstances || len(live) > mostInstances {
					t.Fatalf("seed %d: %d instances after %v", seed, len(live), a)
				}
			}
			if nodes == 3 && (kinds[faultKill] < 10 || kinds[faultBroker] != 1 || kinds[faultAdd] != 1 || kinds[faultLeave] != 1) {
				t.Errorf("seed %d: the short form has %v", seed, kinds)
			}
			if nodes == 1 && kinds[faultBroker] != 0 {
				t.Errorf("seed %d: the only broker is killed", seed)
			}
		}
	}
}
