package archive

import (
	"encoding/binary"
	"math"
)

// Segment is a sealed object of record batches, as manifests list it. It answers for
// all offsets in [Start, End): those that no batch has were not in the log any more
// (compaction), or never (rolled back).
type Segment struct {
	ID         SegmentID
	Start, End int64
	Base       int64 // base offset of the first batch; below Start where Start is inside of it

	Records   int64 // as the batches' headers count them, markers included
	Batches   int64
	DataBytes int64 // of the batches, which the object begins with

	FooterBytes int64 // the rest of the object
	FooterCRC   uint32

	FirstTimestamp int64 // of the first data batch, milliseconds; NoTimestamp: no data
	MaxTimestamp   int64 // of all data; NoTimestamp: no data
	FirstEpoch     int32 // leader epochs of the first and the last batch
	LastEpoch      int32

	// Compacted says that the topic was compacted when the segment was written: a
	// batch in Kafka may by now have fewer records.
	Compacted bool
	Created   int64 // milliseconds since the Unix epoch
}

// Bytes returns the size of the object.
func (s *Segment) Bytes() int64 { return s.DataBytes + s.FooterBytes }

// Key returns the object's key.
func (s *Segment) Key(l Log) string { return l.segmentKey(s.Base, s.ID) }

func (s *Segment) flags() uint16 {
	if s.Compacted {
		return flagCompacted
	}
	return 0
}

func (s *Segment) setFlags(c *cursor, flags uint16) {
	if flags&^flagCompacted != 0 {
		c.fail("unknown flags")
	}
	s.Compacted = flags&flagCompacted != 0
}

// appendBody encodes what footer and manifest say alike. Offsets are relative to the
// given one, timestamps to created.
func (s *Segment) appendBody(p []byte, from, created int64) []byte {
	p = binary.AppendUvarint(p, uint64(s.Start-from))
	p = binary.AppendUvarint(p, uint64(s.End-s.Start))
	p = binary.AppendVarint(p, s.Base-s.Start)
	p = binary.AppendUvarint(p, uint64(s.Records))
	p = binary.AppendUvarint(p, uint64(s.Batches))
	p = binary.AppendUvarint(p, uint64(s.DataBytes))
	last := int64(0)
	p = appendTimestamp(p, s.FirstTimestamp, &last)
	p = appendTimestamp(p, s.MaxTimestamp, &last)
	p = binary.AppendVarint(p, int64(s.FirstEpoch))
	p = binary.AppendVarint(p, int64(s.LastEpoch))
	return binary.AppendVarint(p, s.Created-created)
}

// segmentBody decodes it; *from becomes the segment's end, *created its creation.
func (c *cursor) segmentBody(s *Segment, from, created *int64) {
	s.Start = *from + c.uvarint()
	s.End = s.Start + c.uvarint()
	s.Base = s.Start + c.varint()
	s.Records, s.Batches, s.DataBytes = c.uvarint(), c.uvarint(), c.uvarint()
	last := int64(0)
	s.FirstTimestamp = c.timestamp(&last)
	s.MaxTimestamp = c.timestamp(&last)
	s.FirstEpoch, s.LastEpoch = c.epoch(), c.epoch()
	s.Created = *created + c.varint()
	*from, *created = s.End, s.Created
}

func (c *cursor) epoch() int32 {
	v := c.varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		c.fail("not a leader epoch")
	}
	return int32(v)
}

func (s *Segment) validate() error {
	switch {
	case s.Start < 0 || s.End <= s.Start || s.Base < 0 || s.Base >= s.End:
		return corrupt(-1, "a segment of [%d, %d) from %d", s.Start, s.End, s.Base)
	case s.Batches < 1 || s.DataBytes < s.Batches*BatchHeaderSize || s.DataBytes > maxData+maxBatch:
		return corrupt(-1, "a segment of %d batches in %d bytes", s.Batches, s.DataBytes)
	case s.FirstTimestamp != NoTimestamp && s.MaxTimestamp == NoTimestamp:
		return corrupt(-1, "a segment with a first and no last timestamp")
	}
	return nil
}
