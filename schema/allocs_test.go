package schema_test

import (
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/seed-73111be4/kappa/schema"
)

func appendAllocs[T any](t *testing.T, c schema.Codec[T], v T) {
	t.Helper()
	if raced {
		t.Skip("pools drop at random under the race detector")
	}
	buf := make([]byte, 0, 1024)
	n := testing.AllocsPerRun(200, func() {
		if _, err := c.Append(buf, v); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%s: %v allocations per Append", schema.Name(c), n)
	}
}

func TestEncodingMakesNoGarbage(t *testing.T) {
	c := click{User: "ann", Count: 1 << 40, Pages: []string{"/a"}}
	appendAllocs(t, schema.Int64(), 1<<40)
	appendAllocs(t, schema.String(), "text")
	appendAllocs(t, schema.Bytes(), []byte("bytes"))
	appendAllocs(t, schema.JSON[click](), c)
	appendAllocs(t, schema.JSON[*click](), &c)
	appendAllocs(t, schema.Proto[*wrapperspb.Int64Value](), wrapperspb.Int64(5))
	type flat struct {
		User  string `avro:"user"`
		Count int64  `avro:"count"`
	}
	const flatAvro = `{"type":"record","name":"flat","fields":[{"name":"user","type":"string"},{"name":"count","type":"long"}]}`
	appendAllocs(t, avroOf[flat](t, flatAvro), flat{"ann", 7})
	appendAllocs(t, avroOf[*flat](t, flatAvro), &flat{"ann", 7})
}

func TestEncodingABoxedValueMakesNoGarbage(t *testing.T) {
	buf := make([]byte, 0, 64)
	var v any = int64(1 << 40)
	a := schema.Boxed(schema.Int64())
	if n := testing.AllocsPerRun(200, func() { _, _ = a.AppendEncode(buf, v) }); n > 0 {
		t.Errorf("%v allocations per AppendEncode", n)
	}
}

func TestDecodingAnIntegerOnlyBoxes(t *testing.T) {
	short, long := []byte("123456"), []byte("-9223372036854775808")
	c, a := schema.Int64(), schema.Boxed(schema.Int64())
	if n := testing.AllocsPerRun(200, func() { _, _ = c.Decode(short); _, _ = c.Decode(long) }); n > 0 {
		t.Errorf("%v allocations per typed Decode", n)
	}
	if n := testing.AllocsPerRun(200, func() { _, _ = a.Decode(short) }); n > 1 {
		t.Errorf("%v allocations per boxed Decode, want the box alone", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	c := click{User: "ann", Count: 1 << 40, Pages: []string{"/a", "/b"}}
	bench(b, "int64", schema.Int64(), 1<<40)
	bench(b, "json", schema.JSON[click](), c)
	bench(b, "avro", avroOf[click](b, clickAvro), c)
}

func bench[T any](b *testing.B, name string, c schema.Codec[T], v T) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 1024)
		for b.Loop() {
			_, _ = c.Append(buf, v)
		}
	})
}
