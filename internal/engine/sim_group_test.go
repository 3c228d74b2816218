package engine

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/seed-73111be4/kappa/internal/kafka"
)

// simGroup is the coordinator of the group: the classic protocol, with static
// members.
type simGroup struct {
	w          *world
	state      groupState
	generation int32
	members    []*simSeat
	deadline   time.Time // of the members' joins
	leader     *simSeat
	named      int // members so far, for their ids
}

type groupState uint8

const (
	groupEmpty groupState = iota
	groupPreparing
	groupCompleting
	groupStable
)

// simSeat is a member as the coordinator knows it.
type simSeat struct {
	id, instance string
	meta         []byte
	assignment   []byte
	heard        time.Time
	joined       bool
	waiting      func(groupReply) // of a join or a sync
}

// groupReply answers a join or a sync.
type groupReply struct {
	err        error
	id         string
	generation int32
	members    []*simSeat // of a leader's join
	assignment []byte
}

func (g *simGroup) seat(id string) *simSeat {
	for _, s := range g.members {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (g *simGroup) instance(name string) *simSeat {
	for _, s := range g.members {
		if s.instance == name && name != "" {
			return s
		}
	}
	return nil
}

func (s *simSeat) answer(r groupReply) {
	if s.waiting != nil {
		fn := s.waiting
		s.waiting = nil
		fn(r)
	}
}

// know finds the member that a request is of.
func (g *simGroup) know(id, instance string) (*simSeat, error) {
	if s := g.instance(instance); s != nil && s.id != id {
		return nil, kerr.FencedInstanceID
	}
	s := g.seat(id)
	if s == nil {
		return nil, kerr.UnknownMemberID
	}
	return s, nil
}

// join takes a member in; the answer comes when all have joined.
func (g *simGroup) join(id, instance string, meta []byte, answer func(groupReply)) {
	s := g.instance(instance)
	switch {
	case id == "" && s != nil:
		g.replace(s, meta, answer)
		return
	case id == "":
		g.named++
		s = &simSeat{id: fmt.Sprintf("m%d", g.named), instance: instance}
		g.members = append(g.members, s)
	default:
		var err error
		if s, err = g.know(id, instance); err != nil {
			answer(groupReply{err: err})
			return
		}
	}
	same := bytes.Equal(s.meta, meta)
	s.heard, s.waiting = g.w.now, answer
	if g.state == groupStable && same && s != g.leader {
		s.answer(groupReply{id: s.id, generation: g.generation})
		return
	}
	s.meta, s.joined = meta, true
	g.prepare()
}

// replace lets a static member come back under a new id. A stable group does not
// look at what it says.
func (g *simGroup) replace(s *simSeat, meta []byte, answer func(groupReply)) {
	s.answer(groupReply{err: kerr.FencedInstanceID})
	g.named++
	g.w.say("group: %s comes back as m%d", s.id, g.named)
	s.id, s.heard, s.waiting, s.meta = fmt.Sprintf("m%d", g.named), g.w.now, answer, meta
	if g.state == groupStable {
		s.answer(groupReply{id: s.id, generation: g.generation})
		return
	}
	s.joined = true
	g.prepare()
}

// prepare begins a rebalance, or goes on with it.
func (g *simGroup) prepare() {
	if g.state != groupPreparing {
		g.w.say("group: rebalance after generation %d", g.generation)
		if g.state == groupCompleting {
			for _, s := range g.members {
				if !s.joined { // waits for its sync
					s.answer(groupReply{err: kerr.RebalanceInProgress})
				}
			}
		}
		g.state, g.deadline = groupPreparing, g.w.now.Add(simRebalanceTimeout)
	}
	g.tryJoined()
}

func (g *simGroup) tryJoined() {
	if g.state == groupPreparing && !slices.ContainsFunc(g.members, func(s *simSeat) bool { return !s.joined }) {
		g.allJoined()
	}
}

// allJoined ends the joins: members that did not come are gone, but for static ones.
func (g *simGroup) allJoined() {
	g.members = slices.DeleteFunc(g.members, func(s *simSeat) bool { return !s.joined && s.instance == "" })
	g.generation++
	g.leader = nil
	for _, s := range g.members {
		if s.joined && g.leader == nil {
			g.leader = s
		}
	}
	if g.leader == nil {
		g.state = groupEmpty
		if len(g.members) > 0 {
			g.state = groupStable // static members that are away keep what they had
		}
		return
	}
	g.state = groupCompleting
	g.w.say("group: generation %d of %d members", g.generation, len(g.members))
	for _, s := range slices.Clone(g.members) {
		if !s.joined {
			continue
		}
		s.joined, s.heard = false, g.w.now
		r := groupReply{id: s.id, generation: g.generation}
		if s == g.leader {
			r.members = slices.Clone(g.members)
		}
		s.answer(r)
	}
}

// sync hands out assignments; the leader's brings them all.
func (g *simGroup) sync(id, instance string, generation int32, all map[string][]byte, answer func(groupReply)) {
	s, err := g.know(id, instance)
	switch {
	case err != nil:
	case generation != g.generation:
		err = kerr.IllegalGeneration
	case g.state == groupPreparing:
		err = kerr.RebalanceInProgress
	}
	if err != nil {
		answer(groupReply{err: err})
		return
	}
	s.heard, s.waiting = g.w.now, answer
	if g.state == groupCompleting && s == g.leader {
		g.state = groupStable
		for _, o := range g.members {
			o.assignment = all[o.id]
		}
	}
	if g.state == groupStable {
		for _, o := range g.members {
			o.answer(groupReply{id: o.id, generation: g.generation, assignment: o.assignment})
		}
	}
}

func (g *simGroup) heartbeat(id, instance string, generation int32) error {
	s, err := g.know(id, instance)
	if err != nil {
		return err
	}
	if generation != g.generation {
		return kerr.IllegalGeneration
	}
	s.heard = g.w.now
	if g.state == groupPreparing {
		return kerr.RebalanceInProgress
	}
	return nil
}

// validate is what keeps zombies from committing.
func (g *simGroup) validate(f kafka.Fence) error {
	if _, err := g.know(f.Member, f.Instance); err != nil {
		return err
	}
	if f.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	return nil
}

func (g *simGroup) remove(s *simSeat) {
	g.w.say("group: %s is gone", s.id)
	g.members = slices.DeleteFunc(g.members, func(o *simSeat) bool { return o == s })
	switch {
	case g.state == groupPreparing:
		g.tryJoined()
	case len(g.members) == 0:
		g.state, g.leader = groupEmpty, nil
		g.generation++
	default:
		g.prepare()
	}
}

func (g *simGroup) expire() {
	for _, s := range slices.Clone(g.members) {
		if s.waiting == nil && g.w.now.Sub(s.heard) > simSessionTimeout {
			g.remove(s)
		}
	}
	if g.state == groupPreparing && g.w.now.After(g.deadline) {
		g.allJoined()
	}
}

func (g *simGroup) offer() {
	for _, s := range g.members {
		if s.waiting == nil {
			g.w.wake(s.heard.Add(simSessionTimeout + time.Millisecond))
		}
	}
	if g.state == groupPreparing {
		g.w.wake(g.deadline.Add(time.Millisecond))
	}
}
