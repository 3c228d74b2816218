package schema

import (
	"bytes"
	"fmt"
)

// Boxed makes an [Appender], and so a goka.Codec, of a typed codec. Encoding a
// value whose type is not T is an error that names both types. A nil codec gives
// a nil Appender.
func Boxed[T any](c Codec[T]) Appender {
	if c == nil {
		return nil
	}
	return boxed[T]{c}
}

type boxed[T any] struct{ codec Codec[T] }

func (b boxed[T]) String() string { return Name(b.codec) }

func (b boxed[T]) Encode(value any) ([]byte, error) { return b.AppendEncode(nil, value) }

func (b boxed[T]) AppendEncode(dst []byte, value any) ([]byte, error) {
	v, ok := value.(T)
	if !ok {
		return dst, encodeError(b.codec, fmt.Errorf("value is a %T, not a %s", value, typeName[T]()))
	}
	out, err := b.codec.Append(dst, v)
	if err == nil && out == nil {
		out = []byte{} // an empty value is not a tombstone
	}
	return out, err
}

func (b boxed[T]) Decode(data []byte) (any, error) {
	v, err := b.codec.Decode(data)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Appending makes an [Appender] of any goka codec. One that is an Appender
// already is returned as it is; another is handed a copy of the data, for it may
// keep what it decodes from. A nil codec gives a nil Appender.
func Appending(c interface {
	Encode(value any) ([]byte, error)
	Decode(data []byte) (any, error)
}) Appender {
	switch c := c.(type) {
	case nil:
		return nil
	case Appender:
		return c
	}
	return foreign{c}
}

type gokaCodec interface {
	Encode(value any) ([]byte, error)
	Decode(data []byte) (any, error)
}

type foreign struct{ gokaCodec }

func (f foreign) String() string { return Name(f.gokaCodec) }

func (f foreign) Encode(value any) ([]byte, error) { return f.AppendEncode(nil, value) }

func (f foreign) AppendEncode(dst []byte, value any) ([]byte, error) {
	data, err := f.gokaCodec.Encode(value)
	if err != nil {
		return dst, encodeError(f.gokaCodec, err)
	}
	if dst == nil {
		dst = make([]byte, 0, len(data)) // an empty value is not a tombstone
	}
	return append(dst, data...), nil
}

func (f foreign) Decode(data []byte) (any, error) {
	v, err := f.gokaCodec.Decode(bytes.Clone(data))
	if err != nil {
		return nil, decodeError(f.gokaCodec, data, err)
	}
	return v, nil
}

// DecodesCopy says that Decode may be handed memory that will change: what it
// returns is a copy already.
func (b boxed[T]) DecodesCopy() bool { return true }

// DecodesCopy says the same of the codec that Decode hands a copy to.
func (f foreign) DecodesCopy() bool { return true }
