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

	texts string // of some keys, each with its prefix
	from  int    // where they begin in buf
	ends  []int  // of all keys in buf
}

// textsBytes bounds the string that neighbouring keys share: whoever keeps one of
// them keeps no more than that alive.
const textsBytes = 256

func (l *keyList) preload(table *state.Table, records []record.Record) error {
	l.buf, l.keys, l.next = l.buf[:0], l.keys[:0], 0
	l.texts, l.from, l.ends = "", 0, l.ends[:0]
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
		l.ends = append(l.ends, len(l.buf))
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

// text returns the key that was taken last as a string. Callbacks that ask for their
// key ask for each, so it is cut off a string that holds those which follow, too.
func (l *keyList) text() string {
	i := l.next - 1
	from, to := 0, l.ends[i]
	if i > 0 {
		from = l.ends[i-1]
	}
	if from < l.from || to > l.from+len(l.texts) {
		end := to
		for _, e := range l.ends[i:] {
			if e-from <= textsBytes {
				end = e
			}
		}
		l.texts, l.from = string(l.buf[from:end]), from
	}
	return l.texts[from+1-l.from : to-l.from] // without the prefix
}
