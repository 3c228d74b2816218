package processors

import (
	"fmt"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/schema"
)

// Output writes records of type T to a topic. It is the handle of an edge of
// topology.OutputOf, and stateless: one handle serves all tasks.
type Output[T any] struct {
	Topic goka.Stream
	Codec schema.Codec[T]
}

// Emit writes a record with the input record's timestamp.
func (o Output[T]) Emit(ctx Scope, key string, value T) { o.EmitWith(ctx, key, value, Emit{}) }

// EmitWith writes a record with the headers and the timestamp of with, whose Key
// and Value are ignored.
func (o Output[T]) EmitWith(ctx Scope, key string, value T, with Emit) {
	emit(o, contextOf(ctx), key, value, with)
}

// Forward writes a record under the input record's key, with its timestamp. It is
// Emit with ctx.Key(), without making a string of the key.
func (o Output[T]) Forward(ctx Scope, value T) {
	c := contextOf(ctx)
	emit(o, c, c.Record().Key, value, Emit{})
}

func emit[T any, K string | []byte](o Output[T], c Context, key K, value T, with Emit) {
	mem, arena := arenaOf(c)
	n := len(mem) + len(key)
	mem = append(mem, key...)
	mem, err := o.Codec.Append(mem, value)
	if err != nil {
		c.Fail(fmt.Errorf("emit to %s with key %q: %w", o.Topic, string(key), err))
		return
	}
	mem = notNil(mem)
	with.Key, with.Value = mem[:n:n], mem[n:len(mem):len(mem)]
	if arena == nil {
		c.EmitRecord(o.Topic, with)
		return
	}
	arena.Keep(mem)
	arena.EmitKept(o.Topic, with)
}

// Delete writes a tombstone, with the input record's timestamp.
func (o Output[T]) Delete(ctx Scope, key string) {
	contextOf(ctx).EmitRecord(o.Topic, Emit{Key: []byte(key)})
}

// Join reads a co-partitioned table. It is the handle of an edge of
// topology.JoinOf.
type Join[T any] struct {
	Table goka.Table
	Codec schema.Codec[T]
}

// Get returns the value of the record's key, and false where there is none.
func (j Join[T]) Get(ctx Scope) (T, bool) {
	c := contextOf(ctx)
	t, ok := c.(Tables)
	if !ok {
		return cast[T](c, j.Table, c.Join(j.Table))
	}
	data, found := t.JoinBytes(j.Table)
	return decode(c, j.Codec, data, found, func() string {
		return fmt.Sprintf("join %s with key %q", j.Table, c.Key())
	})
}

// Lookup reads a table that every process keeps whole. It is the handle of an
// edge of topology.LookupOf.
type Lookup[T any] struct {
	Table goka.Table
	Codec schema.Codec[T]
}

// Get returns the value of key, and false where there is none.
func (l Lookup[T]) Get(ctx Scope, key string) (T, bool) {
	c := contextOf(ctx)
	t, ok := c.(Tables)
	if !ok {
		return cast[T](c, l.Table, c.Lookup(l.Table, key))
	}
	data, found := t.LookupBytes(l.Table, key)
	return decode(c, l.Codec, data, found, func() string {
		return fmt.Sprintf("look up key %q in %s", key, l.Table)
	})
}

// cast takes the value as the edge's own codec decoded it.
func cast[T any](c Context, table goka.Table, value any) (T, bool) {
	var zero T
	if value == nil {
		return zero, false
	}
	v, ok := value.(T)
	if !ok {
		c.Fail(fmt.Errorf("table %s holds a %T, not a %T", table, value, zero))
	}
	return v, ok
}

// decode decodes what was found; what names the read in an error.
func decode[T any](c Context, codec schema.Codec[T], data []byte, found bool, what func() string) (T, bool) {
	var zero T
	if !found {
		return zero, false
	}
	v, err := codec.Decode(data)
	if err != nil {
		c.Fail(fmt.Errorf("%s: %w", what(), err))
		return zero, false
	}
	return v, true
}
