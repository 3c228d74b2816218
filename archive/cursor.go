package archive

import (
	"encoding/binary"
	"math"
)

// cursor decodes a byte slice; after the first error every read gives zero.
type cursor struct {
	p   []byte
	n   int64 // bytes taken
	err error
}

// fail keeps the first error.
func (c *cursor) fail(reason string) {
	if c.err == nil {
		c.err = corrupt(c.n, "%s", reason)
	}
	c.p = nil
}

// bytes takes n bytes, which alias the input.
func (c *cursor) bytes(n int64) []byte {
	if n < 0 || n > int64(len(c.p)) {
		c.fail("cut off")
		return nil
	}
	p := c.p[:n:n]
	c.p, c.n = c.p[n:], c.n+n
	return p
}

func (c *cursor) u16() uint16 {
	if p := c.bytes(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.bytes(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if p := c.bytes(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (c *cursor) uvarint() int64 {
	v, n := binary.Uvarint(c.p)
	if n <= 0 || v > math.MaxInt64 {
		c.fail("not a number")
		return 0
	}
	c.bytes(int64(n))
	return int64(v)
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.p)
	if n <= 0 {
		c.fail("not a number")
		return 0
	}
	c.bytes(int64(n))
	return v
}

// count takes the length of a list whose entries need at least size bytes each, so that
// a corrupt length never makes a large allocation.
func (c *cursor) count(size int64) int {
	n := c.uvarint()
	if n > int64(len(c.p))/size {
		c.fail("a list longer than what follows")
		return 0
	}
	return int(n)
}

func (c *cursor) string() string { return string(c.bytes(c.uvarint())) }

// end fails where bytes are left.
func (c *cursor) end() error {
	if len(c.p) > 0 {
		c.fail("bytes left over")
	}
	return c.err
}

func appendString(p []byte, s string) []byte {
	return append(binary.AppendUvarint(p, uint64(len(s))), s...)
}
