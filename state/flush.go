package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
)

// Flush is the committed part of a Table that the Store lacked when it began. It
// holds copies, so Run may work while the table goes on.
type Flush struct {
	base    Store
	batch   Batch
	buf     []byte
	entries []flushEntry

	ordered []uint32 // entries by key, for scans of the owner
}

// flushEntry is one key: where its bytes are in the buffer.
type flushEntry struct {
	off        int
	klen, vlen uint32 // vlen is flushDeleted where the key was deleted
}

const flushDeleted = 1<<32 - 1

func (f *Flush) key(i uint32) []byte {
	e := f.entries[i]
	return f.buf[e.off : e.off+int(e.klen) : e.off+int(e.klen)]
}

func (f *Flush) value(i uint32) (value []byte, deleted bool) {
	e := f.entries[i]
	if e.vlen == flushDeleted {
		return nil, true
	}
	from := e.off + int(e.klen)
	to := from + int(e.vlen)
	return f.buf[from:to:to], false
}

// BeginFlush captures the committed part that the Store lacks, as copies; it
// takes some tens of nanoseconds a key. meta adds what belongs to the same batch. A
// transaction with writes must not be open. It returns nil while another flush is
// running, and where there is nothing to write.
func (t *Table) BeginFlush(meta func(*Batch)) (*Flush, error) {
	if len(t.dirty) > 0 {
		return nil, errors.New("begin flush: a transaction is open")
	}
	if t.flush != nil {
		return nil, nil
	}
	f := &Flush{base: t.base}
	if meta != nil {
		meta(&f.batch)
	}
	if f.batch.Len() == 0 && len(t.unflushed) == 0 {
		return nil, nil
	}
	t.capture(f)
	t.flush, t.flushing = f, len(t.unflushed)
	t.gen++
	t.unflushed, t.unflushedBytes, t.mark = t.unflushed[:0], 0, 0
	t.runs.reset()
	return f, nil
}

func (t *Table) capture(f *Flush) {
	f.entries = make([]flushEntry, 0, len(t.unflushed))
	f.buf = make([]byte, 0, max(0, t.unflushedBytes-int64(headerLen*len(t.unflushed))))
	for _, r := range t.unflushed {
		c := t.cells.at(r)
		e := flushEntry{off: len(f.buf), klen: uint32(c.keyLen()), vlen: flushDeleted}
		f.buf = append(f.buf, c.key()...)
		if !c.deleted() {
			e.vlen = uint32(c.valueLen())
			f.buf = append(f.buf, c.value()...)
		}
		f.entries = append(f.entries, e)
	}
}

// Run writes to the Store, in the order of keys and as one atomic batch together
// with what meta has added. It may be called on any goroutine, once.
func (f *Flush) Run() error {
	f.batch.flush, f.batch.order = f, f.order() // not copied once more
	return f.base.Apply(&f.batch)
}

// order returns the entries by key. It sorts by eight bytes behind the common
// prefix and compares the keys only where those are equal.
func (f *Flush) order() []uint32 {
	type item struct {
		prefix uint64
		i      uint32
	}
	skip := f.commonPrefix()
	items := make([]item, len(f.entries))
	for i := range items {
		items[i] = item{prefix8(f.key(uint32(i))[skip:]), uint32(i)}
	}
	slices.SortFunc(items, func(a, b item) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return bytes.Compare(f.key(a.i)[skip:], f.key(b.i)[skip:])
	})
	order := make([]uint32, len(items))
	for i := range items {
		order[i] = items[i].i
	}
	return order
}

func (f *Flush) commonPrefix() int {
	if len(f.entries) == 0 {
		return 0
	}
	common := f.key(0)
	for i := range f.entries {
		k := f.key(uint32(i))
		n := 0
		for n < len(common) && n < len(k) && common[n] == k[n] {
			n++
		}
		common = common[:n]
	}
	return len(common)
}

// prefix8 returns the first bytes of b, as a number that compares as they do.
func prefix8(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var p [8]byte
	copy(p[:], b)
	return binary.BigEndian.Uint64(p[:])
}

// EndFlush takes over the outcome of Run, on the owner. What was written is clean
// and may be evicted, but for the keys that were written again since. After an
// error it is unflushed as before.
func (t *Table) EndFlush(f *Flush, err error) {
	if f == nil || f != t.flush {
		return
	}
	t.flush, t.flushing = nil, 0
	if err == nil {
		return
	}
	for i := range f.entries {
		key := f.key(uint32(i))
		at, c := t.find(t.Key(key))
		if c != nil && c.gen() == t.gen-1 {
			t.markUnflushed(t.slots.s[at].ref(), c)
		}
	}
	t.undoUnflushed()
}

// undoUnflushed corrects what an abort of the open transaction will restore: keys
// of the failed flush are unflushed after it.
func (t *Table) undoUnflushed() {
	rec := undoRecord(t.undo.buf)
	for range t.dirty {
		if rec.kind() != undoNew && rec.gen() == t.gen-1 {
			rec.setGen(t.gen)
			t.recount = true
		}
		rec = rec.next()
	}
}
