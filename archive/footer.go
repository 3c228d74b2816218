package archive

import (
	"encoding/binary"
	"math"
	"slices"
)

// Footer describes a segment from within: whose it is, where its batches are, and what
// a reader needs to filter them.
type Footer struct {
	Log     Log
	Segment Segment // its FooterBytes and FooterCRC are those of this footer
	Epochs  []Epoch
	Aborted []AbortedTxn // by First, then producer
	Blocks  []Block
}

// Epoch is where batches of a leader epoch begin in a segment.
type Epoch struct {
	Epoch int32
	Start int64
}

// Block is a run of whole batches: what is read, and checked, at once.
type Block struct {
	Base         int64  // base offset of its first batch
	At           int64  // where it begins in the segment, in bytes
	Bytes        int64  // its length
	MaxTimestamp int64  // of its data, milliseconds; NoTimestamp where it has none
	CRC          uint32 // CRC-32C of all its bytes
}

// NoTimestamp is the timestamp of what has no data.
const NoTimestamp = math.MinInt64

const (
	footerMagic   = "kappaSeg"
	formatVersion = 1
	endless       = 0x7fffffff // the "length" that makes Kafka's tools stop before the footer
	trailerSize   = 16         // footer length, its checksum, magic

	flagCompacted = 1

	// maxData keeps segments small enough for Kafka's tools, which count in int32.
	maxData   = math.MaxInt32 - 1<<28
	maxBatch  = 1 << 27 // a batch that is larger is not one
	maxFooter = 1 << 26
)

// epochAt returns the leader epoch of the last batch before offset next.
func (f *Footer) epochAt(next int64) int32 {
	epoch := int32(-1)
	for _, e := range f.Epochs {
		if e.Start >= next {
			break
		}
		epoch = e.Epoch
	}
	return epoch
}

// abortedIn returns the aborted transactions that may have records in [first, next).
func (f *Footer) abortedIn(first, next int64) []AbortedTxn {
	var in []AbortedTxn
	for _, a := range f.Aborted {
		if a.First < next && (a.Last == OpenEnd || a.Last >= first) {
			in = append(in, a)
		}
	}
	return in
}

// blockOf returns the index of the block that offset would be in.
func (f *Footer) blockOf(offset int64) int {
	i, found := slices.BinarySearchFunc(f.Blocks, offset, func(b Block, o int64) int {
		return int(min(1, max(-1, b.Base-o)))
	})
	if found {
		return i
	}
	return max(0, i-1)
}

// append encodes the footer behind p, which ends where the batches do.
func (f *Footer) append(p []byte) []byte {
	start, s := len(p), &f.Segment
	be := binary.BigEndian
	p = be.AppendUint64(p, uint64(s.End))
	p = be.AppendUint32(p, endless)
	p = append(p, footerMagic...)
	p = be.AppendUint16(p, formatVersion)
	p = be.AppendUint16(p, s.flags())
	p = f.Log.append(p)
	p = be.AppendUint64(p, uint64(s.ID))
	p = s.appendBody(p, 0, 0)
	p = f.appendLists(p)
	p = be.AppendUint32(p, uint32(len(p)-start+trailerSize))
	p = be.AppendUint32(p, checksum(p[start:]))
	return append(p, footerMagic...)
}

func (f *Footer) appendLists(p []byte) []byte {
	base := f.Segment.Base
	p = binary.AppendUvarint(p, uint64(len(f.Epochs)))
	for _, e := range f.Epochs {
		p = binary.AppendVarint(p, int64(e.Epoch))
		p = binary.AppendUvarint(p, uint64(e.Start-base))
	}
	p = binary.AppendUvarint(p, uint64(len(f.Aborted)))
	for _, a := range f.Aborted {
		p = binary.AppendVarint(p, a.ProducerID)
		p = binary.AppendUvarint(p, uint64(a.First))
		p = binary.AppendUvarint(p, uint64(a.Last+1)) // OpenEnd: 0
	}
	p = binary.AppendUvarint(p, uint64(len(f.Blocks)))
	max := int64(0)
	for _, b := range f.Blocks {
		p = binary.AppendUvarint(p, uint64(b.Base-base))
		p = binary.AppendUvarint(p, uint64(b.Bytes))
		p = appendTimestamp(p, b.MaxTimestamp, &max)
		p = binary.BigEndian.AppendUint32(p, b.CRC)
		base = b.Base
	}
	return p
}

// appendTimestamp encodes t as its distance to *last, which it becomes; a flag in the
// lowest bit says that there is none.
func appendTimestamp(p []byte, t int64, last *int64) []byte {
	if t == NoTimestamp {
		return append(p, 0)
	}
	p = append(p, 1)
	p = binary.AppendVarint(p, t-*last) // wraps around as it unwraps
	*last = t
	return p
}

func (c *cursor) timestamp(last *int64) int64 {
	p := c.bytes(1)
	switch {
	case p == nil:
		return 0
	case p[0] == 0:
		return NoTimestamp
	case p[0] != 1:
		c.fail("not a timestamp")
		return 0
	}
	*last += c.varint()
	if *last == NoTimestamp {
		c.fail("not a timestamp")
	}
	return *last
}

func (l Log) append(p []byte) []byte {
	p = appendString(p, l.Cluster)
	p = appendString(p, l.Topic)
	p = append(p, l.TopicID[:]...)
	return binary.BigEndian.AppendUint32(p, uint32(l.Partition))
}

func (c *cursor) log() Log {
	var l Log
	l.Cluster, l.Topic = c.string(), c.string()
	copy(l.TopicID[:], c.bytes(int64(len(l.TopicID))))
	l.Partition = int32(c.u32())
	if c.err == nil {
		if err := l.validate(); err != nil {
			c.fail(err.Error())
		}
	}
	return l
}

// DecodeFooter decodes a footer, from the end of the last batch to the end of the
// object. It checks everything that can be checked without the batches.
func DecodeFooter(p []byte) (*Footer, error) {
	if err := checkFooter(p); err != nil {
		return nil, err
	}
	c := &cursor{p: p[:len(p)-trailerSize]}
	end := int64(c.u64())
	c.bytes(4 + int64(len(footerMagic)))
	if v := c.u16(); v != formatVersion {
		return nil, corrupt(c.n, "segment of version %d; this program reads version %d", v, formatVersion)
	}
	flags := c.u16()
	f := &Footer{Log: c.log()}
	f.Segment.ID = SegmentID(c.u64())
	created, timestamp := int64(0), int64(0)
	c.segmentBody(&f.Segment, &created, &timestamp)
	f.Segment.setFlags(c, flags)
	c.footerLists(f)
	if err := c.end(); err != nil {
		return nil, err
	}
	f.Segment.FooterBytes, f.Segment.FooterCRC = int64(len(p)), footerSum(p)
	if f.Segment.End != end {
		return nil, corrupt(0, "the footer begins with offset %d, the segment ends at %d", end, f.Segment.End)
	}
	return f, f.validate()
}

// checkFooter looks at what makes p a footer at all: length, magic, checksum.
func checkFooter(p []byte) error {
	const head = lengthEnd + len(footerMagic)
	if len(p) < head+trailerSize {
		return corrupt(0, "a footer of %d bytes", len(p))
	}
	t := p[len(p)-trailerSize:]
	if string(t[8:]) != footerMagic || string(p[lengthEnd:head]) != footerMagic {
		return corrupt(0, "no footer of a segment")
	}
	if n := binary.BigEndian.Uint32(t); int64(n) != int64(len(p)) {
		return corrupt(0, "a footer of %d bytes says that it has %d", len(p), n)
	}
	if footerSum(p) != checksum(p[:len(p)-trailerSize+4]) {
		return corrupt(0, "the footer's checksum does not fit")
	}
	return nil
}

// footerSum returns the checksum that a footer carries.
func footerSum(p []byte) uint32 { return binary.BigEndian.Uint32(p[len(p)-trailerSize+4:]) }

func (c *cursor) footerLists(f *Footer) {
	base := f.Segment.Base
	f.Epochs = make([]Epoch, c.count(2))
	for i := range f.Epochs {
		f.Epochs[i] = Epoch{Epoch: c.epoch(), Start: base + c.uvarint()}
	}
	f.Aborted = make([]AbortedTxn, c.count(3))
	for i := range f.Aborted {
		f.Aborted[i] = AbortedTxn{ProducerID: c.varint(), First: c.uvarint(), Last: c.uvarint() - 1}
	}
	f.Blocks = make([]Block, c.count(7))
	at, max := int64(0), int64(0)
	for i := range f.Blocks {
		b := &f.Blocks[i]
		b.Base, b.At, b.Bytes = base+c.uvarint(), at, c.uvarint()
		b.MaxTimestamp, b.CRC = c.timestamp(&max), c.u32()
		base, at = b.Base, at+b.Bytes
	}
}

// validate checks the parts of a footer against each other.
func (f *Footer) validate() error {
	s := &f.Segment
	if err := s.validate(); err != nil {
		return err
	}
	if len(f.Blocks) == 0 || f.Blocks[0].Base != s.Base {
		return corrupt(-1, "the index does not begin at offset %d", s.Base)
	}
	at, base := int64(0), s.Base-1
	for _, b := range f.Blocks {
		if b.Base <= base || b.Base >= s.End || b.Bytes < BatchHeaderSize || b.Bytes > s.DataBytes-at {
			return corrupt(-1, "the index has a block of %d bytes at offset %d", b.Bytes, b.Base)
		}
		at, base = at+b.Bytes, b.Base
	}
	if at != s.DataBytes {
		return corrupt(-1, "the index covers %d of %d bytes", at, s.DataBytes)
	}
	for i, e := range f.Epochs {
		if e.Start < s.Base || e.Start >= s.End || i > 0 && e.Start <= f.Epochs[i-1].Start {
			return corrupt(-1, "leader epoch %d begins at offset %d", e.Epoch, e.Start)
		}
	}
	return nil
}
