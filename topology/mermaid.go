package topology

import (
	"fmt"
	"strings"
)

// Mermaid returns the description as a Mermaid flowchart: topics are stadiums,
// tables and stores cylinders, the group a rectangle, lookups dotted.
func (d Description) Mermaid() string { return Descriptions{d}.Mermaid() }

// Mermaid returns one flowchart of all groups; a topic that one group writes and
// another reads is one node and joins them.
func (all Descriptions) Mermaid() string {
	f := flowchart{ids: make(map[string]string)}
	f.WriteString("flowchart LR\n")
	for _, d := range all {
		f.draw(d)
	}
	return f.String()
}

type flowchart struct {
	strings.Builder
	ids map[string]string // of nodes, by label
}

// node writes a node where it is new and returns its id.
func (f *flowchart) node(label, open, end string) string {
	key := label
	if open == "[" {
		key = "group " + label // a group and a topic may share a name
	}
	if id, ok := f.ids[key]; ok {
		return id
	}
	id := fmt.Sprintf("n%d", len(f.ids)+1)
	f.ids[key] = id
	fmt.Fprintf(f, "  %s%s\"%s\"%s\n", id, open, label, end)
	return id
}

func (f *flowchart) group(name string) string { return f.node(name, "[", "]") }
func (f *flowchart) topic(name string) string { return f.node(name, "([", "])") }
func (f *flowchart) table(name string) string { return f.node(name, "[(", ")]") }

func (f *flowchart) arrow(from, arrow, to string) {
	fmt.Fprintf(f, "  %s %s %s\n", from, arrow, to)
}

func (f *flowchart) draw(d Description) {
	g := f.group(d.Group)
	for _, in := range d.Inputs {
		f.input(g, in)
	}
	for _, l := range d.Lookups {
		f.arrow(f.table(l.Topic), "-. lookup .->", g)
	}
	if d.Table != nil {
		f.arrow(g, "<-->", f.table(d.Table.Topic))
	}
	for _, s := range d.Stores {
		f.arrow(g, "<-- store -->", f.table(d.Group+": "+s.Name))
	}
	for _, o := range d.Outputs {
		f.arrow(g, "-->", f.topic(o.Topic))
	}
	if d.DeadLetter != "" {
		f.arrow(g, "-. dead letters .->", f.topic(d.DeadLetter))
	}
}

func (f *flowchart) input(g string, in TopicDescription) {
	switch in.Kind {
	case JoinInput.String():
		f.arrow(f.table(in.Topic), "-- join -->", g)
	case LoopInput.String():
		f.arrow(g, "<-- loop -->", f.topic(in.Topic))
	default:
		f.arrow(f.topic(in.Topic), "-->", g)
	}
}
