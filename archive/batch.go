package archive

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"iter"
	"math"
)

// BatchHeaderSize is the size of a record batch's header, in bytes.
const BatchHeaderSize = 61

const (
	lengthEnd  = 12 // base offset and length: the length counts what follows
	crcEnd     = 21 // what follows is what the batch's own checksum covers
	batchMagic = 2

	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// Batch is one record batch of Kafka's format 2, its header decoded. The records are
// not: they may be compressed, and decoding them belongs to who knows Kafka.
type Batch struct {
	Raw             []byte // all of it, header included; aliases what it was decoded from
	BaseOffset      int64
	LeaderEpoch     int32
	CRC             uint32 // CRC-32C of Raw[21:], as its producer or broker wrote it
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64 // of the first record, milliseconds; see FirstTimestamp
	MaxTimestamp    int64
	ProducerID      int64 // -1: none
	ProducerEpoch   int16
	BaseSequence    int32
	Records         int32
}

// LastOffset returns the offset of the last record that the batch was written with.
func (b *Batch) LastOffset() int64 { return b.BaseOffset + int64(b.LastOffsetDelta) }

// Codec returns the number of the compression: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
func (b *Batch) Codec() int { return int(b.Attributes & attrCodec) }

// Control reports whether the batch is a marker, which applications never see.
func (b *Batch) Control() bool { return b.Attributes&attrControl != 0 }

// Transactional reports whether the batch belongs to a transaction.
func (b *Batch) Transactional() bool { return b.Attributes&attrTransactional != 0 }

// LogAppendTime reports whether the broker, not the producer, has set the timestamps.
func (b *Batch) LogAppendTime() bool { return b.Attributes&attrLogAppendTime != 0 }

// FirstTimestamp returns the first record's timestamp, false where the log's cleaner
// has put the delete horizon into its place.
func (b *Batch) FirstTimestamp() (int64, bool) {
	return b.BaseTimestamp, b.Attributes&attrDeleteHorizon == 0
}

// Check compares the batch with its own checksum. The checksum does not cover base
// offset, length, leader epoch and format: the archive's own does.
func (b *Batch) Check() error {
	if sum := checksum(b.Raw[crcEnd:]); sum != b.CRC {
		return corrupt(-1, "batch at offset %d: checksum is %08x, its header says %08x", b.BaseOffset, sum, b.CRC)
	}
	return nil
}

// castagnoli returns the table of CRC-32C, which the standard library makes once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli()) }

// partial is what DecodeBatch says of a batch that is cut off: at the end of a
// fetch that is normal.
func partial() error {
	err := corrupt(-1, "the batch is cut off")
	err.partial = true
	return err
}

func isPartial(err error) bool {
	var c *CorruptError
	return errors.As(err, &c) && c.partial
}

// DecodeBatch decodes the header of the first batch in raw. A batch that is cut off, an
// older format than 2, and lengths that cannot be are errors that are ErrCorrupt. The
// checksum is not looked at.
func DecodeBatch(raw []byte) (Batch, error) {
	if len(raw) < lengthEnd {
		return Batch{}, partial()
	}
	size := int64(int32(binary.BigEndian.Uint32(raw[8:]))) + lengthEnd
	if len(raw) > 16 && raw[16] != batchMagic {
		return Batch{}, corrupt(-1, "batch of format %d; only format 2 can be archived", raw[16])
	}
	if size < BatchHeaderSize {
		return Batch{}, corrupt(-1, "batch of %d bytes, less than its header", size)
	}
	if size > int64(len(raw)) {
		return Batch{}, partial()
	}
	b := headerOf(raw[:size:size])
	if b.BaseOffset < 0 || b.LastOffsetDelta < 0 || b.Records < 0 || b.BaseOffset > math.MaxInt64-int64(b.LastOffsetDelta)-1 {
		return Batch{}, corrupt(-1, "batch with offset %d + %d and %d records", b.BaseOffset, b.LastOffsetDelta, b.Records)
	}
	return b, nil
}

func headerOf(raw []byte) Batch {
	be := binary.BigEndian
	return Batch{
		Raw:             raw,
		BaseOffset:      int64(be.Uint64(raw)),
		LeaderEpoch:     int32(be.Uint32(raw[12:])),
		CRC:             be.Uint32(raw[17:]),
		Attributes:      int16(be.Uint16(raw[21:])),
		LastOffsetDelta: int32(be.Uint32(raw[23:])),
		BaseTimestamp:   int64(be.Uint64(raw[27:])),
		MaxTimestamp:    int64(be.Uint64(raw[35:])),
		ProducerID:      int64(be.Uint64(raw[43:])),
		ProducerEpoch:   int16(be.Uint16(raw[51:])),
		BaseSequence:    int32(be.Uint32(raw[53:])),
		Records:         int32(be.Uint32(raw[57:])),
	}
}

// Batches yields the batches in raw, in order. An error ends it; a batch that is cut
// off at the end is one.
func Batches(raw []byte) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for len(raw) > 0 {
			b, err := DecodeBatch(raw)
			if !yield(b, err) || err != nil {
				return
			}
			raw = raw[len(b.Raw):]
		}
	}
}

// Marker is the end of a transaction.
type Marker uint8

const (
	NoMarker Marker = iota // data, or a control batch of another kind
	Abort                  // the producer's transaction was aborted
	Commit                 // it was committed
)

// Marker returns which end of a transaction the batch is. It decodes the control
// record's key, which Kafka never compresses.
func (b *Batch) Marker() (Marker, error) {
	if !b.Control() || b.Records == 0 { // the cleaner keeps emptied batches
		return NoMarker, nil
	}
	if b.Codec() != 0 {
		return NoMarker, corrupt(-1, "control batch at offset %d is compressed", b.BaseOffset)
	}
	key, ok := controlKey(b.Raw[BatchHeaderSize:])
	if !ok || len(key) < 4 {
		return NoMarker, corrupt(-1, "control batch at offset %d has no key", b.BaseOffset)
	}
	switch binary.BigEndian.Uint16(key[2:]) {
	case 0:
		return Abort, nil
	case 1:
		return Commit, nil
	}
	return NoMarker, nil
}

// controlKey returns the first record's key.
func controlKey(p []byte) ([]byte, bool) {
	c := cursor{p: p}
	c.varint() // length
	c.bytes(1) // attributes
	c.varint() // timestamp delta
	c.varint() // offset delta
	n := c.varint()
	if c.err != nil || n < 0 {
		return nil, false
	}
	key := c.bytes(n)
	return key, c.err == nil
}
