package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/topology"
)

// Visit runs a visitor's callback over every key of the group table that this
// process holds, within transactions, and returns how many keys they committed.
// It ends early with ErrVisitAborted where a task moves away meanwhile.
func (e *Engine) Visit(ctx context.Context, group, name string, meta any) (int64, error) {
	g, v, err := e.visitor(group, name)
	if err != nil {
		return 0, err
	}
	type answer struct {
		keys int64
		err  error
	}
	answers := make(chan answer, len(g.runners))
	for _, r := range g.runners {
		r.post(evVisit{v, meta, func(keys int64, err error) { answers <- answer{keys, err} }})
	}
	var total int64
	for range g.runners {
		select {
		case a := <-answers:
			total += a.keys
			err = errors.Join(err, a.err)
		case <-ctx.Done():
			return total, ctx.Err()
		}
	}
	return total, err
}

func (e *Engine) visitor(of, name string) (*group, *topology.VisitorPlan, error) {
	for _, g := range e.groups {
		if g.plan.Group != of {
			continue
		}
		for i := range g.plan.Visitors {
			if g.plan.Visitors[i].Name == name {
				return g, &g.plan.Visitors[i], nil
			}
		}
		return nil, nil, fmt.Errorf("group %s has no visitor %q: add a Visitor edge", of, name)
	}
	return nil, nil, fmt.Errorf("no group %q runs here", of)
}
