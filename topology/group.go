package topology

import (
	"github.com/lovoo/goka"
)

// Def is the definition of a group, as the user wrote it. [Def.Build] checks it.
type Def struct {
	name  string
	edges []Edge
}

// Group defines a group: its name is the name of its consumer group and the stem
// of its topics. Nothing is checked before Build, so definitions may be variables
// of a package.
func Group(name goka.Group, edges ...Edge) *Def {
	return &Def{name: string(name), edges: edges}
}

// Name returns the group's name.
func (d *Def) Name() string { return d.name }

// Build checks the definition and makes the plan of it. The error is [Mistakes]:
// all of them.
func (d *Def) Build() (*Plan, error) {
	plans, err := Build(d)
	if err != nil {
		return nil, err
	}
	return plans[0], nil
}

// Build checks the groups of one application, each and together, and makes their
// plans, in the same order. The error is [Mistakes]: all of them.
func Build(defs ...*Def) ([]*Plan, error) {
	var all Mistakes
	names := make(map[string]bool)
	plans := make([]*Plan, 0, len(defs))
	for _, d := range defs {
		if d == nil {
			all = append(all, &Mistake{Problem: "the group is nil", Hint: "define it with topology.Group"})
			continue
		}
		b := newBuilder(d)
		if names[d.name] {
			b.say("", "another group of this application has the same name",
				"a group's name is its consumer group and the stem of its topics: choose another")
		}
		names[d.name] = true
		plans = append(plans, b.build())
		all = append(all, b.mistakes...)
	}
	if len(all) > 0 {
		return nil, all
	}
	return plans, nil
}
