package balance

import (
	"cmp"
	"slices"
)

// copies ranks the members' copies of tasks by how far each lies behind the best
// known one: positions of different tasks say nothing about each other.
type copies []localCopy

// localCopy is one member's copy of a task.
type localCopy struct {
	task   int32
	member int
	behind int64
	name   int // the member's rank by name
}

// copies returns the admitted members' copies, the freshest first. A task that a
// member owns is as fresh as can be.
func (g *group) copies(owner []int) copies {
	best := make(map[int32]int64)
	for _, m := range g.admitted {
		for task, at := range g.members[m].Join.Fresh {
			best[task] = max(best[task], at)
		}
	}
	var all copies
	for name, m := range g.byName {
		for task, at := range g.members[m].Join.Fresh {
			if int(task) < len(owner) && owner[task] != m {
				all = append(all, localCopy{task, m, best[task] - at, name})
			}
		}
		for task, o := range owner {
			if o == m {
				all = append(all, localCopy{int32(task), m, -1, name})
			}
		}
	}
	slices.SortFunc(all, func(a, b localCopy) int {
		return cmp.Or(cmp.Compare(a.behind, b.behind), cmp.Compare(a.task, b.task), cmp.Compare(a.name, b.name))
	})
	return all
}

// follow chooses the standbys of every task: as many members as any of the group
// asks for, but the one that is to own it; those with the freshest copies first,
// then those with the fewest. No member follows more than its share as long as
// others can.
func (g *group) follow(targets []int, known copies) {
	var wanted int32
	for _, m := range g.admitted {
		wanted = max(wanted, g.members[m].Join.Standbys)
	}
	n := min(int(wanted), len(g.admitted)-1)
	if n <= 0 {
		return
	}
	share := (len(targets)*n + len(g.admitted) - 1) / len(g.admitted)
	s := standbys{g: g, targets: targets, need: make([]int, len(targets)), load: make(map[int]int)}
	for t := range s.need {
		s.need[t] = n
	}
	for _, c := range known {
		if s.load[c.member] < share {
			s.give(c.task, c.member)
		}
	}
	for t := range s.need {
		for s.need[t] > 0 && s.give(int32(t), s.emptiest(int32(t))) {
		}
	}
	for _, m := range g.admitted {
		slices.Sort(g.out[m].Standbys)
	}
}

// standbys is a choice of standbys under way.
type standbys struct {
	g       *group
	targets []int
	need    []int       // by task
	load    map[int]int // by member
}

// may reports whether a member may follow a task.
func (s *standbys) may(task int32, member int) bool {
	return s.targets[task] != member && !slices.Contains(s.g.out[member].Standbys, task)
}

func (s *standbys) give(task int32, member int) bool {
	if member < 0 || s.need[task] == 0 || !s.may(task, member) {
		return false
	}
	s.need[task]--
	s.load[member]++
	s.g.out[member].Standbys = append(s.g.out[member].Standbys, task)
	return true
}

// emptiest returns the member with the fewest standbys that may follow the task.
func (s *standbys) emptiest(task int32) int {
	best := -1
	for _, m := range s.g.byName {
		if s.may(task, m) && (best < 0 || s.load[m] < s.load[best]) {
			best = m
		}
	}
	return best
}
