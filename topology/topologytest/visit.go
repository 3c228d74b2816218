package topologytest

import (
	"fmt"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/topology"
)

// Visit runs a visitor over every key of the group's table, in order of partition
// and key, and returns how many it was called for.
func (g *Group) Visit(name string, meta any) (keys int) {
	g.app.helper()
	g.app.do(func() error {
		v, err := g.visitor(name)
		if err != nil {
			return err
		}
		for _, t := range g.tasks {
			n, err := g.visit(t, v, meta)
			keys += n
			if err != nil {
				return g.stop(err)
			}
		}
		if !g.app.manual && g.deferred() == 0 {
			if err := g.commit(); err != nil {
				return err
			}
		}
		return g.app.process()
	})
	return keys
}

func (g *Group) visitor(name string) (*topology.VisitorPlan, error) {
	var names []string
	for i := range g.plan.Visitors {
		if g.plan.Visitors[i].Name == name {
			return &g.plan.Visitors[i], nil
		}
		names = append(names, g.plan.Visitors[i].Name)
	}
	return nil, fmt.Errorf("group %s has no visitor %q, it has %s", g.plan.Group, name, list(names))
}

// visit visits the keys that were there when it began, as production does but for
// the slices.
func (g *Group) visit(t *task.Task, v *topology.VisitorPlan, meta any) (keys int, err error) {
	for after := []byte(nil); ; {
		some, err := t.Keys(g.app.ctx, after, 256)
		if err != nil || len(some) == 0 {
			return keys, err
		}
		for _, key := range some {
			effects, err := t.Visit(v, key, meta, g.app.now.UnixMilli())
			if err != nil {
				return keys, err
			}
			g.emitted = append(g.emitted, effects.Emits...)
			keys++
		}
		after = some[len(some)-1]
	}
}
