package changelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/seed-73111be4/kappa/record"
)

// decoder reads the durable records of this package. The first fault sticks, and
// every read after it returns zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
	d.b = nil
}

func (d *decoder) header(magic string, version byte) {
	if len(d.b) < len(magic)+1 || string(d.b[:len(magic)]) != magic {
		d.fail("the magic %q is missing", magic)
		return
	}
	v := d.b[len(magic)]
	if d.b = d.b[len(magic)+1:]; v != version {
		d.fail("version %d, this is version %d: %w", v, version, ErrVersion)
	}
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("it ends too early")
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("a number is broken")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("a number is broken")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int32() int32 {
	v := d.varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.fail("%d is out of range", v)
		return 0
	}
	return int32(v)
}

func (d *decoder) string() string { return string(d.take(d.uvarint())) }

// minPosition is the least number of bytes of a position.
const minPosition = 1 + 1 + len(record.TopicID{}) + 3

func (d *decoder) positions() []record.Position {
	n := d.uvarint()
	if n > uint64(len(d.b)/minPosition) {
		d.fail("it ends too early")
		return nil
	}
	var ps []record.Position
	for range n {
		p := record.Position{Cluster: d.string(), Topic: d.string()}
		copy(p.TopicID[:], d.take(uint64(len(p.TopicID))))
		p.Partition, p.Offset, p.LeaderEpoch = d.int32(), d.varint(), d.int32()
		ps = append(ps, p)
	}
	return ps
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.err = errors.New("bytes are left over")
	}
	return d.err
}
