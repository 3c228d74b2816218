package processors

import "github.com/lovoo/goka"

// Scope is a context of any kind, as the typed handles take it: a goka.Context
// that FromContext understands, a [Context] or a *[Typed].
type Scope interface {
	// Topic returns the input record's topic.
	Topic() goka.Stream
	// Key returns the input record's key.
	Key() string
	// Fail stops the callback with err; it does not return.
	Fail(err error)
}

// Arena is implemented by contexts that lend memory which lives until the
// commit. The typed handles encode emitted records into it, without garbage.
type Arena interface {
	// Arena returns an empty slice with spare capacity to append to.
	Arena() []byte
	// Keep says what became of that slice: it stays as it is until the commit.
	// One that outgrew the arena's memory needs no keeping, but may be handed in.
	Keep(used []byte)
	// EmitKept is EmitRecord of a key and a value that lie in kept memory, or in
	// memory of their own: they are not copied.
	EmitKept(topic goka.Stream, r Emit)
}

// Tables is implemented by contexts that hand out the encoded values of joined
// and looked-up tables, valid until the next call of a method of the context.
type Tables interface {
	// JoinBytes returns the value of the record's key in a joined table; one that
	// is no edge of the group fails the callback.
	JoinBytes(table goka.Table) (value []byte, found bool)
	// LookupBytes returns the value of key in a looked-up table; one that is no
	// edge of the group fails the callback.
	LookupBytes(table goka.Table, key string) (value []byte, found bool)
}

// contextOf returns the kappa context behind any kind of context.
func contextOf(s Scope) Context {
	switch c := s.(type) {
	case Context:
		return c
	case interface{ Untyped() Context }:
		return c.Untyped()
	case goka.Context:
		return FromContext(c)
	}
	s.Fail(errNoContext(s))
	return nil
}

// arenaOf returns memory for an emitted record and the function that keeps it.
func arenaOf(c Context) (mem []byte, a Arena) {
	if a, ok := c.(Arena); ok {
		return a.Arena(), a
	}
	return nil, nil
}
