package task

import (
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// keyList holds the store keys of a slice of records; its memory is reused.
type keyList struct {
	buf  []byte
	keys [][]byte
}

func (l *keyList) preload(table *state.Table, records []record.Record) error {
	l.buf, l.keys = l.buf[:0], l.keys[:0]
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
		l.keys = append(l.keys, l.buf[at:len(l.buf):len(l.buf)])
	}
	return table.Preload(l.keys)
}
