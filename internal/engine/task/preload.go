package task

import (
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// keyList holds the hashed store keys of a slice of records that will be stepped in
// this order; its memory is reused.
type keyList struct {
	buf  []byte
	keys []state.Key
	next int
}

func (l *keyList) preload(table *state.Table, records []record.Record) error {
	l.buf, l.keys, l.next = l.buf[:0], l.keys[:0], 0
	n := 0
	for i := range records {
		n += len(records[i].Key) + 1
	}
	if cap(l.buf) < n {
		l.buf = make([]byte, 0, 2*n)
	}
	for i := range records {
		at := len(l.buf)
		l.buf = state.TableKey(l.buf, records[i].Key)
		l.keys = append(l.keys, table.Key(l.buf[at:len(l.buf):len(l.buf)]))
	}
	return table.Preload(l.keys)
}

// take returns the store key of the next record if that has this key. Who steps
// other records than were preloaded, or in another order, hashes them anew.
func (l *keyList) take(key []byte) (state.Key, bool) {
	if l.next >= len(l.keys) {
		return state.Key{}, false
	}
	k := l.keys[l.next]
	l.next++
	return k, string(k.Bytes()[1:]) == string(key)
}
