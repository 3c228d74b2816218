package schema

import "unsafe"

// Decoding returns the codec's Decode for one goroutine at a time. For codecs of
// int64, goka's wrapped ones among them, it makes next to no garbage: values are
// handed out in boxes that are cut off blocks of 32, so a value that is kept keeps at
// most 256 bytes alive. Of other codecs it is Decode itself.
func Decoding(c interface {
	Decode(data []byte) (any, error)
}) func(data []byte) (any, error) {
	if b, ok := c.(boxed[int64]); ok {
		boxes := new(integers)
		return func(data []byte) (any, error) {
			v, err := b.codec.Decode(data)
			if err != nil {
				return nil, err
			}
			return boxes.box(v), nil
		}
	}
	return c.Decode
}

// integers makes interface values of integers. The language allocates eight bytes
// for each; here one allocation serves a block.
type integers struct{ free []int64 }

const integersBlock = 32

// box returns v as an interface value. An interface value points at a value that
// never changes, so pointing at an element of a block that is written once does as
// well as pointing at memory of its own. This is the only use of unsafe here: it
// relies on an interface value being a type and a pointer, as package runtime
// declares it and reflect takes it apart.
func (b *integers) box(v int64) any {
	if uint64(v) < 256 {
		return v // the runtime has these at hand
	}
	if len(b.free) == 0 {
		b.free = make([]int64, integersBlock)
	}
	p := &b.free[0]
	b.free = b.free[1:]
	*p = v
	boxed := any(int64(0))
	(*[2]unsafe.Pointer)(unsafe.Pointer(&boxed))[1] = unsafe.Pointer(p)
	return boxed
}
