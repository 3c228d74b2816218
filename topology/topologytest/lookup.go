package topologytest

import (
	"bytes"
	"fmt"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/topology"
)

// lookup is a whole table, as of its topic's end.
type lookup struct {
	topics *topics
	plan   topology.TablePlan
	next   []int64 // by partition
	values map[string][]byte
}

func lookups(t *topics, p *topology.Plan) map[string]task.Lookup {
	all := map[string]task.Lookup{}
	for _, l := range p.Lookups {
		all[l.Topic] = &lookup{topics: t, plan: l, next: make([]int64, t.partitions), values: map[string][]byte{}}
	}
	return all
}

// follow takes in what the topic has gained.
func (l *lookup) follow() {
	for p := range l.topics.partitions {
		for {
			r, _, ok := l.topics.next(l.plan.Topic, p, l.next[p])
			if !ok {
				break
			}
			l.next[p]++
			if r.Tombstone() {
				delete(l.values, string(r.Key))
			} else {
				l.values[string(r.Key)] = r.Value
			}
		}
	}
}

// Get implements task.Lookup.
func (l *lookup) Get(key string) (any, error) {
	data, found, err := l.GetBytes([]byte(key))
	if err != nil || !found {
		return nil, err
	}
	v, err := l.plan.Codec.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return v, nil
}

// GetBytes implements task.Lookup.
func (l *lookup) GetBytes(key []byte) (value []byte, found bool, err error) {
	l.follow()
	v, ok := l.values[string(key)]
	return bytes.Clone(v), ok, nil
}
