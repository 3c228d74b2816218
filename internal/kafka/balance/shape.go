package balance

import (
	"fmt"
	"slices"
	"strings"
)

// Shape is what members of one group must agree on: where keys go and what state
// they leave there. Lists are sets; their order says nothing.
type Shape struct {
	// Fingerprint names the topology. Members with equal fingerprints fit
	// without further comparison.
	Fingerprint string
	// Hasher is the name of the function that places keys.
	Hasher string
	// Inputs are all co-partitioned topics that the group consumes.
	Inputs []string
	// Joins are those Inputs that are read as tables.
	Joins []string
	// Loop is the one of Inputs that the group itself writes, "" where none is.
	Loop string
	// Table is the topic of the group table, "" where there is none.
	Table string
	// Stores are the names of the named stores.
	Stores []string
}

// inputKind says how a topic is consumed.
type inputKind uint8

const (
	noInput inputKind = iota
	streamInput
	joinInput
	loopInput
	inputKinds
)

func (k inputKind) String() string {
	return [inputKinds]string{"no input", "a stream", "a joined table", "the loop"}[k]
}

func (s Shape) kind(topic string) inputKind {
	switch {
	case !slices.Contains(s.Inputs, topic):
		return noInput
	case topic == s.Loop:
		return loopInput
	case slices.Contains(s.Joins, topic):
		return joinInput
	}
	return streamInput
}

// sorted returns the shape with its sets sorted and without repetition, sharing
// no memory with s.
func (s Shape) sorted() Shape {
	s.Inputs, s.Joins, s.Stores = set(s.Inputs), set(s.Joins), set(s.Stores)
	return s
}

func set(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// Difference says why two topologies cannot share a group, seen from s; it is
// empty where they can: where the fingerprints are equal, or hasher, table and
// stores are equal and one's inputs are among the other's, of the same kind.
func (s Shape) Difference(group Shape) string {
	if s.Fingerprint == group.Fingerprint && s.Fingerprint != "" {
		return ""
	}
	s, group = s.sorted(), group.sorted()
	var d []string
	differ := func(what, mine, theirs string) {
		if mine != theirs {
			d = append(d, fmt.Sprintf("%s %s instead of %s", what, orNone(mine), orNone(theirs)))
		}
	}
	differ("hasher", s.Hasher, group.Hasher)
	differ("table", s.Table, group.Table)
	differ("stores", strings.Join(s.Stores, " "), strings.Join(group.Stores, " "))
	d = append(d, s.inputDifference(group)...)
	return strings.Join(d, "; ")
}

func (s Shape) inputDifference(group Shape) (d []string) {
	var more, missing []string
	for _, topic := range s.Inputs {
		switch mine, theirs := s.kind(topic), group.kind(topic); {
		case theirs == noInput:
			more = append(more, topic)
		case mine != theirs:
			d = append(d, fmt.Sprintf("input %s as %s instead of %s", topic, mine, theirs))
		}
	}
	for _, topic := range group.Inputs {
		if s.kind(topic) == noInput {
			missing = append(missing, topic)
		}
	}
	if len(more) > 0 && len(missing) > 0 {
		d = append(d, fmt.Sprintf("input %s instead of %s (inputs may be added or taken away, not both)",
			strings.Join(more, " "), strings.Join(missing, " ")))
	}
	return d
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
