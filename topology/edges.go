package topology

import (
	"fmt"
	"reflect"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
)

// Edge is one line of a group's definition. The functions of this package make
// them.
type Edge interface{ edges() []edge }

// kind says what an edge is. Its text is what mistakes call it.
type kind string

const (
	inputEdge      kind = "input"
	joinEdge       kind = "join"
	lookupEdge     kind = "lookup"
	loopEdge       kind = "loop"
	persistEdge    kind = "persist"
	outputEdge     kind = "output"
	visitorEdge    kind = "visitor"
	storeEdge      kind = "store"
	deadLetterEdge kind = "dead letter"
	startEdge      kind = "start"
	hasherEdge     kind = "hasher"
	nilEdge        kind = "process nil"
)

// edge is what all kinds of edges have in common.
type edge struct {
	kind     kind
	name     string               // topic, store or visitor
	codec    schema.Appender      // nil where the user gave none
	original goka.Codec           // the codec as the user gave it
	callback goka.ProcessCallback // nil for a typed callback
	typed    typedCallback        // nil for goka's
	state    stateCodec           // of typed edges
	start    Start
	hasher   record.Hasher
}

// typedCallback makes what runs a typed callback, given the group's state codec.
type typedCallback interface {
	// handlers makes the Plan's NewHandler.
	handlers(state any) func() Handler
	// call runs the callback with a decoded message.
	call(state any, ctx processors.Context, msg any)
}

// stateCodec is a schema.Codec of some type.
type stateCodec struct {
	typ   reflect.Type // nil: the edge is not typed
	codec any          // nil: that of PersistOf
}

func (e edge) edges() []edge { return []edge{e} }

func (e edge) String() string {
	if e.name == "" {
		switch e.kind {
		case persistEdge, loopEdge, startEdge, hasherEdge, nilEdge:
			return string(e.kind)
		}
	}
	return fmt.Sprintf("%s %q", e.kind, e.name)
}

// hasCallback reports whether the edge runs user code.
func (e edge) hasCallback() bool { return e.callback != nil || e.typed != nil }

// Input consumes a stream: each record is decoded with c and handed to cb. All
// inputs of a group are co-partitioned. Tombstones are skipped unless the group
// has [ProcessNil].
func Input(topic goka.Stream, c goka.Codec, cb goka.ProcessCallback) Edge {
	return edge{kind: inputEdge, name: string(topic), codec: appender(c), original: c, callback: cb}
}

// Inputs consumes several streams with one codec and callback.
func Inputs(topics goka.Streams, c goka.Codec, cb goka.ProcessCallback) Edge {
	list := make(edgeList, len(topics))
	for i, t := range topics {
		list[i] = Input(t, c, cb)
	}
	return list
}

// Persist gives the group a table, <group>-table: a value per key, read and
// written with Value and SetValue.
func Persist(c goka.Codec) Edge {
	return edge{kind: persistEdge, codec: appender(c), original: c}
}

// Join consumes a co-partitioned table, whose value for the record's key
// ctx.Join returns.
func Join(table goka.Table, c goka.Codec) Edge {
	return edge{kind: joinEdge, name: string(table), codec: appender(c), original: c}
}

// Lookup keeps a whole table in each process, whose value for any key ctx.Lookup
// returns, as of its arrival.
func Lookup(table goka.Table, c goka.Codec) Edge {
	return edge{kind: lookupEdge, name: string(table), codec: appender(c), original: c}
}

// Loop gives the group a stream to itself, <group>-loop: ctx.Loopback writes to
// it, cb processes it where the new key lives.
func Loop(c goka.Codec, cb goka.ProcessCallback) Edge {
	return edge{kind: loopEdge, codec: appender(c), original: c, callback: cb}
}

// Output allows callbacks to emit to a topic.
func Output(topic goka.Stream, c goka.Codec) Edge {
	return edge{kind: outputEdge, name: string(topic), codec: appender(c), original: c}
}

// Visitor names a callback that can be run over every key of the group table.
func Visitor(name string, cb goka.ProcessCallback) Edge {
	return edge{kind: visitorEdge, name: name, callback: cb}
}

// Store gives each task a named keyed store beside the table. Get it with
// processors.FromContext(ctx).Store(name). goka has no equivalent.
func Store(name string, c goka.Codec) Edge {
	return edge{kind: storeEdge, name: name, codec: appender(c), original: c}
}

// DeadLetter sets the group's error policy: a record that cannot be decoded, or
// whose callback fails or panics, is written to topic with its position and error
// in headers, in the same transaction and without any other effect, and the group
// goes on. Without it the task stops and names the record.
func DeadLetter(topic goka.Stream) Edge {
	return edge{kind: deadLetterEdge, name: string(topic)}
}

// StartAt says where a group without committed positions begins; the default is
// [Earliest].
func StartAt(s Start) Edge { return edge{kind: startEdge, start: s} }

// WithHasher says how the keys of the group's topics are placed on partitions;
// the default is record.FNV1a, as goka's. It has to be that of all who write the
// inputs.
func WithHasher(h record.Hasher) Edge { return edge{kind: hasherEdge, hasher: h} }

// ProcessNil hands tombstones of streams to the callbacks, as a nil message (the
// zero value where the callback is typed), as goka.NilProcess does. The default
// is to skip them, counted as filtered.
func ProcessNil() Edge { return edge{kind: nilEdge} }

// edgeList is the edges of Inputs.
type edgeList []Edge

func (l edgeList) edges() []edge {
	var all []edge
	for _, e := range l {
		all = append(all, e.edges()...)
	}
	return all
}
