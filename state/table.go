package state

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
)

// DefaultMemoryBytes is the memory bound of a Table that is given none.
const DefaultMemoryBytes = 64 << 20

// TableOptions bounds a Table.
type TableOptions struct {
	MemoryBytes int64 // default 64 MiB
}

// Table is the write-back state of one task.
type Table struct {
	base      Store
	cells     map[string]*mapCell
	undo      map[string]*mapCell
	order     []string
	flush     *Flush
	flushKeys map[string]mapCell
}

type mapCell struct {
	value              []byte
	deleted, unflushed bool
}

func NewTable(base Store, o TableOptions) *Table {
	return &Table{base: base, cells: map[string]*mapCell{}, undo: map[string]*mapCell{}}
}

func (t *Table) Get(key []byte) (value []byte, found bool, err error) {
	if c := t.cells[string(key)]; c != nil {
		return c.value, !c.deleted, nil
	}
	v, ok, err := t.base.Get(key, nil)
	if err != nil {
		return nil, false, err
	}
	t.cells[string(key)] = &mapCell{value: v, deleted: !ok}
	return v, ok, nil
}

func (t *Table) Set(key, value []byte) error { return t.put(key, append([]byte{}, value...), false) }
func (t *Table) Delete(key []byte) error     { return t.put(key, nil, true) }

func (t *Table) put(key, value []byte, deleted bool) error {
	k := string(key)
	if _, ok := t.undo[k]; !ok {
		t.undo[k] = t.cells[k]
		t.order = append(t.order, k)
	}
	t.cells[k] = &mapCell{value, deleted, true}
	return nil
}

func (t *Table) Preload(keys [][]byte) error { return nil }

func (t *Table) Dirty() (keys int, size int64) {
	for _, k := range t.order {
		size += int64(len(k) + len(t.cells[k].value))
	}
	return len(t.order), size
}

func (t *Table) EachDirty(fn func(key, value []byte, deleted bool) error) error {
	for _, k := range t.order {
		if err := fn([]byte(k), t.cells[k].value, t.cells[k].deleted); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) Commit() { t.order, t.undo = nil, map[string]*mapCell{} }

func (t *Table) Abort() {
	for k, c := range t.undo {
		if c == nil {
			delete(t.cells, k)
		} else {
			t.cells[k] = c
		}
	}
	t.Commit()
}

func (t *Table) Load(key, value []byte, deleted bool) error {
	if _, ok := t.undo[string(key)]; ok {
		return fmt.Errorf("load key %q: it has an open write", key)
	}
	t.cells[string(key)] = &mapCell{append([]byte{}, value...), deleted, true}
	return nil
}

func (t *Table) Unflushed() (keys int, size int64) {
	for k, c := range t.cells {
		if c.unflushed {
			keys++
			size += int64(len(k) + len(c.value))
		}
	}
	return keys, size
}

type Flush struct {
	base  Store
	cells map[*mapCell]string
	batch Batch
}

func (t *Table) BeginFlush(meta func(*Batch)) (*Flush, error) {
	if len(t.order) > 0 {
		return nil, errors.New("flush: a transaction is open")
	}
	if t.flush != nil {
		return nil, nil
	}
	f := &Flush{base: t.base, cells: map[*mapCell]string{}}
	for k, c := range t.cells {
		if c.unflushed {
			f.cells[c] = k
			if c.deleted {
				f.batch.Delete([]byte(k))
			} else {
				f.batch.Set([]byte(k), c.value)
			}
		}
	}
	if meta != nil {
		meta(&f.batch)
	}
	if f.batch.Len() == 0 {
		return nil, nil
	}
	t.flush = f
	return f, nil
}

func (f *Flush) Run() error { return f.base.Apply(&f.batch) }

func (t *Table) EndFlush(f *Flush, err error) {
	t.flush = nil
	if err != nil {
		return
	}
	for c := range f.cells {
		c.unflushed = false
	}
}

func (t *Table) Scan(r Range) (Iterator, error) {
	it, err := t.base.Scan(r)
	if err != nil {
		return nil, err
	}
	m := map[string][]byte{}
	for it.Next() {
		m[string(it.Key())] = bytes.Clone(it.Value())
	}
	for k, c := range t.cells {
		if k < string(r.From) || r.To != nil && k >= string(r.To) {
			continue
		}
		if delete(m, k); !c.deleted {
			m[k] = c.value
		}
	}
	s := &sliceIterator{values: m}
	for k := range m {
		s.keys = append(s.keys, k)
	}
	sort.Strings(s.keys)
	return s, it.Close()
}

type sliceIterator struct {
	keys   []string
	n      int
	values map[string][]byte
}

func (s *sliceIterator) Next() bool    { s.n++; return s.n <= len(s.keys) }
func (s *sliceIterator) Key() []byte   { return []byte(s.keys[s.n-1]) }
func (s *sliceIterator) Value() []byte { return s.values[s.keys[s.n-1]] }
func (s *sliceIterator) Close() error  { return nil }

// TableStats are the figures of a Table.
type TableStats struct {
	Cells, Bytes, Hits, Misses, Evictions int64
}

func (t *Table) Stats() TableStats { return TableStats{Cells: int64(len(t.cells))} }
func (t *Table) Close() error      { return nil }

// Full reports whether memory is at its bound with nothing left to evict.
func (t *Table) Full() bool { return false }
