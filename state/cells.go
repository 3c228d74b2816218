package state

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// ref names a cell: the number of its slab and its offset there in granules of 8
// bytes. Zero is no cell.
type ref uint32

const (
	granule     = 8
	slabBits    = 13 // granules in a slab, as a power of two
	slabMax     = granule << slabBits
	slabMin     = 4 << 10
	cellMax     = slabMax / 4 // larger cells have a slab of their own
	maxSlabs    = 1 << (32 - slabBits)
	maxKeyLen   = 1<<24 - 1
	maxValueLen = 1<<31 - 1
)

// A cell is a header, a key and a value in one run of bytes:
//
//	0  txn    u32  number of the transaction that wrote it last
//	4  gen    u32  flush generation that it is part of
//	8  idx    u32  index in the unflushed list, while gen is the current one
//	12 class  u8   size class; bigCell: a slab of its own
//	13 flags  u8
//	16 klen   u32
//	20 vlen   u32
//	24 key, value, slack
//
// A free cell has the flag cellFree and, at 0, the next free cell of its slab.
const (
	offTxn, offGen, offIdx, offClass, offFlags, offKeyLen, offValueLen = 0, 4, 8, 12, 13, 16, 20

	headerLen = 24
)

const (
	cellFree    = 1 << iota // not in use
	cellDeleted             // the key is known not to exist
)

const bigCell = 0xff

var (
	errKeyTooLong   = errors.New("state: the key is longer than 16 MiB")
	errValueTooLong = errors.New("state: the value is longer than 2 GiB")
	errTableFull    = errors.New("state: the table cannot address more memory")
)

// cell is the memory of one cell, from its header on.
type cell []byte

func (c cell) txn() uint32       { return binary.LittleEndian.Uint32(c[offTxn:]) }
func (c cell) gen() uint32       { return binary.LittleEndian.Uint32(c[offGen:]) }
func (c cell) idx() uint32       { return binary.LittleEndian.Uint32(c[offIdx:]) }
func (c cell) setTxn(v uint32)   { binary.LittleEndian.PutUint32(c[offTxn:], v) }
func (c cell) setGen(v uint32)   { binary.LittleEndian.PutUint32(c[offGen:], v) }
func (c cell) setIdx(v uint32)   { binary.LittleEndian.PutUint32(c[offIdx:], v) }
func (c cell) keyLen() int       { return int(binary.LittleEndian.Uint32(c[offKeyLen:])) }
func (c cell) valueLen() int     { return int(binary.LittleEndian.Uint32(c[offValueLen:])) }
func (c cell) setKeyLen(n int)   { binary.LittleEndian.PutUint32(c[offKeyLen:], uint32(n)) }
func (c cell) setValueLen(n int) { binary.LittleEndian.PutUint32(c[offValueLen:], uint32(n)) }
func (c cell) free() bool        { return c[offFlags]&cellFree != 0 }
func (c cell) deleted() bool     { return c[offFlags]&cellDeleted != 0 }

func (c cell) key() []byte {
	n := headerLen + c.keyLen()
	return c[headerLen:n:n]
}

func (c cell) value() []byte {
	from := headerLen + c.keyLen()
	n := from + c.valueLen()
	return c[from:n:n]
}

// size is what the cell's content takes.
func (c cell) size() int64 { return int64(headerLen + c.keyLen() + c.valueLen()) }

// put writes the value, which must fit, or the absence of one.
func (c cell) put(value []byte, deleted bool) {
	c[offFlags] = 0
	if deleted {
		c[offFlags], value = cellDeleted, nil
	}
	c.setValueLen(len(value))
	copy(c[headerLen+c.keyLen():], value)
}

// Size classes: steps of 8 up to 128 bytes, then four per doubling.
const (
	linearMax = 128
	classes   = linearMax/granule + 4*7 + 1
)

func classOf(size int) int {
	if size <= linearMax {
		return (size + granule - 1) / granule
	}
	e := bits.Len(uint(size-1)) - 1 // 2^e < size <= 2^(e+1)
	return linearMax/granule + 4*(e-7) + ((size-1)>>(e-2))&3 + 1
}

func classSize(class int) int {
	if class <= linearMax/granule {
		return class * granule
	}
	n := class - linearMax/granule - 1
	return (4 + n%4 + 1) << (n/4 + 5)
}

// slab is a run of cells of one class.
type slab struct {
	mem      []byte // nil: the number is free
	class    uint8
	listed   bool   // it is among its class's partial slabs
	freeHead uint16 // offset of its first free cell, freeNone
	fresh    int    // bytes from here on have never been used
	live     int
}

const freeNone = 0xffff

// cells allocates cells. Its memory holds no pointers, so the collector does not
// look into it.
type cells struct {
	slabs   []slab
	free    []uint32 // numbers of slabs without memory
	partial [classes][]uint32
	count   [classes]int // slabs of each class
	bytes   int64        // of all slabs
	live    int
	small   int // largest size of a slab that is not a big cell's
}

func newCells(limit int64) cells {
	small := slabMin
	for int64(small)*64 < limit && small < slabMax {
		small *= 2
	}
	return cells{slabs: make([]slab, 1), small: small}
}

func (a *cells) at(r ref) cell {
	return a.slabs[r>>slabBits].mem[int(r&(1<<slabBits-1))*granule:]
}

func makeRef(slab uint32, offset int) ref {
	return ref(slab<<slabBits | uint32(offset/granule))
}

// has reports whether a cell of the size can be had without more memory.
func (a *cells) has(size int) bool {
	return size <= cellMax && len(a.partial[classOf(size)]) > 0
}

// grown returns how much more memory a cell of the size takes where has is false.
func (a *cells) grown(size int) int64 {
	if size > cellMax {
		return int64(bigSize(size))
	}
	return int64(a.slabSize(classOf(size)))
}

func bigSize(size int) int { return (size + size/8 + 4095) &^ 4095 }

// slabSize lets the slabs of a class grow with their number.
func (a *cells) slabSize(class int) int {
	n := min(slabMin<<min(a.count[class], 4), a.small)
	return min(max(n, 4*classSize(class)), slabMax)
}

// capacity is the largest content that the cell takes.
func (a *cells) capacity(r ref, c cell) int {
	if c[offClass] == bigCell {
		return len(a.slabs[r>>slabBits].mem)
	}
	return classSize(int(c[offClass]))
}

func (a *cells) alloc(size int) (ref, cell, error) {
	if size > cellMax {
		return a.allocBig(size)
	}
	class := classOf(size)
	if len(a.partial[class]) == 0 {
		n, err := a.addSlab(a.slabSize(class), uint8(class))
		if err != nil {
			return 0, nil, err
		}
		a.count[class]++
		a.slabs[n].listed = true
		a.partial[class] = append(a.partial[class], n)
	}
	n := a.partial[class][len(a.partial[class])-1]
	s := &a.slabs[n]
	off := a.take(s, class)
	if s.freeHead == freeNone && s.fresh+classSize(class) > len(s.mem) {
		s.listed = false
		a.partial[class] = a.partial[class][:len(a.partial[class])-1]
	}
	c := cell(s.mem[off:])
	c[offFlags], c[offClass] = 0, uint8(class)
	a.live++
	return makeRef(n, off), c, nil
}

// take finds room in a slab that has some.
func (a *cells) take(s *slab, class int) int {
	s.live++
	if s.freeHead == freeNone {
		off := s.fresh
		s.fresh += classSize(class)
		return off
	}
	off := int(s.freeHead) * granule
	s.freeHead = uint16(binary.LittleEndian.Uint32(s.mem[off:]))
	return off
}

func (a *cells) allocBig(size int) (ref, cell, error) {
	n, err := a.addSlab(bigSize(size), bigCell)
	if err != nil {
		return 0, nil, err
	}
	s := &a.slabs[n]
	s.fresh, s.live = len(s.mem), 1
	c := cell(s.mem)
	c[offClass] = bigCell
	a.live++
	return makeRef(n, 0), c, nil
}

func (a *cells) addSlab(size int, class uint8) (uint32, error) {
	var n uint32
	switch {
	case len(a.free) > 0:
		n = a.free[len(a.free)-1]
		a.free = a.free[:len(a.free)-1]
	case len(a.slabs) < maxSlabs:
		n = uint32(len(a.slabs))
		a.slabs = append(a.slabs, slab{})
	default:
		return 0, errTableFull
	}
	a.slabs[n] = slab{mem: make([]byte, size), class: class, freeHead: freeNone}
	a.bytes += int64(size)
	return n, nil
}

// release gives a cell back. A slab without cells gives its memory back.
func (a *cells) release(r ref) {
	n := uint32(r >> slabBits)
	s := &a.slabs[n]
	c := a.at(r)
	a.live--
	s.live--
	if s.live == 0 {
		a.dropSlab(n)
		return
	}
	c[offFlags] = cellFree
	binary.LittleEndian.PutUint32(c, uint32(s.freeHead))
	s.freeHead = uint16(r & (1<<slabBits - 1))
	if !s.listed {
		s.listed = true
		a.partial[s.class] = append(a.partial[s.class], n)
	}
}

func (a *cells) dropSlab(n uint32) {
	s := &a.slabs[n]
	if s.class != bigCell {
		a.unlist(n, s)
		a.count[s.class]--
	}
	a.bytes -= int64(len(s.mem))
	a.slabs[n] = slab{}
	a.free = append(a.free, n)
}

func (a *cells) unlist(n uint32, s *slab) {
	if !s.listed {
		return
	}
	list := a.partial[s.class]
	for i, m := range list {
		if m == n {
			list[i] = list[len(list)-1]
			a.partial[s.class] = list[:len(list)-1]
			return
		}
	}
}
