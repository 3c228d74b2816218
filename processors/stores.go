package processors

import (
	"fmt"
	"strings"

	"github.com/seed-73111be4/kappa/schema"
)

// Keyed is a named store whose values have the type T. It is the handle of an
// edge of topology.StoreOf, and stateless: one handle serves all tasks, each of
// which has a store of its own.
type Keyed[T any] struct {
	Name  string
	Codec schema.Codec[T]
}

// Get returns the value of key, and false where there is none.
func (k Keyed[T]) Get(ctx Scope, key string) (T, bool) {
	c := contextOf(ctx)
	mem := append(c.Scratch()[:0], key...)
	c.SetScratch(mem)
	data, found := c.Store(k.Name).GetBytes(mem)
	return decode(c, k.Codec, data, found, func() string { return k.what("get", key) })
}

// Set sets the value of key.
func (k Keyed[T]) Set(ctx Scope, key string, value T) {
	c := contextOf(ctx)
	mem := append(c.Scratch()[:0], key...)
	mem, err := k.Codec.Append(mem, value)
	if err != nil {
		c.Fail(fmt.Errorf("%s: %w", k.what("set", key), err))
		return
	}
	mem = notNil(mem)
	c.SetScratch(mem)
	c.Store(k.Name).SetBytes(mem[:len(key):len(key)], mem[len(key):])
}

// Delete deletes key; a key that does not exist is fine.
func (k Keyed[T]) Delete(ctx Scope, key string) {
	c := contextOf(ctx)
	mem := append(c.Scratch()[:0], key...)
	c.SetScratch(mem)
	c.Store(k.Name).DeleteBytes(mem)
}

// Scan calls fn for the keys that start with prefix, ascending, until it returns
// false. fn must not write to the store.
func (k Keyed[T]) Scan(ctx Scope, prefix string, fn func(key string, value T) bool) {
	c := contextOf(ctx)
	c.Store(k.Name).ScanBytes([]byte(prefix), nil, func(key, data []byte) bool {
		if !strings.HasPrefix(string(key), prefix) {
			return false
		}
		v, ok := decode(c, k.Codec, data, true, func() string { return k.what("scan", string(key)) })
		return ok && fn(string(key), v)
	})
}

func (k Keyed[T]) what(verb, key string) string {
	return fmt.Sprintf("%s key %q of store %s", verb, key, k.Name)
}
