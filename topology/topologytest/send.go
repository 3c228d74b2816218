package topologytest

import (
	"fmt"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// Send appends a record to an input, its value encoded with that input's codec, and
// processes it. A nil value is a tombstone.
func (a *App) Send(topic, key string, value any, opts ...SendOption) {
	a.helper()
	a.do(func() error {
		codec := a.inputCodec(topic)
		if codec == nil {
			return a.noInput(topic)
		}
		r, err := a.record(topic, key, value, codec)
		if err != nil {
			return err
		}
		for _, o := range opts {
			o.change(r)
		}
		return a.feed(r)
	})
}

// SendRecord appends a copy of a record to an input and processes it: for values
// that the codec cannot make, and for records without a key. The partition is the
// key's, or r's where there is no key. The offset is the topic's next one. A zero
// timestamp stands for the clock.
func (a *App) SendRecord(r record.Record) {
	a.helper()
	a.do(func() error {
		if a.inputCodec(r.Topic) == nil {
			return a.noInput(r.Topic)
		}
		if r.Timestamp == 0 {
			r.Timestamp = a.now.UnixMilli()
		}
		return a.feed(&r)
	})
}

// SetTable sets a key of a table that a group joins or looks up; a nil value deletes
// it. A joined table is an input: its records are processed and counted.
func (a *App) SetTable(table goka.Table, key string, value any) {
	a.helper()
	a.do(func() error {
		codec := a.tableCodec(string(table))
		if codec == nil {
			return fmt.Errorf("no group joins %q or looks it up; they read %s", table, list(a.tables()))
		}
		r, err := a.record(string(table), key, value, codec)
		if err != nil {
			return err
		}
		return a.feed(r)
	})
}

// codec is a goka.Codec without its package's name.
type codec = goka.Codec

func (a *App) record(topic, key string, value any, c codec) (*record.Record, error) {
	r := &record.Record{Topic: topic, Key: []byte(key), Timestamp: a.now.UnixMilli()}
	if value == nil {
		return r, nil
	}
	var err error
	if r.Value, err = c.Encode(value); err != nil {
		return nil, fmt.Errorf("send to %s with key %q: %w; use SendRecord for bytes as they are", topic, key, err)
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	return r, nil
}

// feed appends a record and processes what follows of it.
func (a *App) feed(r *record.Record) error {
	for _, g := range a.groups {
		if g.plan.Table != nil && g.plan.Table.Topic == r.Topic {
			return fmt.Errorf("%s is the table of group %s, which runs here: only it may write there", r.Topic, g.plan.Group)
		}
	}
	if r.Key != nil {
		r.Partition = a.hasher(r.Topic).Partition(r.Key, a.partitions)
	}
	if r.Partition < 0 || r.Partition >= a.partitions {
		return fmt.Errorf("send to %s: there is no partition %d, the topics have %d; use the option Partitions", r.Topic, r.Partition, a.partitions)
	}
	a.topics.append(r)
	return a.process()
}

// hasher returns that of the first group that reads the topic.
func (a *App) hasher(topic string) record.Hasher {
	for _, g := range a.groups {
		for i := range g.plan.Inputs {
			if g.plan.Inputs[i].Topic == topic {
				return g.plan.Hasher
			}
		}
	}
	return a.groups[0].plan.Hasher
}

func (a *App) inputCodec(topic string) codec {
	for _, g := range a.groups {
		for _, in := range g.plan.Inputs {
			if in.Topic == topic && in.Kind != topology.JoinInput {
				return in.Codec
			}
		}
	}
	return a.tableCodec(topic)
}

func (a *App) tableCodec(topic string) codec {
	for _, g := range a.groups {
		for _, in := range g.plan.Inputs {
			if in.Topic == topic && in.Kind == topology.JoinInput {
				return in.Codec
			}
		}
		for _, l := range g.plan.Lookups {
			if l.Topic == topic {
				return l.Codec
			}
		}
	}
	return nil
}

func (a *App) tables() (names []string) {
	for _, g := range a.groups {
		for _, in := range g.plan.Inputs {
			if in.Kind == topology.JoinInput {
				names = append(names, in.Topic)
			}
		}
		for _, l := range g.plan.Lookups {
			names = append(names, l.Topic)
		}
	}
	return names
}

func (a *App) noInput(topic string) error {
	var names []string
	for _, g := range a.groups {
		for _, in := range g.plan.Inputs {
			names = append(names, in.Topic)
		}
	}
	return fmt.Errorf("no group reads %q; they read %s", topic, list(names))
}
