package topology

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seed-73111be4/kappa/schema"
)

// Description shows a plan: as text, as JSON, as a Mermaid diagram.
type Description struct {
	Group       string             `json:"group"`
	Inputs      []TopicDescription `json:"inputs"`
	Lookups     []TopicDescription `json:"lookups,omitempty"`
	Outputs     []TopicDescription `json:"outputs,omitempty"`
	Table       *TopicDescription  `json:"table,omitempty"`
	Stores      []StoreDescription `json:"stores,omitempty"`
	Visitors    []string           `json:"visitors,omitempty"`
	StateTopic  string             `json:"state_topic"`
	OnError     string             `json:"on_error"` // "fail" or "dead-letter"
	DeadLetter  string             `json:"dead_letter,omitempty"`
	Start       string             `json:"start"`      // "earliest" or "latest"
	Tombstones  string             `json:"tombstones"` // "skip" or "process"
	Hasher      string             `json:"hasher"`
	Fingerprint string             `json:"fingerprint"`
}

// TopicDescription shows a topic.
type TopicDescription struct {
	Topic string `json:"topic"`
	Kind  string `json:"kind"` // "stream", "join", "loop", "lookup", "output" or "table"
	Codec string `json:"codec"`
}

// StoreDescription shows a named store.
type StoreDescription struct {
	Name  string `json:"name"`
	Codec string `json:"codec"`
}

// Descriptions shows the groups of one application.
type Descriptions []Description

// Describe returns the descriptions of several plans, in their order.
func Describe(plans ...*Plan) Descriptions {
	all := make(Descriptions, len(plans))
	for i, p := range plans {
		all[i] = p.Describe()
	}
	return all
}

// Describe returns the plan's description.
func (p *Plan) Describe() Description {
	d := Description{
		Group: p.Group, Inputs: []TopicDescription{},
		StateTopic: p.StateTopic, OnError: p.OnError.String(), DeadLetter: p.DeadLetter,
		Start: p.Start.String(), Tombstones: "skip", Hasher: p.Hasher.Name, Fingerprint: p.Fingerprint,
	}
	if p.ProcessNil {
		d.Tombstones = "process"
	}
	for _, in := range p.Inputs {
		d.Inputs = append(d.Inputs, TopicDescription{in.Topic, in.Kind.String(), schema.Name(in.Codec)})
	}
	for _, l := range p.Lookups {
		d.Lookups = append(d.Lookups, TopicDescription{l.Topic, "lookup", schema.Name(l.Codec)})
	}
	for _, o := range p.Outputs {
		d.Outputs = append(d.Outputs, TopicDescription{o.Topic, "output", schema.Name(o.Codec)})
	}
	if p.Table != nil {
		d.Table = &TopicDescription{p.Table.Topic, "table", schema.Name(p.Table.Codec)}
	}
	for _, s := range p.Stores {
		d.Stores = append(d.Stores, StoreDescription{s.Name, schema.Name(s.Codec)})
	}
	for _, v := range p.Visitors {
		d.Visitors = append(d.Visitors, v.Name)
	}
	return d
}

// String returns the description as text, a block for each part of the line that
// a record takes.
func (d Description) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "Group: %s\n", d.Group)
	for _, in := range d.Inputs {
		fmt.Fprintf(&s, "  Source: %s (%s, codec %s)\n    --> %s\n", in.Topic, in.Kind, in.Codec, d.Group)
	}
	for _, l := range d.Lookups {
		fmt.Fprintf(&s, "  Lookup: %s (whole table, codec %s)\n    --> %s\n", l.Topic, l.Codec, d.Group)
	}
	d.writeProcessor(&s)
	for _, o := range d.Outputs {
		fmt.Fprintf(&s, "  Sink: %s (codec %s)\n    <-- %s\n", o.Topic, o.Codec, d.Group)
	}
	if d.DeadLetter != "" {
		fmt.Fprintf(&s, "  Dead letters: %s\n    <-- %s\n", d.DeadLetter, d.Group)
	}
	fmt.Fprintf(&s, "  State topic: %s\n", d.StateTopic)
	fmt.Fprintf(&s, "  On error: %s, start: %s, tombstones: %s, hasher: %s\n", d.OnError, d.Start, d.Tombstones, d.Hasher)
	fmt.Fprintf(&s, "  Fingerprint: %s\n", d.Fingerprint)
	return s.String()
}

func (d Description) writeProcessor(s *strings.Builder) {
	fmt.Fprintf(s, "  Processor: %s\n    <-- %s\n", d.Group, strings.Join(d.sources(), ", "))
	if sinks := d.sinks(); len(sinks) > 0 {
		fmt.Fprintf(s, "    --> %s\n", strings.Join(sinks, ", "))
	}
	if d.Table != nil {
		fmt.Fprintf(s, "    Table: %s (codec %s)\n", d.Table.Topic, d.Table.Codec)
	}
	for _, st := range d.Stores {
		fmt.Fprintf(s, "    Store: %s (codec %s)\n", st.Name, st.Codec)
	}
	if len(d.Visitors) > 0 {
		fmt.Fprintf(s, "    Visitors: %s\n", strings.Join(d.Visitors, ", "))
	}
}

// sources returns what the processor reads.
func (d Description) sources() []string {
	var names []string
	for _, in := range d.Inputs {
		names = append(names, in.Topic)
	}
	for _, l := range d.Lookups {
		names = append(names, l.Topic)
	}
	return names
}

// sinks returns what callbacks write to, without the table.
func (d Description) sinks() []string {
	var names []string
	for _, o := range d.Outputs {
		names = append(names, o.Topic)
	}
	for _, in := range d.Inputs {
		if in.Kind == LoopInput.String() {
			names = append(names, in.Topic)
		}
	}
	return names
}

// JSON returns the description as indented JSON with a final newline.
func (d Description) JSON() string { return indented(d) }

// String returns the descriptions as text, with an empty line between groups.
func (all Descriptions) String() string {
	texts := make([]string, len(all))
	for i, d := range all {
		texts[i] = d.String()
	}
	return strings.Join(texts, "\n")
}

// JSON returns the descriptions as an indented JSON array with a final newline.
func (all Descriptions) JSON() string { return indented(all) }

// indented cannot fail: descriptions hold strings only.
func indented(v any) string {
	data, _ := json.MarshalIndent(v, "", "  ")
	return string(data) + "\n"
}
