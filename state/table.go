package state

import (
	"errors"
	"fmt"
	"hash/maphash"
)

// DefaultMemoryBytes is the memory bound of a Table that is given none.
const DefaultMemoryBytes = 64 << 20

// TableOptions bounds a Table.
type TableOptions struct {
	// MemoryBytes bounds the memory of cells and index together; default 64 MiB.
	// Only what the Store holds, too, can be evicted: while more than that is not
	// flushed, the table grows beyond the bound, and Full says so. Not counted
	// are the old values of the open transaction, the lists of what is dirty (12
	// bytes a key) and unflushed (4 bytes a key), the copy that a running flush writes from,
	// and, while the index doubles, its old half.
	MemoryBytes int64
}

// Table is the write-back state of one task: the open transaction's writes over
// the committed memory over a Store. It caches what it reads, the absence of keys
// included. Keys and values are copied in. One goroutine owns it; it may change
// hands.
//
// Overlay and committed memory are one hash table. The first write to a key in a
// transaction lists the key and keeps its old value, so a commit only forgets
// the list, and an abort puts the old values back (docs/adr/0006 has the reasons).
type Table struct {
	base  Store
	limit int64
	seed  maphash.Seed
	cells cells
	slots slots

	txn   uint32   // of the open transaction; cells with this number are dirty
	dirty []uint32 // indexes into unflushed, in order of first write
	undo  undoLog
	mark  int // length of unflushed when the transaction began

	stamp  int64   // of the writes that follow
	stamps []int64 // of dirty keys, by their index in unflushed; others are old

	dirtyBytes int64
	gained     int64 // what the open transaction has added to unflushedBytes

	gen            uint32 // cells with this number are unflushed, with gen-1 and a running flush: flushing
	unflushed      []ref
	unflushedBytes int64
	flush          *Flush
	flushing       int // cells that are pinned by the running flush alone
	runs           sortedRuns

	// complete says that the store has no key that memory lacks: it was empty at
	// the start and nothing has been evicted since.
	complete bool

	buf       []byte // of a read that finds no room
	last      ref    // the cell that Get returned last, not to be evicted yet
	purgeHand uint32 // slab that was purged last
	recount   bool   // an abort has to count unflushedBytes anew
	touched   byte   // keeps the compiler from leaving the touching out
	missing   [][]byte
	stats     TableStats
}

const preloadBlock = 64

// TableStats are the figures of a Table; counters since it was made.
type TableStats struct {
	Cells     int64 // keys in memory, those known to be absent included
	Bytes     int64 // memory of cells and index
	Limit     int64
	Hits      int64 // reads answered from memory
	Misses    int64 // reads that had to ask the store
	Evictions int64

	UnflushedKeys, UnflushedBytes int64
}

// NewTable returns an empty table over base, which nothing else may write to.
// Keys that only the meta function of BeginFlush writes are not seen through it.
func NewTable(base Store, o TableOptions) *Table {
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = DefaultMemoryBytes
	}
	return &Table{
		base: base, limit: o.MemoryBytes, seed: maphash.MakeSeed(),
		cells: newCells(o.MemoryBytes), slots: newSlots(minSlots),
		txn: 1, gen: 2, complete: isEmpty(base),
	}
}

func isEmpty(s Store) bool {
	it, err := s.Scan(Range{})
	if err != nil {
		return false
	}
	some := it.Next()
	return it.Close() == nil && !some
}

// Get returns the value as the open transaction sees it. The slice must not be
// changed and is valid until the next call of a method that reads or writes keys.
func (t *Table) Get(key []byte) (value []byte, found bool, err error) { return t.GetKey(t.Key(key)) }

// GetKey is Get of a key that is hashed already.
func (t *Table) GetKey(k Key) (value []byte, found bool, err error) {
	i, c := t.find(k)
	if c == nil {
		return t.read(k)
	}
	t.stats.Hits++
	if t.slots.s[i]&slotUsed == 0 {
		t.slots.s[i] |= slotUsed
	}
	t.last = t.slots.s[i].ref()
	if c.deleted() {
		return nil, false, nil
	}
	return c.value(), true, nil
}

// read gets a key that memory lacks from the store.
func (t *Table) read(k Key) ([]byte, bool, error) {
	if t.complete {
		t.stats.Hits++
		return nil, false, nil
	}
	t.stats.Misses++
	v, found, err := t.base.Get(k.bytes, t.buf)
	if err != nil {
		return nil, false, fmt.Errorf("get: %w", err)
	}
	if v != nil {
		t.buf = v[:0]
	}
	c, err := t.cache(k, v, !found)
	switch {
	case err != nil:
		return nil, false, err
	case !found:
		return nil, false, nil
	case c == nil:
		return v, true, nil
	}
	return c.value(), true, nil
}

// cache keeps what the store holds for a key, where there is room for it.
func (t *Table) cache(k Key, value []byte, absent bool) (cell, error) {
	if !t.room(headerLen+len(k.bytes)+len(value), false) {
		return nil, nil
	}
	r, c, err := t.add(k, value, absent)
	t.last = r
	return c, err
}

// SetStamp sets the time that the writes which follow are of; EachDirty tells that
// of a key's last write. The table itself makes no use of it.
func (t *Table) SetStamp(ms int64) { t.stamp = ms }

// Set writes a value; a nil value is stored as an empty one.
func (t *Table) Set(key, value []byte) error { return t.write(t.Key(key), value, false) }

// SetKey is Set of a key that is hashed already.
func (t *Table) SetKey(k Key, value []byte) error { return t.write(k, value, false) }

// Delete removes a key; one that does not exist is fine, and still a change.
func (t *Table) Delete(key []byte) error { return t.write(t.Key(key), nil, true) }

// DeleteKey is Delete of a key that is hashed already.
func (t *Table) DeleteKey(k Key) error { return t.write(k, nil, true) }

func (t *Table) write(k Key, value []byte, deleted bool) error {
	i, c := t.find(k)
	if c == nil {
		return t.writeNew(k, value, deleted)
	}
	r := t.slots.s[i].ref()
	before := c.size()
	if c.txn() != t.txn {
		t.undo.push(c)
		t.dirtyBytes += before
		t.gained += t.markUnflushed(r, c)
		t.dirty = append(t.dirty, c.idx())
		c.setTxn(t.txn)
	}
	t.noteStamp(c)
	c, err := t.rewrite(k.hash, r, c, value, deleted)
	if err != nil {
		return err
	}
	d := c.size() - before
	t.dirtyBytes += d
	t.unflushedBytes += d
	t.gained += d
	return nil
}

func (t *Table) writeNew(k Key, value []byte, deleted bool) error {
	t.room(headerLen+len(k.bytes)+len(value), true)
	r, c, err := t.add(k, value, deleted)
	if err != nil {
		return err
	}
	t.undo.pushNew()
	t.gained += t.markUnflushed(r, c)
	t.dirty = append(t.dirty, c.idx())
	t.dirtyBytes += c.size()
	c.setTxn(t.txn)
	t.noteStamp(c)
	return nil
}

// noteStamp keeps the stamp of a key that is being written.
func (t *Table) noteStamp(c cell) {
	i := int(c.idx())
	if i >= len(t.stamps) {
		t.stamps = append(t.stamps, make([]int64, i+1-len(t.stamps))...)
	}
	t.stamps[i] = t.stamp
}

// Load takes over a write that is committed already: of a restore, or of a
// followed topic. It is an error where the open transaction has written the key.
func (t *Table) Load(key, value []byte, deleted bool) error {
	k := t.Key(key)
	i, c := t.find(k)
	if c == nil {
		return t.loadNew(k, value, deleted)
	}
	if c.txn() == t.txn {
		return fmt.Errorf("load key %q: the open transaction has written it", key)
	}
	r := t.slots.s[i].ref()
	t.markUnflushed(r, c)
	before := c.size()
	c, err := t.rewrite(k.hash, r, c, value, deleted)
	if err == nil {
		t.unflushedBytes += c.size() - before
	}
	return err
}

func (t *Table) loadNew(k Key, value []byte, deleted bool) error {
	if deleted && t.complete {
		return nil
	}
	t.room(headerLen+len(k.bytes)+len(value), true)
	r, c, err := t.add(k, value, deleted)
	if err == nil {
		t.markUnflushed(r, c)
	}
	return err
}

// markUnflushed lists a cell for the next flush and returns its bytes, or zero
// where it is listed already.
func (t *Table) markUnflushed(r ref, c cell) int64 {
	gen := c.gen()
	if gen == t.gen {
		return 0
	}
	if t.flush != nil && gen == t.gen-1 {
		t.flushing--
	}
	c.setGen(t.gen)
	c.setIdx(uint32(len(t.unflushed)))
	t.unflushed = append(t.unflushed, r)
	n := c.size()
	t.unflushedBytes += n
	return n
}

// rewrite puts a value into a cell that is listed as unflushed. One that it does
// not fit in moves. Cells never shrink, so what fitted once always fits.
func (t *Table) rewrite(h uint64, r ref, c cell, value []byte, deleted bool) (cell, error) {
	size := headerLen + c.keyLen() + len(value)
	if size <= t.cells.capacity(r, c) {
		c.put(value, deleted)
		return c, nil
	}
	if len(value) > maxValueLen {
		return nil, errValueTooLong
	}
	t.room(size, true)
	to, m, err := t.cells.alloc(size)
	if err != nil {
		return nil, err
	}
	class := m[offClass]
	copy(m, c[:headerLen+c.keyLen()])
	m[offClass] = class
	m.put(value, deleted)
	i := t.slots.place(tagOf(h), r)
	t.slots.s[i] = makeSlot(tagOf(h), to)
	t.unflushed[c.idx()] = to
	t.cells.release(r)
	return m, nil
}

// Dirty returns the keys that the open transaction has written, and their bytes
// in memory.
func (t *Table) Dirty() (keys int, bytes int64) { return len(t.dirty), t.dirtyBytes }

// EachDirty calls fn with the last value of each key that the open transaction
// has written, and the stamp of its last write, in the order of first write. The
// slices stay valid and unchanged until the next write, Commit or Abort.
func (t *Table) EachDirty(fn func(key, value []byte, deleted bool, stamp int64) error) error {
	for dirty := t.dirty; len(dirty) > 0; {
		n := min(len(dirty), preloadBlock)
		t.touchDirty(dirty[:n])
		for _, idx := range dirty[:n] {
			c := t.cells.at(t.unflushed[idx])
			var value []byte
			if !c.deleted() {
				value = c.value()
			}
			if err := fn(c.key(), value, c.deleted(), t.stamps[idx]); err != nil {
				return err
			}
		}
		dirty = dirty[n:]
	}
	return nil
}

// touchDirty brings cells and stamps into the processor's cache, their misses
// overlapping.
func (t *Table) touchDirty(dirty []uint32) {
	var sum byte
	for _, idx := range dirty {
		sum += t.cells.at(t.unflushed[idx])[offFlags] + byte(t.stamps[idx])
	}
	t.touched = sum
}

// Commit lets the open writes join the committed memory. It copies nothing.
func (t *Table) Commit() {
	t.txn++
	t.dirty = t.dirty[:0]
	t.undo.reset()
	t.dirtyBytes, t.gained, t.mark = 0, 0, len(t.unflushed)
}

// Unflushed returns the keys that the Store does not have yet as they are in
// memory, and their bytes in memory; those of a running flush are not counted.
func (t *Table) Unflushed() (keys int, bytes int64) { return len(t.unflushed), t.unflushedBytes }

// Full reports whether memory is at its bound with nothing worth evicting: a
// flush should begin now, or end.
func (t *Table) Full() bool {
	return t.used()+int64(t.cells.small) > t.limit && !t.evictable()
}

// Stats returns the table's figures.
func (t *Table) Stats() TableStats {
	s := t.stats
	s.Cells, s.Bytes, s.Limit = int64(t.cells.live), t.used(), t.limit
	s.UnflushedKeys, s.UnflushedBytes = int64(len(t.unflushed)), t.unflushedBytes
	return s
}

// Close gives the memory back. It does not close the Store, and what is not
// flushed is gone. The table must not be used afterwards.
func (t *Table) Close() error {
	if t.flush != nil {
		return errors.New("close table: a flush is running")
	}
	*t = Table{base: t.base, limit: t.limit, seed: t.seed, cells: newCells(t.limit), slots: newSlots(minSlots), txn: 1, gen: 2}
	return nil
}
