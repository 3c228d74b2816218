package topologytest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/record"
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
