package state

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
)

func (t *Table) hash(key []byte) uint64 { return maphash.Bytes(t.seed, key) }

func tagOf(h uint64) uint32 { return uint32(h >> 33) }

// find returns the slot and the cell of a key, a nil cell where memory has none.
func (t *Table) find(h uint64, key []byte) (int, cell) {
	tag := tagOf(h)
	s := t.slots.s
	for i := t.slots.home(tag); ; i = (i + 1) & (len(s) - 1) {
		e := s[i]
		if e == 0 {
			return -1, nil
		}
		if e.tag() != tag {
			continue
		}
		if c := t.cells.at(e.ref()); string(c.key()) == string(key) {
			return i, c
		}
	}
}

// add makes a clean cell for a key that memory lacks.
func (t *Table) add(h uint64, key, value []byte, deleted bool) (ref, cell, error) {
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
	t.slots.insert(makeSlot(tagOf(h), r))
	return r, c, nil
}

// Preload brings the keys that memory lacks into it, in one sorted pass over the
// store, so that the Gets that follow are answered from memory. Keys may come in
// any order and repeat. It is a hint: what finds no room is left out. For keys
// that memory has, it brings them into the processor's cache, block by block.
func (t *Table) Preload(keys [][]byte) error {
	t.missing = t.missing[:0]
	for len(keys) > 0 {
		n := min(len(keys), preloadBlock)
		t.touch(keys[:n])
		keys = keys[n:]
	}
	if t.complete || len(t.missing) == 0 {
		return nil
	}
	slices.SortFunc(t.missing, bytes.Compare)
	t.missing = slices.CompactFunc(t.missing, bytes.Equal)
	t.stats.Misses += int64(len(t.missing))
	var failed error
	err := t.base.GetSorted(t.missing, func(i int, value []byte, found bool) {
		if key := t.missing[i]; failed == nil {
			_, failed = t.cache(t.hash(key), key, value, !found)
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

// touch looks up a block of keys and notes the missing ones. Slots first, then
// cells, then keys: so the cache misses of a block overlap.
func (t *Table) touch(keys [][]byte) {
	var entries [preloadBlock]slot
	for i, key := range keys {
		h := t.hash(key)
		t.hashes[i] = h
		entries[i] = t.slots.s[t.slots.home(tagOf(h))]
	}
	var sum byte
	for i := range keys {
		if e := entries[i]; e != 0 {
			sum += t.cells.at(e.ref())[offKeyLen]
		}
	}
	t.touched = sum
	for i, key := range keys {
		at, c := t.find(t.hashes[i], key)
		if c == nil {
			t.missing = append(t.missing, key)
		} else if t.slots.s[at]&slotUsed == 0 {
			t.slots.s[at] |= slotUsed
		}
	}
}
