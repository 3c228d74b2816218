package state

import "encoding/binary"

// undoLog keeps, for every key of the dirty list and in its order, what the key
// was before the open transaction:
//
//	0 kind u8 · 1 gen u32 · 5 vlen u32 · 9 value
type undoLog struct{ buf []byte }

const (
	undoNew     = iota // memory had no cell
	undoValue          // a value
	undoDeleted        // known not to exist

	undoHeader = 9
	undoKeep   = 4 << 20 // bytes of memory to keep for the next transaction
)

func (u *undoLog) pushNew() { u.buf = append(u.buf, undoNew, 0, 0, 0, 0, 0, 0, 0, 0) }

func (u *undoLog) push(c cell) {
	kind, value := byte(undoValue), c.value()
	if c.deleted() {
		kind, value = undoDeleted, nil
	}
	u.buf = append(u.buf, kind)
	u.buf = binary.LittleEndian.AppendUint32(u.buf, c.gen())
	u.buf = binary.LittleEndian.AppendUint32(u.buf, uint32(len(value)))
	u.buf = append(u.buf, value...)
}

func (u *undoLog) reset() {
	if u.buf = u.buf[:0]; cap(u.buf) > undoKeep {
		u.buf = nil
	}
}

// undoRecord is one record of the log, with what follows it.
type undoRecord []byte

func (r undoRecord) kind() byte      { return r[0] }
func (r undoRecord) gen() uint32     { return binary.LittleEndian.Uint32(r[1:]) }
func (r undoRecord) setGen(g uint32) { binary.LittleEndian.PutUint32(r[1:], g) }
func (r undoRecord) value() []byte {
	return r[undoHeader : undoHeader+binary.LittleEndian.Uint32(r[5:])]
}
func (r undoRecord) next() undoRecord { return r[undoHeader+len(r.value()):] }

// Abort drops the open writes: every key is again what the last Commit left.
func (t *Table) Abort() {
	if len(t.dirty) == 0 {
		return
	}
	t.last = 0
	rec := undoRecord(t.undo.buf)
	for _, idx := range t.dirty {
		t.restore(idx, rec)
		rec = rec.next()
	}
	t.unflushedBytes -= t.gained
	t.closeGaps()
	t.runs.reset()
	if t.recount {
		t.countUnflushed()
	}
	t.Commit()
}

// restore puts one key back. The new value's cell is never too small for the old
// value, for cells do not shrink.
func (t *Table) restore(idx uint32, rec undoRecord) {
	r := t.unflushed[idx]
	c := t.cells.at(r)
	if rec.kind() == undoNew {
		t.slots.remove(t.slots.place(tagOf(t.hash(c.key())), r))
		t.cells.release(r)
		t.unflushed[idx] = 0
		return
	}
	c.put(rec.value(), rec.kind() == undoDeleted)
	c.setTxn(0)
	if c.setGen(rec.gen()); t.flush != nil && rec.gen() == t.gen-1 {
		t.flushing++
	}
}

// closeGaps drops from the unflushed list what the transaction had added.
func (t *Table) closeGaps() {
	kept := t.unflushed[:t.mark]
	for _, r := range t.unflushed[t.mark:] {
		if r == 0 {
			continue
		}
		if c := t.cells.at(r); c.gen() == t.gen {
			c.setIdx(uint32(len(kept)))
			kept = append(kept, r)
		}
	}
	t.unflushed = kept
}

func (t *Table) countUnflushed() {
	t.recount, t.unflushedBytes = false, 0
	for _, r := range t.unflushed {
		t.unflushedBytes += t.cells.at(r).size()
	}
}
