package views

import (
	"encoding/binary"
	"math/bits"
)

const (
	bucketPlaces = 16
	placeBytes   = 5 // a tag and an offset

	recordHead   = 2
	compactKey   = 127 // longest key of a record
	compactValue = 254 // longest value
	absent       = 255 // instead of a value's length: the table does not have the key
	hidden       = 128 // beside a key's length: not to be seen, for it is being written

	leastSegment = 10 // bits
	mostSegment  = 14
)

// compact holds small entries in memory without pointers, which costs about 10
// bytes beyond key and value, and nothing to the garbage collector.
//
// Records lie one after another in segments:
//
//	1 byte   length of the key, and whether it is hidden
//	1 byte   length of the value, or absent
//	         key, value
//
// The index consists of buckets of 16 places; a place has a byte of the key's hash, by
// which other keys are passed over without a look at their records, and the record's
// offset. A key is in one of two buckets, which was the emptier one when it came: so
// buckets fill evenly, up to 7/8 of all places, and a place is given up without a
// trace. Where a value of another length is written, its old record is dead until its
// segment is swept.
//
// It does not count what it may use: that is the shard's part, which guards it, too.
type compact struct {
	hash func(key []byte) uint64
	bits int // of a segment's size

	tags     []uint8 // 0 is a free place, 1 is never used
	offsets  []uint32
	segments [][]byte // length: what is written; nil: given back
	active   int      // the segment that records are added to; the next one is the oldest

	entries int
	held    int64 // bytes of segments
	live    int64 // bytes of records that the index knows
	turn    uint  // whose place is taken in a full bucket
}

func newCompact(limit int64, hash func([]byte) uint64) compact {
	return compact{hash: hash, bits: min(max(bits.Len64(uint64(limit/32)), leastSegment), mostSegment)}
}

// compactable reports whether an entry can be a record.
func compactable[K string | []byte](key K, value []byte) bool {
	return len(key) <= compactKey && len(value) <= compactValue
}

// segment returns the bytes of a segment.
func (t *compact) segment() int { return 1 << t.bits }

func (t *compact) bytes() int64 { return int64(len(t.tags))*placeBytes + t.held }

// record returns the record at an offset, and what follows it.
func (t *compact) record(offset uint32) []byte {
	return t.segments[offset>>t.bits][offset&(1<<t.bits-1):]
}

func keyOf(record []byte) []byte {
	return record[recordHead : recordHead+int(record[0]&^hidden)]
}

// valueOf returns the value's bytes, none where it is absent.
func valueOf(record []byte) []byte {
	at := recordHead + int(record[0]&^hidden)
	if record[1] == absent {
		return record[at:at]
	}
	return record[at : at+int(record[1])]
}

func recordSize(record []byte) int {
	return recordHead + len(keyOf(record)) + len(valueOf(record))
}

func tagOf(h uint64) uint8 {
	tag := uint8(h >> 8)
	if tag < 2 {
		tag += 2
	}
	return tag
}

// buckets returns the first places of the two buckets that a hash belongs in.
func (t *compact) buckets(h uint64) [2]int {
	n := uint64(len(t.tags) / bucketPlaces)
	a := h >> 32 * n >> 32
	b := h * 0x9e3779b97f4a7c15 >> 32 * n >> 32
	return [2]int{int(a) * bucketPlaces, int(b) * bucketPlaces}
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// equal sets the high bit of each byte of word that is b, and perhaps those of bytes
// behind one that differ from b in the lowest bit.
func equal(word uint64, b uint8) uint64 {
	x := word ^ lowBits*uint64(b)
	return (x - lowBits) &^ x & highBits
}

// find returns the place of a key, or -1.
func (t *compact) find(h uint64, key string) int {
	return t.search(h, func(i int) bool { return string(keyOf(t.record(t.offsets[i]))) == key })
}

// search returns the place with the hash's tag that fn accepts, or -1.
func (t *compact) search(h uint64, fn func(place int) bool) int {
	if len(t.tags) == 0 {
		return -1
	}
	tag := tagOf(h)
	for _, b := range t.buckets(h) {
		for ; ; b += 8 {
			for m := equal(binary.LittleEndian.Uint64(t.tags[b:]), tag); m != 0; m &= m - 1 {
				if i := b + bits.TrailingZeros64(m)/8; t.tags[i] == tag && fn(i) {
					return i
				}
			}
			if b%bucketPlaces != 0 {
				break
			}
		}
	}
	return -1
}

// vacant returns a free place for a hash, or -1 where both buckets are full.
func (t *compact) vacant(h uint64) int {
	place, most := -1, 0
	for _, b := range t.buckets(h) {
		low := equal(binary.LittleEndian.Uint64(t.tags[b:]), 0)
		high := equal(binary.LittleEndian.Uint64(t.tags[b+8:]), 0)
		n := bits.OnesCount64(low) + bits.OnesCount64(high)
		if n <= most {
			continue
		}
		most = n
		if low != 0 {
			place = b + bits.TrailingZeros64(low)/8
		} else {
			place = b + 8 + bits.TrailingZeros64(high)/8
		}
	}
	return place
}

// overwrite puts a value in the place of one that has its length.
func (t *compact) overwrite(place int, value []byte, found bool) bool {
	record := t.record(t.offsets[place])
	old := valueOf(record)
	if len(old) != len(value) {
		return false
	}
	copy(old, value)
	record[0] &^= hidden
	record[1] = lengthByte(value, found)
	return true
}

func lengthByte(value []byte, found bool) uint8 {
	if !found {
		return absent
	}
	return uint8(len(value))
}

// append adds a record that fits to the active segment, at a vacant place.
func (t *compact) append(place int, h uint64, key string, value []byte, found bool) {
	segment := t.segments[t.active]
	t.tags[place], t.offsets[place] = tagOf(h), uint32(t.active<<t.bits+len(segment))
	segment = append(segment, uint8(len(key)), lengthByte(value, found))
	segment = append(segment, key...)
	t.segments[t.active] = append(segment, value...)
	t.entries++
	t.live += int64(recordHead + len(key) + len(value))
}

func (t *compact) remove(place int) {
	t.live -= int64(recordSize(t.record(t.offsets[place])))
	t.tags[place] = 0
	t.entries--
}

// displace frees one of the places that a hash may have, in turn.
func (t *compact) displace(h uint64) int {
	t.turn++
	place := t.buckets(h)[t.turn%2] + int(t.turn/2%bucketPlaces)
	t.remove(place)
	return place
}
