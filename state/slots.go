package state

import "math/bits"

// slot is one entry of the index, zero where it is empty:
//
//	bit 63      the entry was used since the clock's hand passed it
//	bits 62–32  tag: the upper 31 bits of the key's hash
//	bits 31–0   the cell
//
// A slot's place is the tag's upper bits, with linear probing, so the index grows
// and closes gaps without looking at a cell.
type slot uint64

const (
	slotUsed = 1 << 63
	tagMask  = 1<<31 - 1
	minSlots = 64
)

func makeSlot(tag uint32, r ref) slot { return slot(tag)<<32 | slot(r) | slotUsed }
func (s slot) tag() uint32            { return uint32(s>>32) & tagMask }
func (s slot) ref() ref               { return ref(s) }

// slots is the hash index of a table: open addressing, a power of two long.
type slots struct {
	s     []slot
	shift uint8 // tag>>shift is a tag's home
	n     int
	hand  int // of the clock: counts up, atHand says where it is
}

func newSlots(n int) slots {
	return slots{s: make([]slot, n), shift: uint8(31 - bits.Len(uint(n-1)))}
}

func (x *slots) home(tag uint32) int { return int(tag >> x.shift) }
func (x *slots) next(i int) int      { return (i + 1) & (len(x.s) - 1) }
func (x *slots) bytes() int64        { return int64(len(x.s)) * 8 }

// crowded reports whether one more entry should not go in: above 3/4.
func (x *slots) crowded() bool { return (x.n+1)*4 > len(x.s)*3 }

// place returns where the entry of a cell is.
func (x *slots) place(tag uint32, r ref) int {
	i := x.home(tag)
	for x.s[i].ref() != r {
		i = x.next(i)
	}
	return i
}

// handBlock is how many neighbouring slots the clock's hand visits in a row.
const handBlock = 8

// atHand returns the slot that the clock's hand points to. From block to block the
// hand leaps by the golden ratio of the index: if it went from front to back, it
// would leave a thin stretch behind and have a full one before it, and probing is
// slow where the index is full.
func (x *slots) atHand() int {
	blocks := len(x.s) / handBlock
	stride := int(uint64(blocks)*2654435769>>32) | 1 // odd, so that every block is met
	block := (x.hand / handBlock * stride) & (blocks - 1)
	return block*handBlock + x.hand%handBlock
}

// insert adds an entry; there must be room.
func (x *slots) insert(e slot) {
	i := x.home(e.tag())
	for x.s[i] != 0 {
		i = x.next(i)
	}
	x.s[i] = e
	x.n++
}

// remove deletes entry i and closes the gap.
func (x *slots) remove(i int) {
	x.n--
	for j := x.next(i); x.s[j] != 0; j = x.next(j) {
		home := x.home(x.s[j].tag())
		// Entry j may move to the gap i unless its home lies in (i, j].
		if (j-home)&(len(x.s)-1) >= (j-i)&(len(x.s)-1) {
			x.s[i] = x.s[j]
			i = j
		}
	}
	x.s[i] = 0
}

// grow doubles the index. Places are in the order of tags, so both arrays are
// walked from front to back.
func (x *slots) grow() {
	old := *x
	*x = newSlots(2 * len(old.s))
	for _, e := range old.s {
		if e != 0 {
			x.insert(e)
		}
	}
}
