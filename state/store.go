// Package state keeps the keyed state of tasks: ordered byte keys to byte
// values, in memory and on disk.
//
// A [DB] is the home of the stores of one process. A [Store] is one ordered
// keyspace in it and the durable floor of one task's (or one view's) state. A
// [Table] lies over a Store: the writes of the open transaction (the overlay),
// over what is committed but not yet on disk (the committed memory), over the
// Store. A Store never holds anything newer than what has been committed, and
// may lag behind it (write-behind); the changelog is the durable copy.
//
// Stores and DBs are safe for concurrent use. A Table has one owner goroutine.
package state

import (
	"errors"
	"time"
)

// ErrClosed is returned by every method of a closed store or database.
var ErrClosed = errors.New("state: closed")

// ErrOpen is returned where a store that is open would be opened again or
// dropped.
var ErrOpen = errors.New("state: the store is open")

// Range selects the keys From <= key < To in ascending order. A nil From means
// from the first key, a nil To means to the last.
type Range struct{ From, To []byte }

// Prefix returns the range of all keys that start with p.
func Prefix(p []byte) Range {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0xff {
			to := append([]byte(nil), p[:i+1]...)
			to[i]++
			return Range{From: p, To: to}
		}
	}
	return Range{From: p}
}

// Reader reads one consistent or live keyspace.
type Reader interface {
	// Get appends the value of key to buf[:0] and returns it; found is false
	// where the key does not exist. The result belongs to the caller.
	Get(key, buf []byte) (value []byte, found bool, err error)
	// GetSorted looks up many keys, which must be ascending, and calls fn once
	// for each, in order. value is valid until fn returns. It is several times
	// cheaper than as many Gets.
	GetSorted(keys [][]byte, fn func(i int, value []byte, found bool)) error
	// Scan iterates over a range in ascending key order. The caller closes the
	// iterator. It sees the keyspace as of the call.
	Scan(r Range) (Iterator, error)
}

// Iterator walks over keys in ascending order:
//
//	for it.Next() { use(it.Key(), it.Value()) }
//	err := it.Close()
//
// It is owned by one goroutine.
type Iterator interface {
	// Next moves to the next key and reports whether there is one.
	Next() bool
	// Key is valid until the next Next or Close.
	Key() []byte
	// Value is valid until the next Next or Close.
	Value() []byte
	// Close ends the walk and returns its first error.
	Close() error
}

// Snapshot is a Reader that sees the keyspace as it was when it was taken. The
// caller closes it, before the store.
type Snapshot interface {
	Reader
	Close() error
}

// Store is one ordered keyspace.
type Store interface {
	Reader
	// Apply makes all operations of the batch visible and, once durable, durable
	// together. After a crash the store holds the effects of a prefix of the
	// applied batches, whole batches only. The batch may be reused afterwards.
	Apply(b *Batch) error
	// Snapshot returns a view that later Applies do not change.
	Snapshot() (Snapshot, error)
	// Sync returns once everything applied before the call survives a crash.
	Sync() error
	// Wipe deletes every key; the store stays open and empty.
	Wipe() error
	// Size estimates the bytes that the store occupies on disk, or in memory.
	Size() (int64, error)
	// Close releases the store. Snapshots and iterators must be closed before.
	Close() error
}

// DB holds the stores of one process, by name. A name is any non-empty string
// and is stable over restarts. The memory driver is [NewMemory], the durable
// one is state/pebble.
type DB interface {
	// Open opens the store, creating it where it does not exist. A store can be
	// open once at a time.
	Open(name string) (Store, error)
	// Drop deletes a store that is not open, and all its data.
	Drop(name string) error
	// Names lists the stores that exist, sorted.
	Names() ([]string, error)
	// Close closes the database. What was not synced may be lost.
	Close() error
}

// Clock tells the time; tests inject their own.
type Clock func() time.Time
