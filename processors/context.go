// Package processors holds what a callback works with beyond goka's context, and
// the ready-made processors built on it.
//
// Nothing in this package starts a goroutine, does I/O or reads a clock: a
// processor is a function of its input record and its state. A [Context] belongs
// to the callback that it is passed to and is dead once that has returned.
package processors

import (
	"time"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/record"
)

// gokaContext gives goka.Context a field name that does not collide with its
// method Context.
type gokaContext = goka.Context

// Context is what kappa passes to every callback: all of goka.Context and what
// goka has no word for. Get it with [FromContext].
//
// Methods that fail (a codec, a missing edge, the disk) stop the callback by a
// panic that kappa catches, as goka's do; the group's error policy decides what
// follows. Do not recover from it.
type Context interface {
	gokaContext

	// Record is the input record. It is valid, and must not be changed, until
	// the callback returns. A visitor sees a record without a topic's offset.
	Record() *record.Record
	// StreamTime is the largest timestamp that the task has seen, in UTC. It is
	// committed with the state, so a replay sees the same times.
	StreamTime() time.Time

	// ValueBytes is the encoded value of the record's key in the group table,
	// valid until state is read or written again; found is false where there is none.
	ValueBytes() (value []byte, found bool)
	// SetValueBytes sets the encoded value of the record's key; value is copied.
	SetValueBytes(value []byte)
	// Store returns the named store of the task's partition.
	Store(name string) Store

	// EmitRecord writes an already encoded record to an output. A zero Timestamp
	// means that of the input record. Key, value and headers are copied.
	EmitRecord(topic goka.Stream, r Emit)

	// Count says what became of the record, where that is not
	// record.Processed: a filter, a duplicate, a late one. The last call wins.
	Count(fate record.Fate)

	// Scratch is memory that lives until the callback returns, for encoding
	// without garbage: use Scratch()[:0] and hand the grown slice to
	// SetScratch.
	Scratch() []byte
	SetScratch([]byte)
}

// Emit is an encoded record to write. A nil Value is a tombstone.
type Emit struct {
	Key       []byte
	Value     []byte
	Headers   []record.Header
	Timestamp int64 // milliseconds; 0 means the input record's
}

// Store is a named keyed store of one task's partition. It is changelogged,
// restored and committed with the group table. Keys are any bytes; only keys of
// the same partition meet here. Its methods fail as those of [Context] do.
type Store interface {
	// Get decodes the value of key, nil where there is none.
	Get(key string) any
	Set(key string, value any)
	Delete(key string)
	// Scan calls fn for the keys that start with prefix, ascending, until it
	// returns false. fn must not write to the store.
	Scan(prefix string, fn func(key string, value any) bool)

	GetBytes(key []byte) (value []byte, found bool) // valid until state is read or written again
	SetBytes(key, value []byte)                     // copies both
	DeleteBytes(key []byte)
	// ScanBytes calls fn for from <= key < to (nil: no bound), ascending.
	ScanBytes(from, to []byte, fn func(key, value []byte) bool)
}

// Unwrapper is implemented by contexts that wrap another one.
type Unwrapper interface{ Unwrap() goka.Context }

// FromContext returns the kappa context behind ctx. A context that does not come
// from kappa fails the callback.
func FromContext(ctx goka.Context) Context {
	for c := ctx; c != nil; {
		if k, ok := c.(Context); ok {
			return k
		}
		u, ok := c.(Unwrapper)
		if !ok {
			break
		}
		c = u.Unwrap()
	}
	ctx.Fail(errNoContext(ctx))
	return nil
}
