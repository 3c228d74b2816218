package topology

import (
	"fmt"
	"reflect"
)

// check says all that is wrong with the edges.
func (b *builder) check() {
	b.checkGroup()
	for i, e := range b.edges {
		b.checkName(e)
		b.checkParts(e)
		b.checkAgain(e, b.edges[:i])
		b.checkState(e)
	}
}

func (b *builder) checkGroup() {
	if problem, hint := nameProblem(b.group, maxGroup); problem != "" {
		b.say("", problem, hint)
	}
	if !b.has(inputEdge) {
		b.say("", "it has no input", "add topology.Input: a group needs at least one stream to process")
	}
}

// checkName judges the names of topics, stores and visitors.
func (b *builder) checkName(e edge) {
	switch e.kind {
	case inputEdge, joinEdge, lookupEdge, outputEdge, deadLetterEdge:
		if problem, hint := nameProblem(e.name, maxTopic); problem != "" {
			b.say(e.String(), problem, hint)
			return
		}
		b.checkReserved(e)
	case storeEdge, visitorEdge:
		if problem, hint := nameProblem(e.name, maxTopic); problem != "" {
			b.say(e.String(), problem, hint)
		}
	}
}

// checkReserved judges topics that belong to a group: any may read the table of
// another group, nobody but the group itself the others, and none may write.
func (b *builder) checkReserved(e edge) {
	suffix, owner := reserved(e.name)
	own := owner == b.group
	switch {
	case suffix == "":
	case own && suffix == tableSuffix:
		b.say(e.String(), "this is the group's own table", "use topology.Persist, ctx.Value and ctx.SetValue")
	case own && suffix == loopSuffix:
		b.say(e.String(), "this is the group's own loop", "use topology.Loop and ctx.Loopback")
	case e.kind == outputEdge || e.kind == deadLetterEdge:
		b.say(e.String(), fmt.Sprintf("the suffix %s is reserved for the topics of groups", suffix),
			fmt.Sprintf("only group %q may write there: choose another topic", owner))
	case suffix != tableSuffix:
		b.say(e.String(), fmt.Sprintf("the suffix %s is reserved for the internal topics of groups", suffix),
			"read the group's table or one of its outputs instead")
	}
}

// checkParts says which codec, callback or value is missing.
func (b *builder) checkParts(e edge) {
	switch e.kind {
	case inputEdge, loopEdge:
		b.needCodec(e)
		b.needCallback(e)
	case joinEdge, lookupEdge, outputEdge, persistEdge, storeEdge:
		b.needCodec(e)
	case visitorEdge:
		b.needCallback(e)
		if !b.has(persistEdge) {
			b.say(e.String(), "the group has no table to visit", "add topology.Persist or remove the visitor")
		}
	case hasherEdge:
		if e.hasher.Partition == nil || e.hasher.Name == "" {
			b.say(e.String(), "the hasher is empty", "use record.FNV1a or record.Murmur2")
		}
	case startEdge:
		if e.start > Latest {
			b.say(e.String(), "there is no such start", "use topology.Earliest or topology.Latest")
		}
	}
}

func (b *builder) needCodec(e edge) {
	if e.codec == nil {
		b.say(e.String(), "the codec is nil", "pass one, as in new(codec.Int64) or schema.JSON[T]()")
	}
}

func (b *builder) needCallback(e edge) {
	if !e.hasCallback() {
		b.say(e.String(), "the callback is nil", "pass the function that processes it")
	}
}

// checkAgain compares an edge with those before it.
func (b *builder) checkAgain(e edge, before []edge) {
	for _, o := range before {
		if problem, hint := clash(e, o); problem != "" {
			b.say(e.String(), problem, hint)
			return
		}
	}
}

// clash says why two edges cannot stand in one group.
func clash(e, o edge) (problem, hint string) {
	if e.kind == o.kind {
		return twice(e, o)
	}
	if e.name == "" || e.name != o.name || !ofTopic(e.kind) || !ofTopic(o.kind) {
		return "", ""
	}
	kinds := [2]kind{e.kind, o.kind}
	switch {
	case kinds == [2]kind{joinEdge, inputEdge}, kinds == [2]kind{inputEdge, joinEdge}:
		return "the topic is an input and a joined table", "a topic is consumed once: keep one of the two"
	case e.kind == deadLetterEdge || o.kind == deadLetterEdge:
		other := o.kind
		if other == deadLetterEdge {
			other = e.kind
		}
		return fmt.Sprintf("the topic is the dead-letter topic and an edge of the kind %s", other), "give dead letters a topic of their own"
	}
	return "", ""
}

// twice judges two edges of one kind.
func twice(e, o edge) (problem, hint string) {
	switch e.kind {
	case nilEdge:
		return "", ""
	case persistEdge:
		return "the group has a table already", "a group has one table: use topology.Store for more state"
	case loopEdge:
		return "the group has a loop already", "a group has one loop: tell messages apart by their type"
	case deadLetterEdge:
		return "the group has a dead-letter topic already", "keep one"
	case startEdge, hasherEdge:
		return "it is said twice", "keep one"
	}
	if e.name == o.name && e.name != "" {
		return fmt.Sprintf("there is another %s of this name", e.kind), "names are unique: keep one"
	}
	return "", ""
}

func ofTopic(k kind) bool { return k != storeEdge && k != visitorEdge }

// checkState compares the state type of a typed edge with that of the table.
func (b *builder) checkState(e edge) {
	if e.kind == persistEdge || e.state.typ == nil || e.state.typ == reflect.TypeFor[struct{}]() {
		return
	}
	table, ok := b.table()
	switch {
	case !ok && e.state.codec != nil:
		b.say(e.String(), fmt.Sprintf("it has a state of type %s, but the group has no table", e.state.typ),
			"add topology.PersistOf with the same codec")
	case !ok:
	case table.typ != nil && table.typ != e.state.typ:
		b.say(e.String(), fmt.Sprintf("its state is a %s, the table's a %s", e.state.typ, table.typ),
			"use one type of state in the whole group")
	case table.typ == nil && e.state.codec == nil:
		b.say(e.String(), "its state codec is nil and the table is not typed",
			"use topology.PersistOf, or name the state codec")
	}
}

// table returns the state of the group's table; ok is false where it has none.
func (b *builder) table() (s stateCodec, ok bool) {
	for _, e := range b.edges {
		if e.kind == persistEdge {
			return e.state, true
		}
	}
	return stateCodec{}, false
}
