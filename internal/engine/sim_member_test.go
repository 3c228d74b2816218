package engine

import (
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/kafka/balance"
)

// simMember is a process's membership: what kafka.Member promises its listener,
// over the model of the coordinator.
type simMember struct {
	p          *simProcess
	phase      memberPhase
	id         string // the broker's, and its generation, as last heard
	generation int32
	known      int32 // generation as of the last join
	reply      *groupReply
	held       []kafka.TaskTopics // what the listener has
	client     []kafka.TaskTopics // what the client believes is assigned
	fence      kafka.Fence
	revision   uint32
	beat       time.Time
	deaf       time.Time // until then nothing reaches the coordinator
	slow       time.Time // until then it is heard but does not join
	assignment balance.Assignment
	revoking   []kafka.TaskTopics
	unacked    *int
	patience   time.Time // of the revoke under way
	again      bool      // to join once more
	closing    bool      // the last revoke: everything goes
	leave      bool
}

type memberPhase uint8

const (
	memberOut memberPhase = iota // is to join
	memberJoining
	memberSyncing
	memberRevoking // the listener has been asked to let go
	memberStable
	memberClosed
)

func (m *simMember) offer(w *world) {
	switch {
	case m.phase == memberClosed || !m.p.initialized():
	case m.phase == memberOut && m.slow.After(w.now):
		w.wake(m.slow)
		w.due(m, 4, later(m.beat, m.deaf))
	case m.phase == memberOut, m.reply != nil:
		w.due(m, 8, m.deaf)
	case m.phase == memberRevoking:
		if *m.unacked == 0 || w.now.After(m.patience) {
			w.offer(m, 8)
			return
		}
		w.wake(m.patience.Add(time.Millisecond))
		w.due(m, 4, later(m.beat, m.deaf))
	case m.phase == memberStable:
		w.due(m, 4, later(m.beat, m.deaf))
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func (m *simMember) act(w *world) {
	switch {
	case m.phase == memberOut && m.slow.After(w.now):
		m.heartbeat(w)
	case m.phase == memberOut:
		m.join(w)
	case m.phase == memberJoining:
		m.joined(*m.reply)
	case m.phase == memberSyncing:
		m.synced(*m.reply)
	case m.phase == memberRevoking && (*m.unacked == 0 || w.now.After(m.patience)):
		m.released()
	default:
		m.heartbeat(w)
	}
}

// listen takes an answer; one that nobody waits for any more means nothing.
func (m *simMember) listen(r groupReply) {
	if m.phase == memberJoining || m.phase == memberSyncing {
		m.reply = &r
	}
}

func (m *simMember) join(w *world) {
	m.p.noteEnds()
	j := balance.Join{
		Instance: m.p.name, Incarnation: m.p.incarnation, Revision: m.revision, Shape: simShape,
		Owned: partitionsOf(m.held), Generation: m.fence.Generation,
	}
	m.phase, m.known = memberJoining, m.generation
	w.say("%s joins as %q holding %v since %d", m.p, m.id, tasksOf(m.held), m.fence.Generation)
	w.broker.group.join(m.id, m.p.name, j.AppendTo(nil), m.listen)
}

func (m *simMember) joined(r groupReply) {
	m.reply = nil
	if r.err != nil {
		m.failed(r.err, false)
		return
	}
	m.id, m.generation, m.phase = r.id, r.generation, memberSyncing
	var all map[string][]byte
	if r.members != nil {
		all = m.balance(r.members)
	}
	m.p.w.broker.group.sync(m.id, m.p.name, m.generation, all, m.listen)
}

// balance computes the assignments as the leader.
func (m *simMember) balance(seats []*simSeat) map[string][]byte {
	var members []balance.Member
	for _, s := range seats {
		j, err := balance.DecodeJoin(s.meta)
		if m.p.w.mutant.hastyBalance {
			j.Owned = nil
		}
		members = append(members, balance.Member{ID: s.id, Join: j, Err: err})
	}
	all, err := balance.Compute(members, m.p.w.broker.topics)
	if err != nil {
		m.p.w.violate("balance: %v", err)
		return nil
	}
	out := map[string][]byte{}
	for i, a := range all {
		out[members[i].ID] = a.AppendTo(nil)
		m.p.w.say("%s assigns %v to %s (%s)", m.p, a.Tasks, members[i].ID, members[i].Join.Instance)
	}
	return out
}

func (m *simMember) synced(r groupReply) {
	m.reply = nil
	if r.err != nil {
		m.failed(r.err, false)
		return
	}
	a, err := balance.DecodeAssignment(r.assignment)
	if err != nil {
		m.p.w.violate("assignment: %v", err)
	}
	m.assignment = a
	m.beat = m.p.w.now.Add(simHeartbeat)
	m.dropIfReplaced()
	now := taskTopics(a)
	m.again = len(without(m.client, now)) > 0 // the client joins again where it has lost something
	m.client = now
	m.revoking = without(m.held, m.target())
	if len(m.revoking) == 0 {
		m.released()
		return
	}
	m.renew(nil, false)
	m.revoke()
}

// target is what the member is to hold.
func (m *simMember) target() []kafka.TaskTopics {
	a := m.assignment
	if a.Incarnation != m.p.incarnation && a.Fingerprint != simShape.Fingerprint {
		return nil
	}
	return taskTopics(a)
}

func taskTopics(a balance.Assignment) (out []kafka.TaskTopics) {
	for _, t := range a.Tasks {
		out = append(out, kafka.TaskTopics{Task: t, Topics: a.Topics})
	}
	return out
}

func (m *simMember) revoke() {
	m.phase, m.patience = memberRevoking, m.p.w.now.Add(simRebalanceTimeout)
	m.unacked = new(int) // late answers of an earlier revoke count for nothing
	m.p.revoked(m.revoking, m.unacked)
}

// released goes on when the tasks are let go, or nobody waits any longer.
func (m *simMember) released() {
	gone := m.revoking
	m.held, m.revoking = without(m.held, gone), nil
	if m.closing {
		m.depart()
		return
	}
	m.renew(without(m.target(), m.held), true)
	m.phase = memberStable
	if m.again || len(gone) > 0 || m.assignment.Incarnation != m.p.incarnation {
		m.revision++
		m.phase = memberOut
	}
}

// renew hands out the fence of the present generation.
func (m *simMember) renew(added []kafka.TaskTopics, always bool) {
	f := kafka.Fence{Group: simPlan.Group, Member: m.id, Generation: m.generation, Instance: m.p.name}
	changed := f != m.fence
	m.fence = f
	m.held = append(m.held, added...)
	slices.SortFunc(m.held, func(a, b kafka.TaskTopics) int { return int(a.Task - b.Task) })
	if changed || always {
		m.p.assigned(f, added)
	}
}

func (m *simMember) dropIfReplaced() {
	missed := m.known >= 0 && m.generation > m.known+1 && !m.p.w.mutant.missedIsFine
	m.known = max(m.known, m.generation)
	if missed || m.fence.Member != "" && m.fence.Member != m.id {
		m.drop()
	}
}

func (m *simMember) drop() {
	lost := m.held
	m.held, m.fence = nil, kafka.Fence{Generation: -1}
	if len(lost) > 0 {
		m.p.lost(lost)
	}
}

func (m *simMember) heartbeat(w *world) {
	m.beat = w.now.Add(simHeartbeat)
	err := w.broker.group.heartbeat(m.id, m.p.name, m.generation)
	if err != nil && m.phase == memberStable {
		m.failed(err, true)
	}
}

// failed goes on after an error of the coordinator. lost says that the client
// tells its user so at once; in a join it does not.
func (m *simMember) failed(err error, lost bool) {
	m.p.w.say("%s: member: %v", m.p, err)
	m.phase = memberOut
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		m.drop()
		m.phase = memberClosed
		m.p.fail(err, true)
		return
	case errors.Is(err, kerr.RebalanceInProgress):
		return
	case errors.Is(err, kerr.UnknownMemberID):
		m.id = ""
	}
	if lost {
		m.client, m.generation = nil, -1
		m.drop()
	}
}

// close gives everything back and ends the membership; a static member keeps its
// seat unless it leaves.
func (m *simMember) close(leave bool) {
	if m.phase == memberClosed {
		return
	}
	m.closing, m.leave, m.reply = true, leave, nil
	m.revoking = m.held
	m.revoke()
}

func (m *simMember) depart() {
	m.phase = memberClosed
	if s := m.p.w.broker.group.seat(m.id); s != nil && m.leave {
		m.p.w.broker.group.remove(s)
	}
}

func tasksOf(ts []kafka.TaskTopics) []int32 {
	var out []int32
	for _, t := range ts {
		out = append(out, t.Task)
	}
	return out
}

func partitionsOf(ts []kafka.TaskTopics) map[string][]int32 {
	out := map[string][]int32{}
	for _, t := range ts {
		for _, topic := range t.Topics {
			out[topic] = append(out[topic], t.Task)
		}
	}
	return out
}

// without returns the tasks of a that are not in b.
func without(a, b []kafka.TaskTopics) []kafka.TaskTopics {
	var out []kafka.TaskTopics
	for _, t := range a {
		if !slices.ContainsFunc(b, func(o kafka.TaskTopics) bool { return o.Task == t.Task }) {
			out = append(out, t)
		}
	}
	return out
}
