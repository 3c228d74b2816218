package balance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Member is one member of a group as the leader of a rebalance sees it.
type Member struct {
	ID   string // the broker's id of the member, unique in the group
	Join Join
	// Err says that the join metadata could not be read; such a member is
	// refused, but what it owns still counts.
	Err error
}

// MismatchError says that inputs of one group cannot be read together: partition
// p of one would not hold the keys of partition p of another.
type MismatchError struct {
	Partitions map[string]int32 // by topic; 0 where the topic does not exist
}

// Error names every topic with its number of partitions.
func (e *MismatchError) Error() string {
	var parts []string
	for _, topic := range slices.Sorted(maps.Keys(e.Partitions)) {
		if n := e.Partitions[topic]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s has %d", topic, n))
		} else {
			parts = append(parts, topic+" does not exist")
		}
	}
	return "inputs of one group need equal numbers of partitions, but " + strings.Join(parts, ", ") +
		": create the topics with equal numbers of partitions"
}

// Compute assigns the tasks to the members. It returns one assignment for each
// member, in the order given; partitions are the partition counts of all topics
// that the members consume. Its error is a *MismatchError.
//
// A task goes to the member that owns it as long as the balance allows, else to
// the one with the freshest copy, else to the one with the fewest; it is left out
// of the assignment of its future owner until no other member claims it. Standbys
// are chosen for the future owners.
func Compute(members []Member, partitions map[string]int32) ([]Assignment, error) {
	g, err := admit(members, partitions)
	if err != nil {
		return nil, err
	}
	owners := g.owners()
	known := g.copies(owners)
	targets := g.targets(owners, known)
	g.follow(targets, known)
	for task, m := range targets {
		if m >= 0 && g.grantable(int32(task), m) {
			g.out[m].Tasks = append(g.out[m].Tasks, int32(task))
		}
	}
	return g.out, nil
}

// claim is a member's statement that it owns a task since a generation.
type claim struct {
	member     int
	generation int32
}

// group is one rebalance at work.
type group struct {
	members  []Member
	order    []int // members by precedence: the group itself first
	admitted []int // those of order that fit
	byName   []int // the same in the order of their names
	claims   map[int32][]claim
	inputs   []string // consumed by all admitted members
	tasks    int32
	out      []Assignment
}

// admit finds out who is the group, who fits it and what is consumed.
func admit(members []Member, partitions map[string]int32) (*group, error) {
	g := &group{members: members, claims: claims(members), out: make([]Assignment, len(members))}
	g.order = precedence(members, g.claims)
	for _, i := range g.order {
		g.out[i].Incarnation = members[i].Join.Incarnation
		g.out[i].Fingerprint = members[i].Join.Shape.Fingerprint
		if err := g.consider(i, partitions); err != nil {
			return nil, err
		}
	}
	if len(g.admitted) == 0 {
		return g, nil
	}
	g.byName = slices.SortedFunc(slices.Values(g.admitted), func(a, b int) int {
		return compareNames(&members[a], &members[b])
	})
	g.inputs = set(members[g.admitted[0]].Join.Shape.Inputs)
	for _, i := range g.admitted[1:] {
		if in := set(members[i].Join.Shape.Inputs); len(in) < len(g.inputs) {
			g.inputs = in // admitted inputs are nested, so the shortest list is in all
		}
	}
	for _, i := range g.admitted {
		g.out[i].Topics = g.inputs
	}
	return g, nil
}

// consider admits or refuses one member. The first one admitted is the group and
// must be whole itself.
func (g *group) consider(i int, partitions map[string]int32) error {
	m := &g.members[i]
	if m.Err != nil {
		g.out[i].Refused = fmt.Sprintf("instance %s cannot be read by the group's leader (%v): run one version of the program", m.name(), m.Err)
		return nil
	}
	n, mismatch := copartitioned(m.Join.Shape.Inputs, partitions)
	if len(g.admitted) == 0 {
		if mismatch != nil {
			return mismatch
		}
		g.tasks, g.admitted = n, append(g.admitted, i)
		return nil
	}
	if why := g.misfit(m, n, mismatch); why != "" {
		g.out[i].Refused = why
		return nil
	}
	g.admitted = append(g.admitted, i)
	return nil
}

// misfit says why a member cannot join those admitted before it.
func (g *group) misfit(m *Member, n int32, mismatch error) string {
	for _, j := range g.admitted {
		other := &g.members[j]
		if d := m.Join.Shape.Difference(other.Join.Shape); d != "" {
			return fmt.Sprintf("instance %s runs topology %s, but the group runs topology %s (instance %s): %s; stop the other instances first, or run this topology under another group name",
				m.name(), orNone(m.Join.Shape.Fingerprint), orNone(other.Join.Shape.Fingerprint), other.name(), d)
		}
	}
	if mismatch != nil {
		return fmt.Sprintf("instance %s: %v", m.name(), mismatch)
	}
	if n != g.tasks {
		return fmt.Sprintf("instance %s reads %s with %d partitions, but the group's inputs have %d: create the topics with equal numbers of partitions",
			m.name(), strings.Join(m.Join.Shape.Inputs, ", "), n, g.tasks)
	}
	return ""
}

func (m *Member) name() string {
	if m.Join.Instance != "" {
		return m.Join.Instance
	}
	return m.ID
}

// copartitioned returns the number of partitions that all topics have.
func copartitioned(topics []string, partitions map[string]int32) (int32, error) {
	e := &MismatchError{Partitions: make(map[string]int32, len(topics))}
	even := true
	for _, topic := range topics {
		n := partitions[topic]
		e.Partitions[topic] = n
		even = even && n > 0 && n == partitions[topics[0]]
	}
	if !even {
		return 0, e
	}
	if len(topics) == 0 {
		return 0, nil
	}
	return partitions[topics[0]], nil
}

// precedence orders members by who is the group: those that own tasks, then those
// that took part in an earlier generation, then newcomers; by instance among equals.
func precedence(members []Member, all map[int32][]claim) []int {
	owns := owning(all)
	rank := func(i int) int {
		switch m := &members[i]; {
		case m.Err != nil:
			return 3
		case owns[i]:
			return 0
		case m.Join.Generation >= 0:
			return 1
		}
		return 2
	}
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), compareNames(&members[a], &members[b]))
	})
	return order
}

// owning returns the members with a claim that no newer one beats.
func owning(all map[int32][]claim) map[int]bool {
	owns := make(map[int]bool)
	for _, claims := range all {
		newest := slices.MaxFunc(claims, func(a, b claim) int { return cmp.Compare(a.generation, b.generation) })
		for _, c := range claims {
			if c.generation == newest.generation {
				owns[c.member] = true
			}
		}
	}
	return owns
}

func compareNames(x, y *Member) int {
	return cmp.Or(cmp.Compare(x.Join.Instance, y.Join.Instance), cmp.Compare(x.ID, y.ID))
}

// claims collects who says to own what, by task; one claim for each member.
func claims(members []Member) map[int32][]claim {
	all := make(map[int32][]claim)
	for i := range members {
		owned := make(map[int32]struct{})
		for _, tasks := range members[i].Join.Owned {
			for _, t := range tasks {
				owned[t] = struct{}{}
			}
		}
		for t := range owned {
			all[t] = append(all[t], claim{i, members[i].Join.Generation})
		}
	}
	return all
}

// grantable reports whether a task may be given to member m now: m owns it
// already by the newest claim, or no other member claims it, however stale that
// claim: the one who makes it may still be at work and must let go first.
func (g *group) grantable(task int32, m int) bool {
	mine, newest, others := int32(-2), int32(-2), false
	for _, c := range g.claims[task] {
		newest = max(newest, c.generation)
		if c.member == m {
			mine = c.generation
		} else {
			others = true
		}
	}
	return !others || mine == newest
}

// owners returns each task's owner among the admitted: the newest claim wins, the
// first in precedence among equals; -1 where nobody owns it.
func (g *group) owners() []int {
	rank := make(map[int]int, len(g.admitted))
	for r, i := range g.admitted {
		rank[i] = r
	}
	owner := make([]int, g.tasks)
	for t := range owner {
		owner[t] = -1
		newest := int32(-2)
		for _, c := range g.claims[int32(t)] {
			r, fits := rank[c.member]
			if fits && (c.generation > newest || c.generation == newest && r < rank[owner[t]]) {
				owner[t], newest = c.member, c.generation
			}
		}
	}
	return owner
}

// targets returns each task's owner after all moves are done.
func (g *group) targets(owners []int, known copies) []int {
	if len(g.admitted) == 0 {
		return nil
	}
	owner := slices.Clone(owners)
	load := make(map[int]int, len(g.admitted))
	quota := g.quotas(owner)
	for t, m := range owner {
		if m < 0 || load[m] == quota[m] {
			owner[t] = -1
			continue
		}
		load[m]++
	}
	for _, c := range known {
		if owner[c.task] < 0 && load[c.member] < quota[c.member] {
			owner[c.task] = c.member
			load[c.member]++
		}
	}
	for t, m := range owner {
		if m < 0 {
			owner[t] = emptiest(g.byName, load, quota)
			load[owner[t]]++
		}
	}
	return owner
}

// quotas returns how many tasks each admitted member ends with: equal shares, the
// remainder one each to those that own most, so that the fewest move.
func (g *group) quotas(owner []int) map[int]int {
	owned := make(map[int]int, len(g.admitted))
	for _, m := range owner {
		if m >= 0 {
			owned[m]++
		}
	}
	share, rest := int(g.tasks)/len(g.admitted), int(g.tasks)%len(g.admitted)
	byOwned := slices.SortedFunc(slices.Values(g.admitted), func(a, b int) int {
		return cmp.Or(cmp.Compare(owned[b], owned[a]), compareNames(&g.members[a], &g.members[b]))
	})
	quota := make(map[int]int, len(g.admitted))
	for i, m := range byOwned {
		quota[m] = share
		if i < rest {
			quota[m]++
		}
	}
	return quota
}

// emptiest returns the first member with the fewest tasks that may have more. The
// quotas add up to the number of tasks, so there is one as long as one is free.
func emptiest(members []int, load, quota map[int]int) int {
	best := -1
	for _, m := range members {
		if load[m] < quota[m] && (best < 0 || load[m] < load[best]) {
			best = m
		}
	}
	return best
}
