package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// JSON writes values of T as encoding/json does for a *T: the methods that T or
// *T have for JSON are used, map keys are sorted. Decoding rejects data after the
// value.
func JSON[T any]() Codec[T] {
	return &jsonCodec[T]{encoders: sync.Pool{New: func() any { return newJSONEncoder[T]() }}}
}

// JSONGeneric reads any JSON: objects as map[string]any, arrays as []any, numbers
// as json.Number, so that no digit is lost.
func JSONGeneric() Codec[any] { return jsonGeneric{JSON[any]()} }

type jsonCodec[T any] struct{ encoders sync.Pool }

func (c *jsonCodec[T]) String() string { return "json[" + typeName[T]() + "]" }

func (c *jsonCodec[T]) Append(dst []byte, v T) ([]byte, error) {
	e := c.encoders.Get().(*jsonEncoder[T])
	out, err := e.append(dst, v)
	c.encoders.Put(e)
	if err != nil {
		return dst, encodeError(c, err)
	}
	return out, nil
}

func (c *jsonCodec[T]) Decode(data []byte) (T, error) {
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		var zero T
		return zero, decodeError(c, data, err)
	}
	return v, nil
}

// jsonEncoder holds the value, so that it is not boxed, and the memory to write
// to.
type jsonEncoder[T any] struct {
	value T
	out   []byte
	json  *json.Encoder
}

func newJSONEncoder[T any]() *jsonEncoder[T] {
	e := new(jsonEncoder[T])
	e.json = json.NewEncoder(e)
	return e
}

// Write implements io.Writer for the json.Encoder.
func (e *jsonEncoder[T]) Write(p []byte) (int, error) {
	e.out = append(e.out, p...)
	return len(p), nil
}

func (e *jsonEncoder[T]) append(dst []byte, v T) ([]byte, error) {
	e.value, e.out = v, dst
	err := e.json.Encode(&e.value)
	out := e.out
	var zero T
	e.value, e.out = zero, nil
	if err != nil {
		return dst, err
	}
	return out[:len(out)-1], nil // without the encoder's newline
}

type jsonGeneric struct{ Codec[any] }

func (jsonGeneric) String() string { return "json" }

func (c jsonGeneric) Decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, decodeError(c, data, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, decodeError(c, data, fmt.Errorf("there is more after the value, from byte %d", d.InputOffset()))
	}
	return v, nil
}
