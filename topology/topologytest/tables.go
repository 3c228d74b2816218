package topologytest

import (
	"fmt"
	"slices"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/topology"
)

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
