package balance

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The simulation below plays a group coordinator: it collects joins as bytes,
// lets the leader compute as bytes, and lets members act on their assignments one
// after the other in random order, some of them late or not at all. A member that
// the group has dropped keeps what it held, as a process does that hangs, and
// comes back with its claims.

type simMember struct {
	name       string
	shape      Shape
	held       map[int32]bool
	copies     map[int32]int64
	follows    []int32
	generation int32
	valid      bool // the group knows it since it took what it holds: its fence is good
	mustRejoin bool
}

type sim struct {
	t          *testing.T
	rng        *rand.Rand
	seed       uint64
	partitions map[string]int32
	generation int32
	standbys   int32                 // that one of the members asks for
	in         map[string]*simMember // the group
	away       map[string]*simMember // dropped, may come back
	next       int
	log        []string
}

func (s *sim) note(format string, args ...any) { s.log = append(s.log, fmt.Sprintf(format, args...)) }

func (s *sim) fatalf(format string, args ...any) {
	s.t.Helper()
	for _, l := range s.log[max(0, len(s.log)-40):] {
		s.t.Log(l)
	}
	s.t.Fatalf("seed %d: %s", s.seed, fmt.Sprintf(format, args...))
}

func (m *simMember) join(standbys int32) []byte {
	owned, fresh := map[string][]int32{}, maps.Clone(m.copies)
	for task := range m.held {
		delete(fresh, task)
		for _, topic := range m.shape.Inputs {
			owned[topic] = append(owned[topic], task)
		}
	}
	return Join{Instance: m.name, Incarnation: 7, Shape: m.shape, Owned: owned, Generation: m.generation, Fresh: fresh, Standbys: standbys}.AppendTo(nil)
}

// rebalance runs one generation. The late do not get their assignment, as where
// the next rebalance begins before they sync.
func (s *sim) rebalance(late map[string]bool) {
	s.generation++
	names := slices.Sorted(maps.Keys(s.in))
	var members []kmsg.JoinGroupResponseMember
	for _, name := range names {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID, m.ProtocolMetadata = name, s.in[name].join(s.standbys)
		members = append(members, m)
		s.in[name].mustRejoin = false
	}
	plan := s.plan(members)
	shuffled := slices.Clone(members)
	s.rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if !slices.EqualFunc(plan, s.plan(shuffled), func(a, b kmsg.SyncGroupRequestGroupAssignment) bool {
		return a.MemberID == b.MemberID && bytes.Equal(a.MemberAssignment, b.MemberAssignment)
	}) {
		s.fatalf("the plan depends on the order of members")
	}
	s.rng.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	for _, p := range plan {
		if !late[p.MemberID] {
			s.sync(s.in[p.MemberID], p.MemberAssignment)
		}
	}
}

func (s *sim) plan(members []kmsg.JoinGroupResponseMember) []kmsg.SyncGroupRequestGroupAssignment {
	mb, _, err := (&Balancer{}).MemberBalancer(members)
	if err != nil {
		s.fatalf("%v", err)
	}
	into, err := mb.(*round).BalanceOrError(s.partitions)
	if err != nil {
		s.fatalf("%v", err)
	}
	return slices.Clone(into.IntoSyncAssignment())
}

// sync is what a member does with its assignment: let go, then take.
func (s *sim) sync(m *simMember, raw []byte) {
	a, err := DecodeAssignment(raw)
	if err != nil {
		s.fatalf("%v", err)
	}
	for task := range m.held {
		if !slices.Contains(a.Tasks, task) {
			delete(m.held, task)
			m.mustRejoin = true
		}
	}
	if !m.valid { // what it still holds is lost, and taken anew
		clear(m.held)
	}
	m.generation, m.valid, m.follows = s.generation, true, a.Standbys
	for _, task := range slices.Concat(a.Tasks, a.Standbys) {
		m.copies[task] = int64(s.generation) + s.rng.Int64N(3)
	}
	for _, task := range a.Tasks {
		m.held[task] = true
		for _, o := range s.in {
			if o != m && o.valid && o.held[task] {
				s.fatalf("task %d is given to %s while %s holds it", task, m.name, o.name)
			}
		}
	}
	s.note("gen %d: %s has %v", s.generation, m.name, slices.Sorted(maps.Keys(m.held)))
}

func (s *sim) tasks() int { return int(s.partitions["a"]) }

// someShape returns one of two topologies that may share a group, as during a
// rolling upgrade.
func (s *sim) someShape() Shape {
	if s.rng.IntN(4) == 0 {
		return shape("v2", "a", "b")
	}
	return shape("v1", "a")
}

// event changes the group.
func (s *sim) event() {
	names := slices.Sorted(maps.Keys(s.in))
	away := slices.Sorted(maps.Keys(s.away))
	switch k := s.rng.IntN(5); {
	case k <= 1 || len(names) == 0:
		m := &simMember{name: fmt.Sprintf("m%02d", s.next), shape: s.someShape(), held: map[int32]bool{}, copies: map[int32]int64{}, generation: -1}
		s.next++
		s.in[m.name] = m
		s.note("%s joins", m.name)
	case k == 2 && len(away) > 0:
		m := s.away[away[s.rng.IntN(len(away))]]
		delete(s.away, m.name)
		s.in[m.name] = m
		s.note("%s comes back with %v of gen %d", m.name, slices.Sorted(maps.Keys(m.held)), m.generation)
	case k == 3:
		m := s.in[names[s.rng.IntN(len(names))]]
		delete(s.in, m.name)
		s.note("%s leaves", m.name)
	default:
		m := s.in[names[s.rng.IntN(len(names))]]
		delete(s.in, m.name)
		s.away[m.name], m.valid = m, false
		s.note("%s is dropped", m.name)
	}
}

// settle rebalances until no member has to rejoin and checks what must then hold.
func (s *sim) settle() {
	for rounds := 1; ; rounds++ {
		s.rebalance(nil)
		if !slices.ContainsFunc(slices.Collect(maps.Values(s.in)), func(m *simMember) bool { return m.mustRejoin }) {
			break
		}
		if rounds > 3 {
			s.fatalf("not settled after %d rounds", rounds)
		}
	}
	if len(s.in) == 0 {
		return
	}
	owned := map[int32]string{}
	least, most := s.tasks(), 0
	for _, m := range s.in {
		least, most = min(least, len(m.held)), max(most, len(m.held))
		for task := range m.held {
			if o := owned[task]; o != "" {
				s.fatalf("task %d has two owners, %s and %s", task, o, m.name)
			}
			owned[task] = m.name
		}
	}
	if len(owned) != s.tasks() || most-least > 1 {
		s.fatalf("%d of %d tasks are owned, %d to %d a member", len(owned), s.tasks(), least, most)
	}
	s.checkStandbys()
}

// checkStandbys holds that every task is followed by as many others as may be.
func (s *sim) checkStandbys() {
	followers := map[int32]int{}
	for _, m := range s.in {
		for i, task := range m.follows {
			if m.held[task] || i > 0 && m.follows[i-1] >= task || int(task) >= s.tasks() {
				s.fatalf("%s owns %v and follows %v", m.name, slices.Sorted(maps.Keys(m.held)), m.follows)
			}
			followers[task]++
		}
	}
	want := min(int(s.standbys), len(s.in)-1)
	for task := range int32(s.tasks()) {
		if followers[task] != want {
			s.fatalf("task %d has %d standbys, not %d", task, followers[task], want)
		}
	}
}

func (s *sim) owners() map[int32]string {
	o := map[int32]string{}
	for _, m := range s.in {
		for task := range m.held {
			o[task] = m.name
		}
	}
	return o
}

// leastMoves is the number of owned tasks that any balanced assignment must move.
func (s *sim) leastMoves(before map[int32]string) int {
	count := map[string]int{}
	for _, name := range before {
		if s.in[name] != nil {
			count[name]++
		}
	}
	kept, share, rest := 0, s.tasks()/len(s.in), s.tasks()%len(s.in)
	for name := range s.in {
		quota := share
		if count[name] > share && rest > 0 {
			quota++
			rest--
		}
		kept += min(count[name], quota)
	}
	total := 0
	for _, n := range count {
		total += n
	}
	return total - kept
}

func (s *sim) checkMoves(before map[int32]string) {
	moved := 0
	after := s.owners()
	for task, name := range before {
		if s.in[name] != nil && after[task] != name {
			moved++
		}
	}
	if least := s.leastMoves(before); moved > least {
		s.fatalf("%d tasks moved, %d would do", moved, least)
	}
}

func TestTheProtocolUnderRandomEvents(t *testing.T) {
	seeds := uint64(400)
	if testing.Short() {
		seeds = 50
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := 1 + rng.Int32N(40)
		s := &sim{t: t, standbys: rng.Int32N(4), rng: rng, seed: seed, partitions: map[string]int32{"a": n, "b": n}, in: map[string]*simMember{}, away: map[string]*simMember{}}
		for range 30 {
			before := s.owners()
			s.event()
			if len(s.in) == 0 {
				continue
			}
			if rng.IntN(3) == 0 { // more happens before the group has settled
				late := map[string]bool{}
				for name := range s.in {
					late[name] = rng.IntN(4) == 0
				}
				s.rebalance(late)
				s.event()
				s.settle()
				continue
			}
			s.settle()
			if len(s.away) == 0 && len(s.in) > 0 {
				s.checkMoves(before)
			}
		}
	}
}
