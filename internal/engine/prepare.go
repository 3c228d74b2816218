package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/kafka/balance"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// prepare creates the groups' own topics and holds every topic against what the
// plans need of it.
func (e *Engine) prepare(ctx context.Context, plans []*topology.Plan) error {
	known, err := control.ReadAll(ctx, e.o.Cluster)
	if err != nil {
		return err
	}
	e.aliases = known.Aliases
	for _, p := range plans {
		reset := known.Resets[p.Group]
		plan, err := e.withJoins(ctx, inGeneration(p, reset), known)
		if err != nil {
			return fmt.Errorf("group %s: %w", p.Group, err)
		}
		g := &group{
			engine: e, plan: plan, reset: reset, log: e.o.Log.With("group", p.Group),
			partitions: map[string]int32{}, past: map[string]pastTopic{}, maxRecord: map[string]int{}, retention: map[string]string{}, lookups: map[string]Lookup{},
			owner: map[int32]*runner{}, high: map[record.Partition]int64{},
			opens: map[int32]*openTask{}, states: map[*changelog.State]*openTask{},
			restores: make(chan struct{}, 2*max(1, e.o.Workers)), standbys: newStandbys(),
		}
		g.replay.g = g
		if err := g.prepare(ctx); err != nil {
			return fmt.Errorf("group %s: %w", p.Group, err)
		}
		e.groups = append(e.groups, g)
	}
	return e.publish(ctx, known)
}

func (g *group) prepare(ctx context.Context) error {
	if err := g.findPast(ctx); err != nil {
		return err
	}
	report, err := g.validate(ctx)
	if err != nil {
		return err
	}
	for _, w := range report.Warnings {
		g.log.Warn(w.What, "topic", w.Topic, "hint", w.Mend)
	}
	g.tasks = report.Partitions
	if err := g.create(ctx); err != nil {
		return err
	}
	if len(report.Missing) > 0 { // who may create a topic need not be allowed to write it
		if _, err := g.validate(ctx); err != nil {
			return err
		}
	}
	return g.learn(ctx)
}

// validate names all that is wrong with the group's topics.
func (g *group) validate(ctx context.Context) (kafka.Report, error) {
	topics := kafka.GroupTopics{Group: g.plan.Group, Uses: g.uses(), Past: map[string]int32{}, Archive: g.engine.o.Archive != nil, Now: g.engine.o.Clock()}
	for name, t := range g.past {
		topics.Past[name] = t.partitions
	}
	report, err := g.engine.o.Cluster.Validate(ctx, topics)
	return report, cmp.Or(err, report.Err())
}

// create makes the group's own topics, with as many partitions as its inputs.
func (g *group) create(ctx context.Context) error {
	specs := []kafka.TopicSpec{kafka.TableSpec(g.plan.StateTopic, g.tasks)}
	if g.plan.Table != nil {
		specs = append(specs, kafka.TableSpec(g.plan.Table.Topic, g.tasks))
	}
	if g.plan.Loop != nil {
		specs = append(specs, kafka.InternalSpec(g.plan.Loop.Topic, g.tasks))
	}
	for i := range specs {
		specs[i].Replication = g.engine.o.Replication
	}
	created, err := g.engine.o.Cluster.CreateTopics(ctx, specs...)
	for _, name := range created {
		g.log.Info("created topic", "topic", name, "partitions", g.tasks)
	}
	return err
}

// uses lists every topic of the plan and what the group does with it.
func (g *group) uses() []kafka.TopicUse {
	var out []kafka.TopicUse
	use := func(topic string, role kafka.Role) {
		if topic != "" {
			out = append(out, kafka.TopicUse{Topic: topic, Role: role})
		}
	}
	for _, in := range g.plan.Inputs {
		use(in.Topic, roleOf(in.Kind))
	}
	for _, t := range g.plan.Lookups {
		use(t.Topic, kafka.LookupRole)
	}
	for _, t := range g.plan.Outputs {
		use(t.Topic, kafka.OutputRole)
	}
	if g.plan.Table != nil {
		use(g.plan.Table.Topic, kafka.TableRole)
	}
	use(g.plan.StateTopic, kafka.StateRole)
	use(g.plan.DeadLetter, kafka.DeadLetterRole)
	return out
}

func roleOf(k topology.InputKind) kafka.Role {
	switch k {
	case topology.JoinInput:
		return kafka.JoinRole
	case topology.LoopInput:
		return kafka.LoopRole
	}
	return kafka.InputRole
}

func (g *group) inputTopics() []string {
	var out []string
	for _, in := range g.plan.Inputs {
		out = append(out, in.Topic)
	}
	return out
}

// learn notes partition counts and limits of all topics of the plan.
func (g *group) learn(ctx context.Context) error {
	names := map[string]bool{g.plan.StateTopic: true}
	logs := []string{g.plan.StateTopic}
	for _, in := range g.plan.Inputs {
		names[in.Topic] = true
		if in.Kind == topology.JoinInput {
			logs = append(logs, in.Topic)
		}
	}
	for _, out := range g.plan.Outputs {
		names[out.Topic] = true
	}
	if g.plan.Table != nil {
		names[g.plan.Table.Topic] = true
		logs = append(logs, g.plan.Table.Topic)
	}
	if g.plan.DeadLetter != "" {
		names[g.plan.DeadLetter] = true
	}
	topics, err := g.engine.o.Cluster.Topics(ctx, slices.Sorted(maps.Keys(names))...)
	if err != nil {
		return err
	}
	g.maxBatch = 1 << 30
	for name, t := range topics {
		g.partitions[name] = t.Partitions
		g.maxBatch = min(g.maxBatch, maxBatchOf(t))
	}
	for name, t := range g.past {
		g.partitions[name] = t.partitions
	}
	for name := range topics {
		g.maxRecord[name] = int(g.maxBatch)
	}
	for _, name := range logs {
		if v, ok := topics[name].Config["delete.retention.ms"]; ok {
			g.retention[name] = v
		}
	}
	return nil
}

// defaultBatch is what topics take unless they are set up otherwise.
const defaultBatch = 1<<20 + 12

// maxBatchOf returns a topic's max.message.bytes: the default where the settings
// may not be read.
func maxBatchOf(t kafka.Topic) int32 {
	n, err := strconv.Atoi(t.Config["max.message.bytes"])
	if err != nil {
		return defaultBatch
	}
	return int32(min(n, 1<<30))
}

// shape is what the group's members agree on; their inputs are those that Kafka has.
func (g *group) shape() balance.Shape {
	s := shapeOf(g.plan)
	if len(g.past) > 0 {
		s.Inputs = g.subscription()
	}
	return s
}

func shapeOf(p *topology.Plan) balance.Shape {
	s := balance.Shape{Fingerprint: p.Fingerprint, Hasher: p.Hasher.Name}
	if generation, ok := control.GenerationOf(p.Group, p.StateTopic); ok && generation > 1 {
		s.Fingerprint = fmt.Sprintf("%s.g%d", p.Fingerprint, generation) // not one with another generation's members
	}
	for _, in := range p.Inputs {
		s.Inputs = append(s.Inputs, in.Topic)
		switch in.Kind {
		case topology.JoinInput:
			s.Joins = append(s.Joins, in.Topic)
		case topology.LoopInput:
			s.Loop = in.Topic
		}
	}
	if p.Table != nil {
		s.Table = p.Table.Topic
	}
	for _, st := range p.Stores {
		s.Stores = append(s.Stores, st.Name)
	}
	return s
}

// openLookups opens a whole copy of every table that a plan looks up, once per
// process, and waits until it has caught up: a callback must not miss what was
// there before it.
func (e *Engine) openLookups(ctx context.Context) error {
	for _, g := range e.groups {
		for _, t := range g.plan.Lookups {
			l, err := e.lookup(ctx, t)
			if err != nil {
				return fmt.Errorf("group %s: look up table %s: %w", g.plan.Group, t.Topic, err)
			}
			g.lookups[t.Topic] = l
		}
	}
	return nil
}

func (e *Engine) lookup(ctx context.Context, t topology.TablePlan) (Lookup, error) {
	name := t.Topic + "\x00" + fmt.Sprintf("%T", t.Codec)
	if l := e.lookups[name]; l != nil {
		return l, nil
	}
	if e.o.OpenLookup == nil {
		return nil, fmt.Errorf("the engine was given no way to open lookup tables (Options.OpenLookup)")
	}
	l, err := e.o.OpenLookup(ctx, e.viewName(t.Topic), t.Codec.Decode)
	if err != nil {
		return nil, err
	}
	e.lookups[name] = l
	return l, l.WaitCaughtUp(ctx)
}

// taskMemory is a task's share of the memory for state.
func (e *Engine) taskMemory() int64 {
	var tasks int64
	for _, g := range e.groups {
		tasks += int64(g.tasks)
	}
	return max(1<<20, e.o.stateBytes()/max(1, tasks))
}
