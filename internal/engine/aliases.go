package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/topology"
)

// groupOf returns the group whose table a topic is by its name, "" where it is none.
func groupOf(topic string) string {
	table, _ := control.Topics("", 1)
	group, ok := strings.CutSuffix(topic, table)
	if !ok {
		return ""
	}
	return group
}

// withJoins returns the plan with the joined tables of groups that were reset in the
// generation that readers see now. Members of one group must join the same topics, so
// one that comes later joins what those that run have joined.
func (e *Engine) withJoins(ctx context.Context, p *topology.Plan, s *control.State) (*topology.Plan, error) {
	var running []kafka.GroupMember
	q := *p
	for i, in := range p.Inputs {
		a, ok := s.Aliases[groupOf(in.Topic)]
		if in.Kind != topology.JoinInput || !ok || a.Generation <= 1 {
			continue
		}
		if running == nil {
			members, err := e.o.Cluster.Members(ctx, p.Group)
			if err != nil {
				return nil, err
			}
			running = append([]kafka.GroupMember{}, members...)
			q.Inputs = slices.Clone(p.Inputs)
		}
		q.Inputs[i].Topic, q.Inputs[i].Name = joined(a, running), in.Topic
	}
	return &q, nil
}

// joined returns the table behind an alias, or the one of its generations that a member
// of the joining group has.
func joined(a control.Alias, running []kafka.GroupMember) string {
	for _, m := range running {
		for _, t := range m.Topics {
			if _, ok := control.GenerationOf(a.Name, t); ok {
				return t
			}
		}
	}
	return a.Table
}

// viewName returns the name under which a looked-up table is followed: its group's,
// where that has an alias, so that the copy moves with it.
func (e *Engine) viewName(topic string) string {
	group := groupOf(topic)
	if _, ok := e.aliases[group]; ok {
		return group
	}
	return topic
}
