package schema

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"

	"github.com/hamba/avro/v2"
)

// Bounds of a datum, so that broken data cannot exhaust the memory: the library
// allocates what a length says before it looks whether there is so much data.
const (
	maxAvroBytes    = 16 << 20 // of one string or byte field
	maxAvroElements = 1 << 20  // of one array
)

// Avro writes values of T as Avro data (no header) of the schema avsc. T is a
// struct whose fields carry `avro:"name"` tags, or a Go type for another schema.
// The error says where the schema is malformed, or where T does not fit it.
// Decoding rejects data after the datum, strings over 16 MiB and arrays of more
// than a million elements.
func Avro[T any](avsc string) (Codec[T], error) {
	c, err := newAvro[T](avsc, "["+typeName[T]()+"]")
	if err != nil {
		return nil, err
	}
	if err := c.probe(); err != nil {
		return nil, err
	}
	return c, nil
}

// AvroGeneric reads Avro data for which there is no Go type: records and maps as
// map[string]any, arrays as []any, a union's value under its type's name. It
// encodes what it decodes.
func AvroGeneric(avsc string) (Codec[any], error) {
	c, err := newAvro[any](avsc, "")
	if err != nil {
		return nil, err
	}
	return c, nil
}

type avroCodec[T any] struct {
	name    string
	schema  avro.Schema
	byPtr   bool // values are handed over as pointers, to spare the boxing
	writers sync.Pool
	readers sync.Pool
}

func newAvro[T any](avsc, suffix string) (*avroCodec[T], error) {
	s, err := avro.ParseWithCache(avsc, "", new(avro.SchemaCache))
	if err != nil {
		return nil, fmt.Errorf("schema: parse Avro schema: %w", err)
	}
	api := avro.Config{MaxByteSliceSize: maxAvroBytes, MaxSliceAllocSize: maxAvroElements}.Freeze()
	c := &avroCodec[T]{name: "avro" + suffix, schema: s}
	c.byPtr = s.Type() == avro.Record && reflect.TypeFor[T]().Kind() == reflect.Struct
	c.writers.New = func() any {
		return &avroWriter[T]{w: avro.NewWriter(nil, 512, avro.WithWriterConfig(api))}
	}
	c.readers.New = func() any {
		return avro.NewReader(nil, 0, avro.WithReaderConfig(api))
	}
	return c, nil
}

// probe encodes the zero value to learn whether T fits the schema at all. Other
// errors, an empty enum say, are the zero value's own.
func (c *avroCodec[T]) probe() error {
	var zero T
	_, err := c.Append(nil, zero)
	if err == nil {
		return nil
	}
	for _, misfit := range []string{"is unsupported for", "is missing required field"} {
		if strings.Contains(err.Error(), misfit) {
			return fmt.Errorf("%w; %s does not fit the schema, compare its avro tags and field types", err, typeName[T]())
		}
	}
	return nil
}

func (c *avroCodec[T]) String() string { return c.name }

type avroWriter[T any] struct {
	w     *avro.Writer
	value T
}

func (c *avroCodec[T]) Append(dst []byte, v T) ([]byte, error) {
	p := c.writers.Get().(*avroWriter[T])
	defer c.writers.Put(p)
	p.w.Reset(nil)
	p.w.Error = nil
	c.write(p, v)
	if err := p.w.Error; err != nil {
		return dst, encodeError(c, err)
	}
	return append(dst, p.w.Buffer()...), nil
}

func (c *avroCodec[T]) write(p *avroWriter[T], v T) {
	if !c.byPtr {
		if boxed := any(v); boxed == nil {
			p.w.Error = errors.New("the value is nil")
		} else {
			p.w.WriteVal(c.schema, boxed)
		}
		return
	}
	p.value = v
	p.w.WriteVal(c.schema, &p.value)
	var zero T
	p.value = zero
}

func (c *avroCodec[T]) Decode(data []byte) (v T, err error) {
	if err = c.read(data, &v); err != nil {
		var zero T
		return zero, decodeError(c, data, err)
	}
	return v, nil
}

// read decodes into v. Broken lengths make the library panic in places, which is
// an error of the data.
func (c *avroCodec[T]) read(data []byte, v *T) (err error) {
	r := c.readers.Get().(*avro.Reader)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the datum is broken: %v", p)
		}
		r.Reset(nil)
		c.readers.Put(r)
	}()
	r.Reset(data)
	r.Error = nil
	r.ReadVal(c.schema, v)
	switch {
	case r.Error == nil:
		return rest(r, data)
	case errors.Is(r.Error, io.EOF): // the library's own Unmarshal would let it pass
		return fmt.Errorf("the datum is cut short: %w", io.ErrUnexpectedEOF)
	}
	return r.Error
}

// rest is an error where the datum has been read and the data goes on.
func rest(r *avro.Reader, data []byte) error {
	r.Error = nil
	if r.Peek(); r.Error != nil {
		return nil // io.EOF: all has been read
	}
	if len(data) >= 5 && data[0] == 0 {
		return errors.New("there is more after the datum; is this the 5-byte header of a schema registry?")
	}
	return errors.New("there is more after the datum; was it written with another schema?")
}
