package task

import (
	"bytes"
	"slices"
	"strings"

	"github.com/seed-73111be4/kappa/record"
)

// writeSet holds the writes of one callback, in order, until it has returned. Its
// memory is reused from record to record.
type writeSet struct {
	buf  []byte
	list []write
	// last is where the last write of a key is in list; of the first indexed
	// writes only. Most callbacks write too little to need it.
	last    map[string]int
	indexed int
}

type write struct {
	key, value, end int // key buf[key:value], value buf[value:end]
	deleted         bool
}

func (w *writeSet) reset() {
	w.buf, w.list = w.buf[:0], w.list[:0]
	if w.indexed > 0 {
		w.last, w.indexed = nil, 0
	}
}

func (w *writeSet) add(key, value []byte, deleted bool) {
	at := len(w.buf)
	w.buf = append(append(w.buf, key...), value...)
	w.list = append(w.list, write{at, at + len(key), len(w.buf), deleted})
}

func (w *writeSet) at(i int) (key, value []byte, deleted bool) {
	e := w.list[i]
	return w.buf[e.key:e.value:e.value], w.buf[e.value:e.end:e.end], e.deleted
}

// fewWrites are searched one by one.
const fewWrites = 32

// find returns the last write to key.
func (w *writeSet) find(key []byte) (value []byte, deleted, ok bool) {
	if len(w.list)-w.indexed > fewWrites {
		w.index()
	}
	for i := len(w.list) - 1; i >= w.indexed; i-- {
		if k, v, d := w.at(i); bytes.Equal(k, key) {
			return v, d, true
		}
	}
	i, ok := w.last[string(key)]
	if !ok {
		return nil, false, false
	}
	_, value, deleted = w.at(i)
	return value, deleted, true
}

func (w *writeSet) index() {
	if w.last == nil {
		w.last = make(map[string]int, 2*len(w.list))
	}
	for ; w.indexed < len(w.list); w.indexed++ {
		k, _, _ := w.at(w.indexed)
		w.last[string(k)] = w.indexed
	}
}

// within returns the last write per key of from <= key < to, ascending.
func (w *writeSet) within(from, to []byte) []int {
	var out []int
	for i := len(w.list) - 1; i >= 0; i-- { // the last one first
		k, _, _ := w.at(i)
		if bytes.Compare(k, from) >= 0 && (to == nil || bytes.Compare(k, to) < 0) {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int { return bytes.Compare(w.key(a), w.key(b)) })
	return slices.CompactFunc(out, func(a, b int) bool { return bytes.Equal(w.key(a), w.key(b)) })
}

func (w *writeSet) key(i int) []byte {
	e := w.list[i]
	return w.buf[e.key:e.value]
}

// arena hands out memory that stays until release: what is emitted must not move
// before the transaction has ended.
type arena struct {
	chunk []byte
	full  [][]byte
}

const (
	arenaChunk = 64 << 10
	arenaSpare = 4 << 10 // the least that is worth lending
)

// grow makes room for n bytes. There is a chunk afterwards even where n is zero, so
// that an empty slice of it is not nil.
func (a *arena) grow(n int) {
	if a.chunk == nil || cap(a.chunk)-len(a.chunk) < n {
		if a.chunk != nil {
			a.full = append(a.full, a.chunk)
		}
		a.chunk = make([]byte, 0, max(arenaChunk, n))
	}
}

func (a *arena) bytes(b []byte) []byte {
	a.grow(len(b))
	at := len(a.chunk)
	a.chunk = append(a.chunk, b...)
	return a.chunk[at:len(a.chunk):len(a.chunk)]
}

// copy is bytes, but nil stays nil.
func (a *arena) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	return a.bytes(b)
}

// headers copies headers with their values.
func (a *arena) headers(hs []record.Header) []record.Header {
	if len(hs) == 0 {
		return nil
	}
	out := make([]record.Header, len(hs))
	for i, h := range hs {
		out[i] = record.Header{Key: h.Key, Value: a.copy(h.Value)}
	}
	return out
}

func (a *arena) string(s string) []byte {
	a.grow(len(s))
	at := len(a.chunk)
	a.chunk = append(a.chunk, s...)
	return a.chunk[at:len(a.chunk):len(a.chunk)]
}

// spare returns the free memory of the chunk, for the caller to append to.
func (a *arena) spare() []byte {
	if cap(a.chunk)-len(a.chunk) < arenaSpare {
		a.grow(arenaChunk)
	}
	return a.chunk[len(a.chunk):]
}

// keep takes what was appended to the spare memory; what has outgrown it lies
// elsewhere.
func (a *arena) keep(used []byte) {
	n := len(a.chunk)
	if len(used) > 0 && len(used) <= cap(a.chunk)-n && &used[0] == &a.chunk[:n+1][n] {
		a.chunk = a.chunk[:n+len(used)]
	}
}

// release takes all memory back; the last chunk is used again.
func (a *arena) release() { a.chunk, a.full = a.chunk[:0], nil }

// sortHeaders gives headers that come out of a map one order, so that the same
// input makes the same bytes.
func sortHeaders(h []record.Header) {
	slices.SortFunc(h, func(a, b record.Header) int { return strings.Compare(a.Key, b.Key) })
}
