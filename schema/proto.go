package schema

import (
	"errors"
	"reflect"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Proto writes protobuf messages; T is a generated message type, as in
// Proto[*pb.Click](). Encodings are deterministic: equal messages of one version
// of the program have equal bytes.
func Proto[T proto.Message]() Codec[T] {
	var zero T
	c := protoCodec[T]{name: "proto[" + typeName[T]() + "]"}
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Pointer {
		c.message = zero.ProtoReflect().Type()
	}
	return c
}

var (
	errNilMessage = errors.New("the message is nil; write a tombstone to delete")
	errNoMessage  = errors.New("the type is not a generated message; use a pointer to one, as in Proto[*pb.Click]()")
)

type protoCodec[T proto.Message] struct {
	name    string
	message protoreflect.MessageType // nil where T is not a generated type
}

func (c protoCodec[T]) String() string { return c.name }

func (c protoCodec[T]) Append(dst []byte, v T) ([]byte, error) {
	if c.message == nil {
		return dst, encodeError(c, errNoMessage)
	}
	if !v.ProtoReflect().IsValid() {
		return dst, encodeError(c, errNilMessage)
	}
	out, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, v)
	if err != nil {
		return dst, encodeError(c, err)
	}
	return out, nil
}

func (c protoCodec[T]) Decode(data []byte) (T, error) {
	var zero T
	if c.message == nil {
		return zero, decodeError(c, data, errNoMessage)
	}
	v := c.message.New().Interface().(T)
	if err := proto.Unmarshal(data, v); err != nil {
		return zero, decodeError(c, data, err)
	}
	return v, nil
}
