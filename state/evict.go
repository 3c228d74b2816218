package state

// Eviction is CLOCK over the index: the hand gives every entry that was used
// since it last passed a second chance. Only clean cells go: those of the open
// transaction, unflushed ones and those of a running flush stay.

const (
	evictBatch  = 32 // cells to evict at a time
	evictRounds = 8  // batches or slabs that one write may pay for
)

func (t *Table) used() int64 { return t.cells.bytes + t.slots.bytes() }

// evictable reports whether there are enough clean cells that looking for them
// is cheap: above one of 16.
func (t *Table) evictable() bool {
	clean := t.cells.live - len(t.unflushed) - t.flushing
	return clean > t.cells.live/16
}

// pinned reports whether a cell must stay.
func (t *Table) pinned(r ref, c cell) bool {
	gen := c.gen()
	return gen == t.gen || t.flush != nil && gen == t.gen-1 || r == t.last
}

// room makes place for one more cell of the size, within the bound where that is
// possible; false where it is not. With must the index has place in any case.
func (t *Table) room(size int, must bool) bool {
	ok := t.roomInIndex(must) && t.roomForCell(size)
	return ok || must
}

func (t *Table) roomInIndex(must bool) bool {
	if !t.slots.crowded() {
		return true
	}
	if t.used()+t.slots.bytes() > t.limit && t.evictable() && t.evict(evictBatch) > 0 {
		return true
	}
	if !must && t.used()+t.slots.bytes() > t.limit {
		return false
	}
	t.slots.grow()
	return true
}

func (t *Table) roomForCell(size int) bool {
	for n := range evictRounds {
		need := int64(0)
		if !t.cells.has(size) {
			need = t.cells.grown(size)
		}
		if t.used()+need <= t.limit {
			return true
		}
		if !t.evictable() {
			return false
		}
		if t.used() > t.limit || size > cellMax || n >= evictRounds/2 {
			t.purge() // cells of other sizes hold the memory
		} else {
			t.evict(evictBatch)
		}
	}
	return t.cells.has(size) && t.used() <= t.limit
}

// evict moves the clock's hand until n cells are gone, two rounds at most, and
// returns how many went.
func (t *Table) evict(n int) (gone int) {
	x := &t.slots
	for steps := 2 * len(x.s); steps > 0 && gone < n; steps-- {
		i := x.atHand()
		switch e := x.s[i]; {
		case e == 0:
		case e&slotUsed != 0:
			x.s[i] = e &^ slotUsed
		case !t.pinned(e.ref(), t.cells.at(e.ref())):
			t.drop(i) // another entry may take its place: look again
			gone++
			continue
		}
		x.hand = (x.hand + 1) & (len(x.s) - 1)
	}
	return gone
}

// drop evicts the cell of a slot.
func (t *Table) drop(i int) {
	r := t.slots.s[i].ref()
	t.slots.remove(i)
	t.cells.release(r)
	t.complete = false
	t.stats.Evictions++
}

// purge evicts all clean cells of the next slab, so that its memory can serve
// cells of another size.
func (t *Table) purge() {
	n := t.nextSlab()
	if n == 0 {
		return
	}
	s := &t.cells.slabs[n]
	step := len(s.mem)
	if s.class != bigCell {
		step = classSize(int(s.class))
	}
	for off := 0; off < s.fresh && s.mem != nil; off += step {
		r := makeRef(n, off)
		c := cell(s.mem[off:])
		if c.free() || t.pinned(r, c) {
			continue
		}
		t.drop(t.slots.place(tagOf(t.hash(c.key())), r))
	}
}

// nextSlab moves the purging hand to the next slab in use, 0 where there is none.
func (t *Table) nextSlab() uint32 {
	for range t.cells.slabs {
		t.purgeHand++
		if int(t.purgeHand) >= len(t.cells.slabs) {
			t.purgeHand = 1
		}
		if int(t.purgeHand) < len(t.cells.slabs) && t.cells.slabs[t.purgeHand].mem != nil {
			return t.purgeHand
		}
	}
	return 0
}
