package balance

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ProtocolName is the name under which groups agree on this balancer. A group has
// either only members with this balancer or none.
const ProtocolName = "kappa"

// Config says for whom a Balancer speaks.
type Config struct {
	Instance    string
	Incarnation uint64
	Shape       Shape
	// Owned returns what the member may be processing now and the generation of
	// the assignment that gave it, nil and -1 at first. The Balancer owns the map.
	Owned func() (partitions map[string][]int32, generation int32)
	// Fresh returns what local copies the member has of tasks that it does not own;
	// the Balancer owns the map. Nil where there are none.
	Fresh func() map[int32]int64
	// Standbys is how many standbys each task is to have.
	Standbys int32
	// Joining, where it is set, is told before each join which generation the
	// client knows, -1 where none.
	Joining func(generation int32)
	// Received is told each assignment as it arrives, before the client library
	// acts on it; an unread one, which another version of the program has made, is
	// empty. An error returned ends the group session with that error.
	Received func(a Assignment, unread error) error
}

// Balancer is one member's side of the group protocol, and the leader's, too,
// where that member is elected. It implements kgo.GroupBalancer.
type Balancer struct {
	config   Config
	revision atomic.Uint32
}

var _ kgo.GroupBalancer = (*Balancer)(nil)

// New returns the balancer of one member.
func New(c Config) *Balancer {
	c.Shape = c.Shape.sorted()
	return &Balancer{config: c}
}

// Touch makes the next join differ from the last one, so that the broker starts a
// rebalance even where nothing else has changed.
func (b *Balancer) Touch() { b.revision.Add(1) }

// ProtocolName returns [ProtocolName].
func (*Balancer) ProtocolName() string { return ProtocolName }

// IsCooperative returns true.
func (*Balancer) IsCooperative() bool { return true }

// JoinGroupMetadata returns the member's [Join]. What the client library believes
// is owned is left aside for what the member says: it knows what it let go.
func (b *Balancer) JoinGroupMetadata(_ []string, _ map[string][]int32, known int32) []byte {
	if b.config.Joining != nil {
		b.config.Joining(known)
	}
	owned, generation := b.config.Owned()
	var fresh map[int32]int64
	if b.config.Fresh != nil {
		fresh = b.config.Fresh()
	}
	return Join{
		Fresh:       fresh,
		Standbys:    b.config.Standbys,
		Instance:    b.config.Instance,
		Incarnation: b.config.Incarnation,
		Revision:    b.revision.Load(),
		Shape:       b.config.Shape,
		Owned:       owned,
		Generation:  generation,
	}.AppendTo(nil)
}

// ParseSyncAssignment reads what the leader has assigned.
func (b *Balancer) ParseSyncAssignment(raw []byte) (map[string][]int32, error) {
	a, unread := DecodeAssignment(raw)
	if err := b.config.Received(a, unread); err != nil {
		return nil, err
	}
	return a.Partitions(), nil
}

// MemberBalancer reads the members' joins for a leader.
func (*Balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	r := &round{}
	topics := make(map[string]struct{})
	for i := range members {
		if slices.ContainsFunc(r.members, func(m Member) bool { return m.ID == members[i].MemberID }) {
			continue
		}
		m := Member{ID: members[i].MemberID}
		m.Join, m.Err = DecodeJoin(members[i].ProtocolMetadata)
		if id := members[i].InstanceID; id != nil && m.Join.Instance == "" {
			m.Join.Instance = *id
		}
		for _, topic := range m.Join.Shape.Inputs {
			topics[topic] = struct{}{}
		}
		r.members = append(r.members, m)
	}
	return r, topics, nil
}

// round is one rebalance as the client library drives it.
type round struct{ members []Member }

var _ kgo.GroupMemberBalancerOrError = (*round)(nil)

// Balance is not called: BalanceOrError is preferred.
func (r *round) Balance(topics map[string]int32) kgo.IntoSyncAssignment {
	plan, err := r.BalanceOrError(topics)
	if err != nil {
		return nil
	}
	return plan
}

// BalanceOrError computes every member's assignment.
func (r *round) BalanceOrError(topics map[string]int32) (kgo.IntoSyncAssignment, error) {
	assignments, err := Compute(r.members, topics)
	if err != nil {
		return nil, fmt.Errorf("balance group: %w", err)
	}
	p := make(plan, len(assignments))
	for i, a := range assignments {
		s := kmsg.NewSyncGroupRequestGroupAssignment()
		s.MemberID, s.MemberAssignment = r.members[i].ID, a.AppendTo(nil)
		p[i] = s
	}
	slices.SortFunc(p, func(a, b kmsg.SyncGroupRequestGroupAssignment) int {
		return strings.Compare(a.MemberID, b.MemberID)
	})
	return p, nil
}

// plan is what a leader sends to the broker, sorted by member id.
type plan []kmsg.SyncGroupRequestGroupAssignment

// IntoSyncAssignment returns the plan itself.
func (p plan) IntoSyncAssignment() []kmsg.SyncGroupRequestGroupAssignment { return p }
