package state

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
)

func (t *Table) hash(key []byte) uint64 { return maphash.Bytes(t.seed, key) }

// Key is a key and its hash, for several calls about one key. It belongs to the
// Table that made it and is good while the bytes stay as they are.
type Key struct {
	bytes []byte
	hash  uint64
}

// Key hashes a key. The Key refers to the bytes.
func (t *Table) Key(key []byte) Key { return Key{key, t.hash(key)} }

// Bytes returns the key's bytes.
func (k Key) Bytes() []byte { return k.bytes }

func tagOf(h uint64) uint32 { return uint32(h >> 33) }

// find returns the slot and the cell of a key, a nil cell where memory has none.
func (t *Table) find(k Key) (int, cell) {
	tag := tagOf(k.hash)
	s := t.slots.s
	for i := t.slots.home(tag); ; i = (i + 1) & (len(s) - 1) {
		e := s[i]
		if e == 0 {
			return -1, nil
		}
		if e.tag() != tag {
			continue
		}
		if c := t.cells.at(e.ref()); string(c.key()) == string(k.bytes) {
			return i, c
		}
	}
}

// add makes a clean cell for a key that memory lacks.
func (t *Table) add(k Key, value []byte, deleted bool) (ref, cell, error) {
	key := k.bytes
	if len(key) > maxKeyLen {
		return 0, nil, errKeyTooLong
	}
	if len(value) > maxValueLen {
		return 0, nil, errValueTooLong
	}
	r, c, err := t.cells.alloc(headerLen + len(key) + len(value))
	if err != nil {
		return 0, nil, err
	}
	c.setTxn(0)
	c.setGen(0)
	c.setKeyLen(len(key))
	copy(c[headerLen:], key)
	c.put(value, deleted)
	if t.slots.crowded() {
		t.slots.grow()
	}
	t.slots.insert(makeSlot(tagOf(k.hash), r))
	return r, c, nil
}

// Preload brings the keys that memory lacks into it, in one sorted pass over the
// store, so that the Gets that follow are answered from memory. Keys may come in
// any order and repeat. It is a hint: what finds no room is left out. For keys
// that memory has, it brings them into the processor's cache, block by block.
func (t *Table) Preload(keys []Key) error {
	t.missing = t.missing[:0]
	for len(keys) > 0 {
		n := min(len(keys), preloadBlock)
		t.touch(keys[:n])
		if !t.complete {
			t.miss(keys[:n])
		}
		keys = keys[n:]
	}
	if len(t.missing) == 0 {
		return nil
	}
	slices.SortFunc(t.missing, bytes.Compare)
	t.missing = slices.CompactFunc(t.missing, bytes.Equal)
	t.stats.Misses += int64(len(t.missing))
	var failed error
	err := t.base.GetSorted(t.missing, func(i int, value []byte, found bool) {
		if failed == nil {
			_, failed = t.cache(t.Key(t.missing[i]), value, !found)
		}
	})
	if err == nil {
		err = failed
	}
	clear(t.missing)
	if err != nil {
		return fmt.Errorf("preload: %w", err)
	}
	return nil
}

// touch brings the entries and cells of a block of keys into the processor's
// cache. Entries first, then cells: so the cache misses of a block overlap.
func (t *Table) touch(keys []Key) {
	var entries [preloadBlock]slot
	for i := range keys {
		entries[i] = t.slots.s[t.slots.home(tagOf(keys[i].hash))]
	}
	var sum byte
	for _, e := range entries[:len(keys)] {
		if e != 0 {
			sum += t.cells.at(e.ref())[offKeyLen]
		}
	}
	t.touched = sum
}

// miss notes which keys memory lacks.
func (t *Table) miss(keys []Key) {
	for _, k := range keys {
		at, c := t.find(k)
		if c == nil {
			t.missing = append(t.missing, k.bytes)
		} else if t.slots.s[at]&slotUsed == 0 {
			t.slots.s[at] |= slotUsed
		}
	}
}
