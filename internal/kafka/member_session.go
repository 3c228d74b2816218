package kafka

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/internal/kafka/balance"
)

// This file is what happens to a member while it is in its group. The client
// calls, one after the other and never at once:
//
//	join ► owned ► (leader: balance) ► receive ► onRevoked, if something goes ► onAssigned
//
// and onLost wherever the group has dropped the member.

// owned is what the member claims when it joins.
func (m *Member) owned() (map[string][]int32, int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held.partitions(), m.fence.Generation
}

// joining notes which generation the client knows.
func (m *Member) joining(known int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = known
}

// receive takes an assignment as it arrives, before the callbacks that follow it.
// One that cannot be read is an empty one that was not made for this process.
func (m *Member) receive(a balance.Assignment, unread error) error {
	if unread != nil {
		m.log.Warn("assignment", "err", unread)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.received = a
	if a.Incarnation == m.incarnation {
		m.stale = 0
		return nil
	}
	if m.stale++; m.stale > maxStale {
		return errStaleAssignment
	}
	return nil
}

// maxStale bounds how often the leader is asked again. Once is enough for a
// leader of any version that has this protocol.
const maxStale = 8

// target returns what the listener is to hold by the newest assignment. One that
// was made for an earlier process of this instance is good as long as that
// process ran the same topology; else nothing is taken until the leader has seen
// this one's. confirmed says that the assignment was made for this process.
func (m *Member) target() (tasks taskSet, confirmed bool, refused string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.received
	confirmed = a.Incarnation == m.incarnation
	if confirmed && a.Refused != "" {
		return taskSet{}, true, a.Refused
	}
	if !confirmed && a.Fingerprint != m.config.Shape.Fingerprint {
		return taskSet{}, false, ""
	}
	return tasksOf(a.Partitions()), confirmed, ""
}

// enter begins a callback: it waits for the call before it and reports whether
// the listener may still be called.
func (m *Member) enter() bool {
	m.calls.Lock()
	return m.heard()
}

// heard reports whether the listener may be called.
func (m *Member) heard() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.silent
}

// renew hands out the fence of the current generation. Callbacks alone may ask
// the client for it: anywhere else it may belong to a later assignment. Where the
// broker has given the member a new id, it had dropped the old one, and others
// may have had the tasks since: they are lost, whatever the client believes.
func (m *Member) renew(added taskSet, always bool) {
	id, generation := m.cl.GroupMetadata()
	f := Fence{Group: m.config.Group, Member: id, Generation: generation}
	if m.config.Static {
		f.Instance = m.config.Instance
	}
	m.mu.Lock()
	changed := f != m.fence
	m.fence = f
	m.held.add(added)
	m.mu.Unlock()
	if (changed || always) && m.heard() {
		m.listener.Assigned(f, added.list())
	}
}

// dropIfReplaced gives up everything where the member's id has changed, and where
// the group has been through a generation without the member: it keeps a static
// member that did not come to a rebalance in time, but its leader went by what that
// one had said before, and may have given its tasks away.
func (m *Member) dropIfReplaced() {
	id, generation := m.cl.GroupMetadata()
	m.mu.Lock()
	replaced := m.fence.Member != "" && m.fence.Member != id
	missed := m.known >= 0 && generation > m.known+1
	m.known = max(m.known, generation)
	m.mu.Unlock()
	if replaced || missed {
		m.drop()
	}
}

// drop tells the listener that all tasks are lost.
func (m *Member) drop() {
	m.mu.Lock()
	lost := m.held
	m.held, m.fence = make(taskSet), Fence{Generation: -1}
	m.mu.Unlock()
	if len(lost) > 0 && m.heard() {
		m.listener.Lost(lost.list())
	}
}

// release lets go of tasks under a fence with which they can still commit.
func (m *Member) release(tasks taskSet) {
	if len(tasks) == 0 {
		return
	}
	m.renew(nil, false)
	if m.heard() {
		ctx, cancel := context.WithTimeout(m.ctx, m.config.RebalanceTimeout)
		m.listener.Revoked(ctx, tasks.list())
		cancel()
	}
	m.mu.Lock()
	m.held.remove(tasks)
	m.mu.Unlock()
}

func (m *Member) holding() taskSet {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := make(taskSet, len(m.held))
	s.add(m.held)
	return s
}

// onRevoked is called in a new session that took something away, before
// onAssigned; at the end of every session; and with everything on Close.
func (m *Member) onRevoked(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	defer m.calls.Unlock()
	if !m.enter() || len(lost) == 0 {
		return
	}
	m.dropIfReplaced()
	m.release(m.holding().touched(lost))
}

// onAssigned ends every rebalance.
func (m *Member) onAssigned(context.Context, *kgo.Client, map[string][]int32) {
	defer m.calls.Unlock()
	if !m.enter() {
		return
	}
	m.dropIfReplaced()
	target, confirmed, refused := m.target()
	changed := m.holding().without(target)
	m.release(changed)
	if refused != "" {
		m.fail(&RefusedError{Group: m.config.Group, Reason: refused})
		return
	}
	m.renew(target.without(m.holding()), true)
	if confirmed {
		m.follow()
	}
	switch {
	case !confirmed:
		m.log.Info("assignment was made for an earlier process, asking the group for a new one")
	case !changed.within(target): // the client rejoins only after what it revoked itself
	default:
		return
	}
	m.balancer.Touch()
	m.cl.ForceRebalance()
}

// follow tells the listener which tasks it is to follow, where that has changed.
func (m *Member) follow() {
	m.mu.Lock()
	tasks := m.received.Standbys
	changed := !slices.Equal(tasks, m.follows)
	m.follows = tasks
	m.mu.Unlock()
	if changed && m.heard() {
		m.listener.Follow(slices.Clone(tasks))
	}
}

// onLost is called where the group has dropped the member.
func (m *Member) onLost(context.Context, *kgo.Client, map[string][]int32) {
	defer m.calls.Unlock()
	if m.enter() {
		m.drop()
	}
}
