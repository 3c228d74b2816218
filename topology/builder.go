package topology

import (
	"cmp"
	"slices"

	"github.com/seed-73111be4/kappa/record"
)

// builder makes a plan of a definition and collects the mistakes on the way.
type builder struct {
	group    string
	edges    []edge
	mistakes Mistakes
}

func newBuilder(d *Def) *builder {
	b := &builder{group: d.name}
	for _, e := range d.edges {
		if e == nil {
			b.say("", "an edge is nil", "remove it, or make it with one of this package's functions")
			continue
		}
		some := e.edges()
		if len(some) == 0 {
			b.say("inputs", "there are no topics", "name at least one topic")
		}
		b.edges = append(b.edges, some...)
	}
	return b
}

func (b *builder) say(edge, problem, hint string) {
	b.mistakes = append(b.mistakes, &Mistake{b.group, edge, problem, hint})
}

// build returns the plan, which is good only where no mistake was found.
func (b *builder) build() *Plan {
	b.check()
	p := &Plan{Group: b.group, StateTopic: b.group + stateSuffix, Hasher: record.FNV1a}
	state := b.state()
	for _, e := range b.edges {
		b.add(p, e, state)
	}
	keyed := p.Table != nil || len(p.Stores) > 0 || b.has(joinEdge)
	for i := range p.Inputs {
		p.Inputs[i].NeedsKey = keyed
	}
	sortPlan(p)
	p.Fingerprint = fingerprint(p)
	return p
}

func (b *builder) add(p *Plan, e edge, state any) {
	switch e.kind {
	case inputEdge:
		p.Inputs = append(p.Inputs, InputPlan{Topic: e.name, Kind: StreamInput, Codec: e.codec, NewHandler: e.handlers(state)})
	case loopEdge:
		topic := b.group + loopSuffix
		p.Inputs = append(p.Inputs, InputPlan{Topic: topic, Kind: LoopInput, Codec: e.codec, NewHandler: e.handlers(state)})
		p.Loop = &OutputPlan{topic, e.codec}
	case joinEdge:
		p.Inputs = append(p.Inputs, InputPlan{Topic: e.name, Kind: JoinInput, Codec: e.codec})
	case lookupEdge:
		p.Lookups = append(p.Lookups, TablePlan{e.name, e.codec})
	case outputEdge:
		p.Outputs = append(p.Outputs, OutputPlan{e.name, e.codec})
	case persistEdge:
		p.Table = &TablePlan{b.group + tableSuffix, e.codec}
	case storeEdge:
		p.Stores = append(p.Stores, StorePlan{e.name, e.codec})
	case visitorEdge:
		p.Visitors = append(p.Visitors, VisitorPlan{e.name, e.visitor(state)})
	case deadLetterEdge:
		p.DeadLetter, p.OnError = e.name, DeadLetters
	case startEdge:
		p.Start = e.start
	case hasherEdge:
		p.Hasher = e.hasher
	case nilEdge:
		p.ProcessNil = true
	}
}

// state returns the typed state codec of the group, nil where there is none.
func (b *builder) state() any {
	for _, e := range b.edges {
		if e.kind == persistEdge && e.state.codec != nil {
			return e.state.codec
		}
	}
	return nil
}

func (b *builder) has(k kind) bool {
	return slices.ContainsFunc(b.edges, func(e edge) bool { return e.kind == k })
}

func sortPlan(p *Plan) {
	slices.SortFunc(p.Inputs, func(a, b InputPlan) int { return cmp.Compare(a.Topic, b.Topic) })
	slices.SortFunc(p.Lookups, func(a, b TablePlan) int { return cmp.Compare(a.Topic, b.Topic) })
	slices.SortFunc(p.Outputs, func(a, b OutputPlan) int { return cmp.Compare(a.Topic, b.Topic) })
	slices.SortFunc(p.Stores, func(a, b StorePlan) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(p.Visitors, func(a, b VisitorPlan) int { return cmp.Compare(a.Name, b.Name) })
}
