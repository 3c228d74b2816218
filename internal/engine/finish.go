package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// finish knows when a bounded run has come to its end: when the committed offsets of
// each group, whichever process committed them, have reached the bounds of all its
// inputs.
//
// What groups of this process write and read themselves has no bound from the start.
// Groups that feed each other, in a circle or by a loop, are one stage. A stage follows
// those that feed it: when they are done, the ends of what they have written are its
// bounds. Within a stage, topics are read to the end when the committed offsets of all
// its inputs, as of one moment, reach the ends as of a later one: then nothing was left
// that could have been processed in between, so nothing was written any more.
type finish struct {
	until  *Until
	stages []*stage // each after those that feed it
}

// stage is some groups that come to their ends together.
type stage struct {
	before []*stage // that feed it
	groups []*ending
	done   bool
}

// ending is a group on its way to its end.
type ending struct {
	*group
	bounds map[record.Partition]int64
	fed    []record.Partition         // of stages before, which have no bound yet
	inner  []record.Partition         // of its own stage
	at     map[record.Partition]int64 // committed, as last seen
	lows   map[record.Partition]int64 // where the log began: where one stands that has committed nothing
	from   map[record.Partition]int64 // where they stood at the first report
	pace   Pace                       // since then

	still time.Time // since when nothing has been committed
}

// newFinish plans the end of a run of these groups.
func newFinish(u *Until, groups []*group) *finish {
	f := &finish{until: u}
	feeds := feedsOf(u, groups)
	of := make([]*stage, len(groups))
	for i, g := range groups {
		for j := range i {
			if feeds[i][j] && feeds[j][i] {
				of[i] = of[j]
			}
		}
		if of[i] == nil {
			of[i] = new(stage)
			f.stages = append(f.stages, of[i])
		}
		of[i].groups = append(of[i].groups, &ending{group: g})
	}
	before := map[*stage]int{}
	for i := range groups {
		for j := range groups {
			if of[i] != of[j] && feeds[j][i] && !slices.Contains(of[i].before, of[j]) {
				of[i].before = append(of[i].before, of[j])
				before[of[i]]++
			}
		}
	}
	slices.SortStableFunc(f.stages, func(a, b *stage) int { return before[a] - before[b] })
	for i := range groups {
		f.divide(of[i], groups[i], groups, of)
	}
	return f
}

// feedsOf says which groups' output reaches which, directly or through others. Inputs
// that are named have ends of their own, whoever writes them.
func feedsOf(u *Until, groups []*group) [][]bool {
	feeds := make([][]bool, len(groups))
	for i, g := range groups {
		feeds[i] = make([]bool, len(groups))
		for j, h := range groups {
			feeds[i][j] = slices.ContainsFunc(h.inputTopics(), func(topic string) bool { return !u.names(topic) && g.writes(topic) })
		}
	}
	for k := range groups {
		for i := range groups {
			for j := range groups {
				feeds[i][j] = feeds[i][j] || feeds[i][k] && feeds[k][j]
			}
		}
	}
	return feeds
}

// writes reports whether the group writes a topic.
func (g *group) writes(topic string) bool {
	return slices.ContainsFunc(g.uses(), func(u kafka.TopicUse) bool {
		switch u.Role {
		case kafka.OutputRole, kafka.LoopRole, kafka.TableRole, kafka.DeadLetterRole:
			return u.Topic == topic
		}
		return false
	})
}

// divide sorts a group's inputs into those of its stage and those of stages before;
// all others are bounded from the start.
func (f *finish) divide(s *stage, g *group, groups []*group, of []*stage) {
	i := slices.IndexFunc(s.groups, func(e *ending) bool { return e.group == g })
	e := s.groups[i]
	for _, topic := range g.inputTopics() {
		parts := g.partsOf(topic)
		fed, inner := false, false
		for j, h := range groups {
			if !f.until.names(topic) && h.writes(topic) {
				inner = inner || of[j] == s
				fed = fed || of[j] != s
			}
		}
		switch {
		case inner:
			e.inner = append(e.inner, parts...)
		case fed:
			e.fed = append(e.fed, parts...)
		}
	}
}

func (g *group) partsOf(topic string) []record.Partition {
	parts := make([]record.Partition, g.tasks)
	for p := range parts {
		parts[p] = record.Partition{Topic: topic, Partition: int32(p)}
	}
	return parts
}

// begin finds where a group's inputs end that nobody here writes, before any of them
// is read.
func (f *finish) begin(ctx context.Context, g *group) error {
	e := f.ending(g)
	var parts []record.Partition
	for _, topic := range g.inputTopics() {
		for _, p := range g.partsOf(topic) {
			if !slices.Contains(e.inner, p) && !slices.Contains(e.fed, p) {
				parts = append(parts, p)
			}
		}
	}
	bounds, err := f.until.resolve(ctx, g, parts)
	if err != nil {
		return fmt.Errorf("group %s: %w", g.plan.Group, err)
	}
	e.bounds, e.lows, e.from = bounds, map[record.Partition]int64{}, map[record.Partition]int64{}
	g.ends.Bound(bounds)
	return e.survey(ctx, parts)
}

// survey notes where logs begin, and warns of bounds that nobody has written yet.
func (e *ending) survey(ctx context.Context, parts []record.Partition) error {
	var ends map[record.Partition]record.Ends
	err := patiently(ctx, e.group, "find where the inputs begin", func() (err error) {
		ends, err = e.source.Ends(ctx, parts...)
		return err
	})
	for p, end := range ends {
		e.lows[p] = end.Start
		if bound := e.bounds[p]; bound > end.HighWatermark {
			e.log.Warn("the run waits for records that are still to be written", "partition", p.String(), "end", end.HighWatermark, "until", bound)
		}
	}
	return err
}

func (f *finish) ending(g *group) *ending {
	for _, s := range f.stages {
		for _, e := range s.groups {
			if e.group == g {
				return e
			}
		}
	}
	return nil
}

// look sees how far the groups have come, and reports whether all have reached their
// ends.
func (f *finish) look(ctx context.Context) (bool, error) {
	all := true
	for _, s := range f.stages {
		if !s.done {
			done, err := s.look(ctx)
			if err != nil {
				return false, err
			}
			s.done = done
		}
		all = all && s.done
	}
	return all, nil
}

func (s *stage) look(ctx context.Context) (bool, error) {
	ready := !slices.ContainsFunc(s.before, func(b *stage) bool { return !b.done })
	there := ready
	for _, e := range s.groups {
		if ready {
			if err := e.close(ctx); err != nil {
				return false, err
			}
		}
		if err := e.ask(ctx); err != nil {
			return false, err
		}
		there = there && e.there()
	}
	for i := 0; i < len(s.groups) && there; i++ { // after all offsets, not before
		var err error
		if there, err = s.groups[i].drained(ctx); err != nil {
			return false, err
		}
	}
	return there, nil
}

// close gives what stages before have written its ends: they are done.
func (e *ending) close(ctx context.Context) error {
	if len(e.fed) == 0 {
		return nil
	}
	ends, err := e.source.Ends(ctx, e.fed...)
	if err != nil {
		return err
	}
	bounds := map[record.Partition]int64{}
	for p, end := range ends {
		bounds[p], e.bounds[p], e.lows[p] = end.HighWatermark, end.HighWatermark, end.Start
	}
	e.fed = nil
	e.ends.Bound(bounds)
	return nil
}

// ask reads the group's committed offsets.
func (e *ending) ask(ctx context.Context) error {
	committed, err := e.engine.o.Cluster.Committed(ctx, e.plan.Group, e.inputTopics()...)
	if err != nil {
		return err
	}
	if err := e.askPast(ctx, committed); err != nil {
		return err
	}
	if now := e.engine.o.Clock(); e.still.IsZero() || !maps.Equal(e.at, committed) {
		e.still = now
	}
	e.at = committed
	return nil
}

// askPast adds the positions of inputs that Kafka does not know, and so takes no offsets
// for: the state log has them.
func (e *ending) askPast(ctx context.Context, committed map[record.Partition]int64) error {
	if len(e.past) == 0 {
		return nil
	}
	for p := range e.tasks {
		positions, err := changelog.Latest(ctx, e.engine.o.Cluster, e.plan.StateTopic, p)
		if err != nil {
			return err
		}
		for topic := range e.past {
			if positions == nil {
				continue
			}
			if pos, ok := positions.Input(topic); ok {
				committed[pos.Of()] = pos.Offset
			}
		}
	}
	return nil
}

// there reports whether all bounds have been reached. Each partition has a committed
// offset then: where an input ends, its positions are committed as they are.
func (e *ending) there() bool {
	for p, bound := range e.bounds {
		if at, ok := e.at[p]; !ok || at < bound {
			return false
		}
	}
	return true
}

// drained reports whether nothing of what the stage writes and reads itself is left.
func (e *ending) drained(ctx context.Context) (bool, error) {
	if len(e.inner) == 0 {
		return true, nil
	}
	ends, err := e.source.Ends(ctx, e.inner...)
	if err != nil {
		return false, err
	}
	for p, end := range ends {
		if at, ok := e.at[p]; !ok || at < end.HighWatermark {
			return false, nil
		}
	}
	return true, nil
}
