package topologytest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/topology"
)

// Message is a record that a group has emitted.
type Message struct {
	Key       string
	Value     any          // decoded with the output's codec; nil for a tombstone
	Headers   goka.Headers // of headers with the same key the last
	Timestamp time.Time    // UTC
	Partition int32
}

// Output returns what the groups have emitted to a topic, and committed, since the
// last call: by partition, in order.
func (a *App) Output(topic string) []Message {
	a.helper()
	var out []Message
	a.do(func() error {
		codec := a.outputCodec(topic)
		if codec == nil {
			return fmt.Errorf("no group emits to %q; they emit to %s", topic, list(a.outputs()))
		}
		for _, r := range a.drain(topic) {
			m := Message{Key: string(r.Key), Headers: headers(r), Timestamp: r.Time(), Partition: r.Partition}
			if r.Value != nil {
				var err error
				if m.Value, err = codec.Decode(r.Value); err != nil {
					return fmt.Errorf("output %s, key %q: %w", topic, r.Key, err)
				}
			}
			out = append(out, m)
		}
		return nil
	})
	return out
}

// DeadLetter is a record that could not be processed.
type DeadLetter struct {
	Record record.Record // as it came, where it came from, with its own headers
	Group  string
	Error  string
}

// DeadLetters returns what the groups have set aside since the last call.
func (a *App) DeadLetters() []DeadLetter {
	a.helper()
	var letters []DeadLetter
	a.do(func() error {
		some := false
		for _, topic := range a.deadLetterTopics() {
			some = true
			for _, r := range a.drain(topic) {
				l, err := task.ParseDeadLetter(r)
				if err != nil {
					return fmt.Errorf("dead letter in %s: %w", topic, err)
				}
				letters = append(letters, DeadLetter{Record: l.Record, Group: l.Group, Error: l.Error})
			}
		}
		if !some {
			return errors.New("no group has a DeadLetter edge: a record that cannot be processed stops its group")
		}
		return nil
	})
	return letters
}

// drain returns copies of the records that it has not returned yet.
func (a *App) drain(topic string) []*record.Record {
	if a.drained[topic] == nil {
		a.drained[topic] = make([]int, a.partitions)
	}
	var out []*record.Record
	for p, log := range a.topics.of(topic) {
		for i := a.drained[topic][p]; i < len(log.records); i++ {
			c := log.records[i].Clone()
			out = append(out, &c)
		}
		a.drained[topic][p] = len(log.records)
	}
	return out
}

func (a *App) outputCodec(topic string) codec {
	for _, g := range a.groups {
		for _, o := range g.plan.Outputs {
			if o.Topic == topic {
				return o.Codec
			}
		}
		if g.plan.Loop != nil && g.plan.Loop.Topic == topic {
			return g.plan.Loop.Codec
		}
		if g.plan.Table != nil && g.plan.Table.Topic == topic {
			return g.plan.Table.Codec
		}
	}
	return nil
}

func (a *App) outputs() (names []string) {
	for _, g := range a.groups {
		for _, o := range g.plan.Outputs {
			names = append(names, o.Topic)
		}
		if g.plan.Loop != nil {
			names = append(names, g.plan.Loop.Topic)
		}
		if g.plan.Table != nil {
			names = append(names, g.plan.Table.Topic)
		}
	}
	return names
}

func (a *App) deadLetterTopics() (topics []string) {
	for _, g := range a.groups {
		if t := g.plan.DeadLetter; t != "" && !slices.Contains(topics, t) {
			topics = append(topics, t)
		}
	}
	return topics
}

func headers(r *record.Record) goka.Headers {
	h := make(goka.Headers, len(r.Headers))
	for _, one := range r.Headers {
		h[one.Key] = one.Value
	}
	return h
}

// Table returns the value of a key in the group's table, nil where there is none,
// as the next callback sees it.
func (g *Group) Table(key string) any {
	g.app.helper()
	var value any
	g.app.do(func() (err error) {
		if g.plan.Table == nil {
			return g.noTable()
		}
		t := g.tasks[g.plan.Hasher.Partition([]byte(key), g.app.partitions)]
		value, err = get(t, state.TableKey(nil, []byte(key)), g.plan.Table.Codec)
		return err
	})
	return value
}

// Keys returns all keys of the group's table, sorted.
func (g *Group) Keys() []string {
	g.app.helper()
	var keys []string
	g.app.do(func() error {
		if g.plan.Table == nil {
			return g.noTable()
		}
		var err error
		keys, err = g.scan(state.TableKey(nil, nil))
		return err
	})
	return keys
}

// Store returns the value of a key in a named store, nil where there is none, as
// the next callback sees it. Each task has a store of its own: with several
// partitions it is that of the first which has the key.
func (g *Group) Store(name, key string) any {
	g.app.helper()
	var value any
	g.app.do(func() error {
		s, err := g.store(name)
		for i := 0; i < len(g.tasks) && err == nil && value == nil; i++ {
			value, err = get(g.tasks[i], state.NamedKey(nil, name, []byte(key)), s.Codec)
		}
		return err
	})
	return value
}

// StoreKeys returns all keys of a named store, sorted.
func (g *Group) StoreKeys(name string) []string {
	g.app.helper()
	var keys []string
	g.app.do(func() error {
		_, err := g.store(name)
		if err == nil {
			keys, err = g.scan(state.NamedKey(nil, name, nil))
		}
		return err
	})
	return keys
}

func (g *Group) store(name string) (topology.StorePlan, error) {
	var names []string
	for _, s := range g.plan.Stores {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return topology.StorePlan{}, fmt.Errorf("group %s has no store %q, it has %s", g.plan.Group, name, list(names))
}

func (g *Group) noTable() error {
	return fmt.Errorf("group %s has no table: add a Persist edge", g.plan.Group)
}

// scan returns the keys behind a prefix, of all tasks.
func (g *Group) scan(prefix []byte) ([]string, error) {
	var keys []string
	for _, t := range g.tasks {
		it, err := t.State().Table.Scan(state.Prefix(prefix))
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", g.plan.Group, err)
		}
		for it.Next() {
			keys = append(keys, string(it.Key()[len(prefix):]))
		}
		if err := it.Close(); err != nil {
			return nil, fmt.Errorf("group %s: %w", g.plan.Group, err)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

func get(t *task.Task, storeKey []byte, c codec) (any, error) {
	data, found, err := t.State().Table.Get(storeKey)
	if err != nil || !found {
		return nil, err
	}
	v, err := c.Decode(slices.Clone(data))
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", storeKey, err)
	}
	return v, nil
}

// Counts returns what became of the records that the group has taken, those of the
// open transaction included.
func (g *Group) Counts() record.Counts {
	var all record.Counts
	for _, t := range g.tasks {
		all = all.Plus(t.Counts())
	}
	return all
}

// Changelog returns copies of what the group's last commit has written to its table
// and its state topic, the positions (docs/format/positions.md) included, without
// offsets.
func (g *Group) Changelog() []record.Record {
	out := make([]record.Record, len(g.changes))
	for i := range g.changes {
		out[i] = g.changes[i].Clone()
	}
	return out
}

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
