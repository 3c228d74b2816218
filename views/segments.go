package views

// crowded reports whether one more entry needs a larger index.
func (t *compact) crowded() bool { return t.entries >= len(t.tags)/8*7 }

// nextIndex returns how many places the index has after it has grown.
func (t *compact) nextIndex() int {
	n := len(t.tags) / bucketPlaces
	return (n + max(1, n/4)) * bucketPlaces
}

// growIndex moves all entries into a larger index. One that finds both of its buckets
// full, which is rare, is forgotten.
func (t *compact) growIndex() {
	tags, offsets := t.tags, t.offsets
	n := t.nextIndex()
	t.tags, t.offsets = make([]uint8, n), make([]uint32, n)
	for i, tag := range tags {
		if tag == 0 {
			continue
		}
		record := t.record(offsets[i])
		place := t.vacant(t.hash(keyOf(record)))
		if place < 0 {
			t.entries--
			t.live -= int64(recordSize(record))
			continue
		}
		t.tags[place], t.offsets[place] = tag, offsets[i]
	}
}

// fits reports whether the active segment has room for n bytes.
func (t *compact) fits(n int) bool {
	return t.held > 0 && len(t.segments[t.active])+n <= t.segment()
}

// addSegment makes a new segment the active one.
func (t *compact) addSegment() {
	t.held += int64(t.segment())
	for i, s := range t.segments {
		if s == nil {
			t.active, t.segments[i] = i, make([]byte, 0, t.segment())
			return
		}
	}
	t.active = len(t.segments)
	t.segments = append(t.segments, make([]byte, 0, t.segment()))
}

// dropSegment gives the oldest segment back, unless it is the only one.
func (t *compact) dropSegment() bool {
	oldest := t.oldest()
	if oldest == t.active {
		return false
	}
	t.sweep(oldest, false)
	t.segments[oldest] = nil
	t.held -= int64(t.segment())
	return true
}

// oldest returns the segment that was filled first of all.
func (t *compact) oldest() int {
	for i := 1; i < len(t.segments); i++ {
		if at := (t.active + i) % len(t.segments); t.segments[at] != nil {
			return at
		}
	}
	return t.active
}

// recycle makes room for n bytes without a new segment. As long as an eighth of all
// is dead, that is what it frees; else the entries of the oldest segment go, where evict
// allows it.
func (t *compact) recycle(n int, evict bool) bool {
	for range t.segments {
		sparse := t.live <= t.held/8*7
		if !sparse && !evict {
			return false
		}
		t.active = t.oldest()
		t.sweep(t.active, sparse)
		if t.fits(n) {
			return true
		}
	}
	if evict && t.held > 0 { // what is dead lies in pieces that are too small
		t.active = t.oldest()
		t.sweep(t.active, false)
	}
	return t.fits(n)
}

// sweep moves the live records of a segment to its start, or removes them.
func (t *compact) sweep(at int, keep bool) {
	segment, base := t.segments[at], at<<t.bits
	end := 0
	for from := 0; from < len(segment); {
		record := segment[from:]
		n := recordSize(record)
		offset := uint32(base + from)
		place := t.search(t.hash(keyOf(record)), func(i int) bool { return t.offsets[i] == offset })
		switch {
		case place < 0: // dead
		case keep:
			t.offsets[place] = uint32(base + end)
			copy(segment[end:], record[:n])
			end += n
		default:
			t.remove(place)
		}
		from += n
	}
	t.segments[at] = segment[:end]
}
