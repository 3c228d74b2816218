package kafka

import (
	"maps"
	"slices"
)

// TaskTopics is a task, which is a partition number, with the topics whose
// partition of that number belongs to it, sorted.
type TaskTopics struct {
	Task   int32
	Topics []string
}

// taskSet holds the topics of each task, sorted.
type taskSet map[int32][]string

// tasksOf turns partitions by topic round.
func tasksOf(partitions map[string][]int32) taskSet {
	s := make(taskSet)
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		for _, p := range partitions[topic] {
			s[p] = append(s[p], topic)
		}
	}
	return s
}

// partitions returns the set as partitions by topic, sorted.
func (s taskSet) partitions() map[string][]int32 {
	m := make(map[string][]int32)
	for _, task := range slices.Sorted(maps.Keys(s)) {
		for _, topic := range s[task] {
			m[topic] = append(m[topic], task)
		}
	}
	return m
}

// list returns the tasks in order, sharing no memory with the set.
func (s taskSet) list() []TaskTopics {
	if len(s) == 0 {
		return nil
	}
	l := make([]TaskTopics, 0, len(s))
	for _, task := range slices.Sorted(maps.Keys(s)) {
		l = append(l, TaskTopics{task, slices.Clone(s[task])})
	}
	return l
}

// without returns the tasks that o does not hold with the very same topics: a
// task whose topics change is let go whole and taken anew.
func (s taskSet) without(o taskSet) taskSet {
	d := make(taskSet)
	for task, topics := range s {
		if other, ok := o[task]; !ok || !slices.Equal(topics, other) {
			d[task] = topics
		}
	}
	return d
}

// touched returns the tasks of which any partition is named.
func (s taskSet) touched(partitions map[string][]int32) taskSet {
	t := make(taskSet)
	for topic, list := range partitions {
		for _, p := range list {
			if slices.Contains(s[p], topic) {
				t[p] = s[p]
			}
		}
	}
	return t
}

// within reports whether o has every task of s, with whatever topics.
func (s taskSet) within(o taskSet) bool {
	for task := range s {
		if _, ok := o[task]; !ok {
			return false
		}
	}
	return true
}

func (s taskSet) add(o taskSet) { maps.Copy(s, o) }

func (s taskSet) remove(o taskSet) {
	for task := range o {
		delete(s, task)
	}
}
