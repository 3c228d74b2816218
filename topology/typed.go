package topology

import (
	"fmt"
	"reflect"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
)

// InputOf is [Input] with types: In is what the topic holds, S what the group
// table holds. A nil state codec stands for that of [PersistOf]; where the group
// has no table, S may be struct{}. Neither message nor state is boxed.
func InputOf[In, S any](topic goka.Stream, in schema.Codec[In], state schema.Codec[S], cb func(ctx *processors.Typed[S], msg In)) Edge {
	return typedEdge(inputEdge, string(topic), in, state, cb)
}

// LoopOf is [Loop] with types. ctx.Loopback takes values of type In.
func LoopOf[In, S any](in schema.Codec[In], state schema.Codec[S], cb func(ctx *processors.Typed[S], msg In)) Edge {
	return typedEdge(loopEdge, "", in, state, cb)
}

// PersistOf is [Persist] with a type.
func PersistOf[S any](c schema.Codec[S]) Edge {
	e := edge{kind: persistEdge, state: stateOf(c)}
	e.codec, e.original = both(c)
	return e
}

// VisitorOf is [Visitor] with types: S is what the group table holds, and meta
// what the visit was started with. The state codec is that of [PersistOf].
func VisitorOf[S any](name string, cb func(ctx *processors.Typed[S], meta any)) Edge {
	e := edge{kind: visitorEdge, name: name, state: stateOf[S](nil)}
	if cb != nil {
		e.typed = typed[any, S]{callback: cb}
	}
	return e
}

// OutputEdge is the edge of an output and the handle to emit through.
type OutputEdge[T any] struct{ processors.Output[T] }

// OutputOf is [Output] with a type: emit with Emit of what it returns.
func OutputOf[T any](topic goka.Stream, c schema.Codec[T]) OutputEdge[T] {
	return OutputEdge[T]{processors.Output[T]{Topic: topic, Codec: c}}
}

func (o OutputEdge[T]) edges() []edge { return plain(outputEdge, string(o.Topic), o.Codec) }

// JoinEdge is the edge of a joined table and the handle to read it.
type JoinEdge[T any] struct{ processors.Join[T] }

// JoinOf is [Join] with a type: read with Get of what it returns.
func JoinOf[T any](table goka.Table, c schema.Codec[T]) JoinEdge[T] {
	return JoinEdge[T]{processors.Join[T]{Table: table, Codec: c}}
}

func (j JoinEdge[T]) edges() []edge { return plain(joinEdge, string(j.Table), j.Codec) }

// LookupEdge is the edge of a looked-up table and the handle to read it.
type LookupEdge[T any] struct{ processors.Lookup[T] }

// LookupOf is [Lookup] with a type: read with Get of what it returns.
func LookupOf[T any](table goka.Table, c schema.Codec[T]) LookupEdge[T] {
	return LookupEdge[T]{processors.Lookup[T]{Table: table, Codec: c}}
}

func (l LookupEdge[T]) edges() []edge { return plain(lookupEdge, string(l.Table), l.Codec) }

// StoreEdge is the edge of a named store and the handle to it.
type StoreEdge[T any] struct{ processors.Keyed[T] }

// StoreOf is [Store] with a type: read and write with the methods of what it
// returns.
func StoreOf[T any](name string, c schema.Codec[T]) StoreEdge[T] {
	return StoreEdge[T]{processors.Keyed[T]{Name: name, Codec: c}}
}

func (s StoreEdge[T]) edges() []edge { return plain(storeEdge, s.Name, s.Codec) }

func plain[T any](k kind, name string, c schema.Codec[T]) []edge {
	e := edge{kind: k, name: name}
	e.codec, e.original = both(c)
	return []edge{e}
}

func typedEdge[In, S any](k kind, name string, in schema.Codec[In], state schema.Codec[S], cb func(*processors.Typed[S], In)) Edge {
	e := edge{kind: k, name: name, state: stateOf(state)}
	e.codec, e.original = both(in)
	if cb != nil {
		e.typed = typed[In, S]{in, cb}
	}
	return e
}

// both returns the codec's untyped face, as Appender and as goka.Codec.
func both[T any](c schema.Codec[T]) (schema.Appender, goka.Codec) {
	if c == nil {
		return nil, nil
	}
	a := schema.Boxed(c)
	return a, a
}

func stateOf[S any](c schema.Codec[S]) stateCodec {
	s := stateCodec{typ: reflect.TypeFor[S]()}
	if c != nil {
		s.codec = c
	}
	return s
}

// typed runs a typed callback.
type typed[In, S any] struct {
	in       schema.Codec[In] // nil for a visitor
	callback func(*processors.Typed[S], In)
}

// handlers makes handlers that own one typed context each, so that a record
// costs no allocation.
func (t typed[In, S]) handlers(state any) func() Handler {
	codec, _ := state.(schema.Codec[S])
	return func() Handler {
		ctx := processors.NewTyped(codec)
		return func(c processors.Context, r *record.Record) error {
			var msg In
			if r.Value != nil {
				var err error
				if msg, err = t.in.Decode(r.Value); err != nil {
					return fmt.Errorf("decode the value: %w", err)
				}
			}
			t.callback(ctx.Bind(c), msg)
			return nil
		}
	}
}

func (t typed[In, S]) call(state any, c processors.Context, msg any) {
	codec, _ := state.(schema.Codec[S])
	in, _ := msg.(In) // nil: a tombstone
	t.callback(processors.NewTyped(codec).Bind(c), in)
}

// handlers makes handlers of goka's kind of callback.
func handlers(c goka.Codec, cb goka.ProcessCallback) func() Handler {
	return func() Handler {
		decode := schema.Decoding(c)
		return func(ctx processors.Context, r *record.Record) error {
			var msg any
			if r.Value != nil {
				var err error
				if msg, err = decode(r.Value); err != nil {
					return fmt.Errorf("decode the value: %w", err)
				}
			}
			cb(ctx, msg)
			return nil
		}
	}
}
