package schema_test

import (
	"bytes"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/seed-73111be4/kappa/schema"
)

// stable checks that what decodes can be encoded, and that this decodes as the
// same.
func stable[T any](t *testing.T, c schema.Codec[T], data []byte, same func(a, b T) bool) {
	v, err := c.Decode(data)
	if err != nil {
		return
	}
	again, err := c.Append(nil, v)
	if err != nil {
		t.Fatalf("%#v of %q does not encode: %v", v, data, err)
	}
	w, err := c.Decode(again)
	if err != nil {
		t.Fatalf("%q, the encoding of %#v, does not decode: %v", again, v, err)
	}
	if !same(v, w) {
		t.Fatalf("%q is %#v, encoded as %q and decoded %#v", data, v, again, w)
	}
}

func equal[T any](a, b T) bool { return reflect.DeepEqual(a, b) }

func FuzzInt64(f *testing.F) {
	for _, s := range []string{"", "0", "-1", "+7", "007", "9223372036854775807", "-9223372036854775809", "1e3"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { stable(t, schema.Int64(), data, equal) })
}

func FuzzStringAndBytes(f *testing.F) {
	f.Add([]byte("x\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		stable(t, schema.String(), data, equal)
		stable(t, schema.Bytes(), data, bytes.Equal)
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"user":"a","count":1,"pages":["x"]}`, `null`, `[1,2.50,{"a":null}]`, `"\ud800"`, `{}{}`} {
		f.Add([]byte(s))
	}
	c, g := schema.JSON[click](), schema.JSONGeneric()
	f.Fuzz(func(t *testing.T, data []byte) {
		stable(t, c, data, equal)
		stable(t, g, data, equal)
	})
}

func FuzzAvro(f *testing.F) {
	c, g := avroOf[click](f, clickAvro), genericAvro(f, clickAvro)
	for _, v := range []click{{}, {User: "ann", Count: 5, Pages: []string{"a", "b"}}} {
		data, err := c.Append(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)-1])
	}
	f.Add([]byte("\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		stable(t, c, data, equal)
		stable(t, g, data, equal)
	})
}

func FuzzProto(f *testing.F) {
	c := schema.Proto[*structpb.Value]()
	data, err := c.Append(nil, structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewNumberValue(1)}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		stable(t, c, data, func(a, b *structpb.Value) bool {
			x, _ := c.Append(nil, a)
			y, _ := c.Append(nil, b)
			return proto.Equal(a, b) || bytes.Equal(x, y) // a NaN does not equal itself
		})
	})
}
