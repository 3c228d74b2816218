package state

import "encoding/binary"

// Batch collects writes that a Store applies atomically. The zero value is ready
// for use. Later operations on a key win. A Batch has one owner goroutine; keys
// and values are copied in.
type Batch struct {
	buf   []byte
	n     int
	flush *Flush // its entries follow, in this order
	order []uint32
}

const (
	opSet = iota
	opDelete
)

// Set writes a value; a nil value is stored as an empty one.
func (b *Batch) Set(key, value []byte) {
	b.op(opSet, key)
	b.bytes(value)
}

// Delete removes a key; a key that does not exist is fine.
func (b *Batch) Delete(key []byte) { b.op(opDelete, key) }

// Len returns the number of operations.
func (b *Batch) Len() int { return b.n + len(b.order) }

// Size returns about how many bytes the batch occupies.
func (b *Batch) Size() int {
	n := len(b.buf) + 4*len(b.order)
	if b.flush != nil {
		n += len(b.flush.buf)
	}
	return n
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { *b = Batch{buf: b.buf[:0]} }

// Each calls fn for every operation in order. The slices alias the batch.
func (b *Batch) Each(fn func(key, value []byte, deleted bool) error) error {
	for p := b.buf; len(p) > 0; {
		op := p[0]
		key, rest := cut(p[1:])
		var value []byte
		if op == opSet {
			value, rest = cut(rest)
		}
		if err := fn(key, value, op == opDelete); err != nil {
			return err
		}
		p = rest
	}
	for _, i := range b.order {
		value, deleted := b.flush.value(i)
		if err := fn(b.flush.key(i), value, deleted); err != nil {
			return err
		}
	}
	return nil
}

func (b *Batch) op(op byte, key []byte) {
	b.n++
	b.buf = append(b.buf, op)
	b.bytes(key)
}

func (b *Batch) bytes(v []byte) {
	b.buf = binary.AppendUvarint(b.buf, uint64(len(v)))
	b.buf = append(b.buf, v...)
}

func cut(p []byte) (head, rest []byte) {
	n, w := binary.Uvarint(p)
	return p[w : w+int(n) : w+int(n)], p[w+int(n):]
}
