package processors

import (
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/schema"
)

// kappaContext gives Context a field name that does not collide with the method
// Context that it has from goka.
type kappaContext = Context

// Typed is a [Context] whose state, the value of the record's key in the group
// table, has the type S: no casts and no boxing. It is what a callback of
// topology.InputOf is passed; it is dead once that has returned.
//
// Typed is not a goka.Context, for its Value differs; [Typed.Untyped] is.
type Typed[S any] struct {
	kappaContext
	state schema.Codec[S]
}

// NewTyped returns a typed context that [Typed.Bind] puts to work; state encodes
// the values of the group table and may be nil where there is none. It has one
// owner goroutine and is used for one record after the other.
func NewTyped[S any](state schema.Codec[S]) *Typed[S] { return &Typed[S]{state: state} }

// Bind makes t the typed face of ctx and returns t.
func (t *Typed[S]) Bind(ctx Context) *Typed[S] {
	t.kappaContext = ctx
	return t
}

// Untyped returns the context behind t, for functions that take a goka.Context
// or a [Context].
func (t *Typed[S]) Untyped() Context { return t.kappaContext }

// Value returns the value of the record's key in the group table, and the zero
// value and false where there is none. It is the caller's: changing it changes
// nothing in the table until Set.
func (t *Typed[S]) Value() (S, bool) {
	var zero S
	data, found := t.ValueBytes()
	if !found {
		return zero, false
	}
	v, err := t.codec().Decode(data)
	if err != nil {
		t.Fail(fmt.Errorf("read the value of key %q: %w", t.Key(), err))
		return zero, false
	}
	return v, true
}

// Set sets the value of the record's key in the group table.
func (t *Typed[S]) Set(v S) {
	data, err := t.codec().Append(t.Scratch()[:0], v)
	if err != nil {
		t.Fail(fmt.Errorf("set the value of key %q: %w", t.Key(), err))
		return
	}
	t.SetScratch(data)
	t.SetValueBytes(notNil(data))
}

// SetValue is Set for code that does not know S; another type than S fails the
// callback.
func (t *Typed[S]) SetValue(v any) {
	s, ok := v.(S)
	if !ok {
		t.Fail(fmt.Errorf("set the value of key %q: it is a %T, not a %T", t.Key(), v, s))
		return
	}
	t.Set(s)
}

var errNoState = errors.New("the group keeps no typed state; declare it with topology.PersistOf")

func (t *Typed[S]) codec() schema.Codec[S] {
	if t.state == nil {
		t.Fail(errNoState)
	}
	return t.state
}

func errNoContext(ctx any) error {
	return fmt.Errorf("processors: %T is not a context of kappa; a context that wraps another one has to implement processors.Unwrapper", ctx)
}

// notNil makes an empty value of a nil one, which would be a tombstone.
func notNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}
