package state

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
)

// sortedRuns orders the unflushed list by key, as far as scans have asked for
// it: runs of indexes of falling length, merged like the digits of a binary
// number, so that a scan after every write stays cheap.
type sortedRuns struct {
	runs    [][]uint32
	covered int // length of the list's part that the runs hold
}

func (s *sortedRuns) reset() { *s = sortedRuns{} }

// extend takes in what the list has gained.
func (s *sortedRuns) extend(t *Table) {
	if s.covered == len(t.unflushed) {
		return
	}
	run := make([]uint32, 0, len(t.unflushed)-s.covered)
	for ; s.covered < len(t.unflushed); s.covered++ {
		run = append(run, uint32(s.covered))
	}
	slices.SortFunc(run, func(a, b uint32) int { return bytes.Compare(t.keyAt(a), t.keyAt(b)) })
	s.runs = append(s.runs, run)
	for n := len(s.runs); n > 1 && len(s.runs[n-2]) <= 2*len(s.runs[n-1]); n-- {
		s.runs[n-2] = t.mergeRuns(s.runs[n-2], s.runs[n-1])
		s.runs = s.runs[:n-1]
	}
}

func (t *Table) keyAt(idx uint32) []byte { return t.cells.at(t.unflushed[idx]).key() }

func (t *Table) mergeRuns(a, b []uint32) []uint32 {
	out := make([]uint32, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if bytes.Compare(t.keyAt(a[0]), t.keyAt(b[0])) < 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// change is a key of memory that the Store may not have like this.
type change struct {
	key, value []byte
	deleted    bool
}

// Scan iterates over a range as the open transaction sees it. The table must not
// be written to, nor Get or Preload be called, while the iterator is open.
func (t *Table) Scan(r Range) (Iterator, error) {
	it, err := t.base.Scan(r)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	m := &mergedIterator{base: it, changes: t.changes(r)}
	m.more = it.Next()
	return m, nil
}

// changes returns the keys of the range that are unflushed or being flushed, in
// order.
func (t *Table) changes(r Range) []change {
	t.runs.extend(t)
	var cs []change
	for _, run := range t.runs.runs {
		from, to := within(len(run), r, func(i int) []byte { return t.keyAt(run[i]) })
		for _, idx := range run[from:to] {
			c := t.cells.at(t.unflushed[idx])
			cs = append(cs, change{c.key(), c.value(), c.deleted()})
		}
	}
	own := len(cs)
	cs = t.flushingChanges(cs, r)
	if len(t.runs.runs) > 1 || own < len(cs) {
		slices.SortStableFunc(cs, func(a, b change) int { return bytes.Compare(a.key, b.key) })
	}
	// Of equal keys the first is newer: the flush comes after the runs.
	return slices.CompactFunc(cs, func(a, b change) bool { return bytes.Equal(a.key, b.key) })
}

func (t *Table) flushingChanges(cs []change, r Range) []change {
	f := t.flush
	if f == nil || len(f.entries) == 0 {
		return cs
	}
	if f.ordered == nil {
		f.ordered = f.order()
	}
	from, to := within(len(f.ordered), r, func(i int) []byte { return f.key(f.ordered[i]) })
	for _, i := range f.ordered[from:to] {
		value, deleted := f.value(i)
		cs = append(cs, change{f.key(i), value, deleted})
	}
	return cs
}

// within returns the part of n ordered keys that is in the range.
func within(n int, r Range, key func(int) []byte) (from, to int) {
	from, to = 0, n
	if r.From != nil {
		from = sort.Search(n, func(i int) bool { return bytes.Compare(key(i), r.From) >= 0 })
	}
	if r.To != nil {
		to = sort.Search(n, func(i int) bool { return bytes.Compare(key(i), r.To) >= 0 })
	}
	return from, max(from, to)
}

// mergedIterator walks over the Store and the changes, which win.
type mergedIterator struct {
	base    Iterator
	more    bool // base stands on a key that has not been given out
	used    bool // the key given out is base's
	changes []change
	at      *change
}

func (m *mergedIterator) Next() bool {
	for {
		m.advanceBase()
		if len(m.changes) == 0 {
			m.at, m.used = nil, m.more
			return m.more
		}
		c := 1
		if m.more {
			c = bytes.Compare(m.base.Key(), m.changes[0].key)
		}
		if m.more && c < 0 {
			m.at, m.used = nil, true
			return true
		}
		if m.at, m.changes = &m.changes[0], m.changes[1:]; m.more && c == 0 {
			m.more = m.base.Next()
		}
		if !m.at.deleted {
			return true
		}
	}
}

// advanceBase moves on from a base key that was given out.
func (m *mergedIterator) advanceBase() {
	if m.used {
		m.used = false
		m.more = m.base.Next()
	}
}

func (m *mergedIterator) Key() []byte {
	if m.at != nil {
		return m.at.key
	}
	return m.base.Key()
}

func (m *mergedIterator) Value() []byte {
	if m.at != nil {
		return m.at.value
	}
	return m.base.Value()
}

func (m *mergedIterator) Close() error { return m.base.Close() }
