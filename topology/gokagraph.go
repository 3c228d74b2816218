package topology

import (
	"fmt"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/record"
)

// GroupGraph renders the definition as a graph for stock goka, with the user's
// own codecs and callbacks. A typed callback runs there, too: its context is laid
// over goka's, where stream time and named stores fail the callback and fates are
// not counted.
//
// Named stores and dead letters have no equivalent in goka: the error, of type
// [Mistakes], names them. Start, hasher and the handling of tombstones are options
// of goka's processor, not of its graph; they are not rendered.
func (d *Def) GroupGraph() (*goka.GroupGraph, error) {
	plan, err := d.Build()
	if err != nil {
		return nil, err
	}
	b := newBuilder(d)
	o := &overGoka{plan: plan, state: b.state()}
	var edges []goka.Edge
	for _, e := range b.edges {
		switch e.kind {
		case storeEdge, deadLetterEdge:
			b.say(e.String(), "goka has no equivalent", "leave it out to run on stock goka")
		default:
			if g := o.render(e); g != nil {
				edges = append(edges, g)
			}
		}
	}
	graph := goka.DefineGroup(goka.Group(d.name), edges...)
	b.checkSuffixes(plan, graph)
	if len(b.mistakes) > 0 {
		return nil, b.mistakes
	}
	return graph, nil
}

// checkSuffixes says where goka's package-level setters make the graph use other
// topics than the plan.
func (b *builder) checkSuffixes(p *Plan, g *goka.GroupGraph) {
	const hint = "call goka.ResetSuffixes before GroupGraph"
	if t := g.GroupTable(); t != nil && t.Topic() != p.Table.Topic {
		b.say(string(persistEdge), fmt.Sprintf("goka names the table %s, not %s", t.Topic(), p.Table.Topic), hint)
	}
	if l := g.LoopStream(); l != nil && l.Topic() != p.Loop.Topic {
		b.say(string(loopEdge), fmt.Sprintf("goka names the loop %s, not %s", l.Topic(), p.Loop.Topic), hint)
	}
}

// render returns goka's edge, nil for what is not a part of its graph.
func (o *overGoka) render(e edge) goka.Edge {
	switch e.kind {
	case inputEdge:
		return goka.Input(goka.Stream(e.name), e.original, o.callback(e))
	case loopEdge:
		return goka.Loop(e.original, o.callback(e))
	case joinEdge:
		return goka.Join(goka.Table(e.name), e.original)
	case lookupEdge:
		return goka.Lookup(goka.Table(e.name), e.original)
	case persistEdge:
		return goka.Persist(e.original)
	case outputEdge:
		return goka.Output(goka.Stream(e.name), e.original)
	case visitorEdge:
		return goka.Visitor(e.name, o.callback(e))
	}
	return nil
}

// overGoka lays kappa's contexts over goka's for one graph.
type overGoka struct {
	plan  *Plan
	state any
}

// callback returns the user's callback, or one that runs the typed callback.
func (o *overGoka) callback(e edge) goka.ProcessCallback {
	if e.typed == nil {
		return e.callback
	}
	return func(ctx goka.Context, msg any) {
		c := &gokaContext{gokasContext: ctx, plan: o.plan}
		switch {
		case e.kind == visitorEdge:
			c.record = record.Record{Partition: c.Partition(), LeaderEpoch: -1, Key: []byte(c.Key())}
		case !c.read(e.codec, msg):
			return
		}
		e.typed.call(e.stateFor(o.state), c, msg)
	}
}
