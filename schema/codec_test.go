package schema_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/schema"
)

type click struct {
	User  string   `json:"user" avro:"user"`
	Count int64    `json:"count" avro:"count"`
	Pages []string `json:"pages" avro:"pages"`
	Note  *string  `json:"note,omitempty" avro:"note"`
}

const clickAvro = `{"type":"record","name":"click","fields":[
	{"name":"user","type":"string"},
	{"name":"count","type":"long"},
	{"name":"pages","type":{"type":"array","items":"string"}},
	{"name":"note","type":["null","string"],"default":null}]}`

func avroOf[T any](t testing.TB, avsc string) schema.Codec[T] {
	t.Helper()
	c, err := schema.Avro[T](avsc)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func genericAvro(t testing.TB, avsc string) schema.Codec[any] {
	t.Helper()
	c, err := schema.AvroGeneric(avsc)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// roundTrip checks that the value comes back, that Append appends, and that what
// is decoded shares no memory with the data.
func roundTrip[T any](t *testing.T, c schema.Codec[T], v T) {
	t.Helper()
	data, err := c.Append([]byte("head"), v)
	if err != nil {
		t.Fatal(err)
	}
	body, ok := bytes.CutPrefix(data, []byte("head"))
	if !ok {
		t.Fatalf("Append has changed what was there: %q", data)
	}
	again, err := c.Append(nil, v)
	if err != nil || !bytes.Equal(again, body) {
		t.Fatalf("encoded again as %q, first as %q, %v", again, body, err)
	}
	got, err := c.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = 0xff
	}
	if m, ok := any(v).(proto.Message); ok {
		if !proto.Equal(m, any(got).(proto.Message)) {
			t.Fatalf("got %v, want %v", got, v)
		}
		return
	}
	if !reflect.DeepEqual(got, v) {
		t.Fatalf("got %#v, want %#v", got, v)
	}
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	note := "n"
	c := click{User: "ann", Count: -7, Pages: []string{"/a", "/b"}, Note: &note}
	for _, v := range []int64{0, 1, -1, 999999999999999999, -999999999999999999, math.MaxInt64, math.MinInt64} {
		roundTrip(t, schema.Int64(), v)
	}
	roundTrip(t, schema.String(), "grüße")
	roundTrip(t, schema.String(), "")
	roundTrip(t, schema.Bytes(), []byte{0, 1, 2})
	roundTrip(t, schema.Bytes(), []byte{})
	roundTrip(t, schema.JSON[click](), c)
	roundTrip(t, schema.JSON[*click](), &c)
	roundTrip(t, schema.JSON[map[string]int](), map[string]int{"b": 1, "a": 2})
	roundTrip(t, avroOf[click](t, clickAvro), c)
	roundTrip(t, avroOf[*click](t, clickAvro), &c)
	roundTrip(t, avroOf[string](t, `"string"`), "")
	roundTrip(t, avroOf[[]int64](t, `{"type":"array","items":"long"}`), []int64{1, 2})
	roundTrip(t, genericAvro(t, clickAvro), any(map[string]any{
		"user": "ann", "count": int64(3), "pages": []any{"/a"}, "note": nil,
	}))
	roundTrip(t, schema.Proto[*wrapperspb.StringValue](), wrapperspb.String("x"))
	roundTrip(t, schema.Proto[*structpb.Struct](), &structpb.Struct{Fields: map[string]*structpb.Value{
		"a": structpb.NewNumberValue(1), "b": structpb.NewStringValue("x"), "c": structpb.NewNullValue(),
	}})
}

func TestDecodingErrorsNameCodecAndCause(t *testing.T) {
	jsonClick := schema.Boxed(schema.JSON[click]())
	avroClick := schema.Boxed(avroOf[click](t, clickAvro))
	for _, c := range []struct {
		codec schema.Appender
		data  string
		want  []string
	}{
		{schema.Boxed(schema.Int64()), "12x", []string{"int64", "3 bytes", `"12x"`}},
		{schema.Boxed(schema.Int64()), "", []string{"int64", "0 bytes"}},
		{schema.Boxed(schema.Int64()), "9223372036854775808", []string{"out of range"}},
		{schema.Boxed(schema.Int64()), "-", []string{"int64", "invalid syntax"}},
		{jsonClick, `{"user":1}`, []string{"json[schema_test.click]", "user"}},
		{jsonClick, `{} {}`, []string{"json[", "after top-level value"}},
		{schema.Boxed(schema.JSONGeneric()), `{} x`, []string{"json cannot", "more after the value"}},
		{schema.Boxed(schema.JSONGeneric()), ``, []string{"EOF"}},
		{avroClick, "\x06an", []string{"avro[schema_test.click]"}},
		{avroClick, "", []string{"avro["}},
		{avroClick, "\x00\x00\x00\x00\x01\x06ann\x06\x00\x00", []string{"schema registry"}},
		{avroClick, "\x06ann\x06\x00\x00\x00", []string{"more after the datum"}},
		{schema.Boxed(schema.Proto[*wrapperspb.StringValue]()), "\x0a\xff", []string{"proto[*wrapperspb.StringValue]"}},
		{schema.Appending(broken{}), "x", []string{"schema_test.broken", "it is broken"}},
	} {
		v, err := c.codec.Decode([]byte(c.data))
		if err == nil {
			t.Errorf("%s decoded %q as %#v", schema.Name(c.codec), c.data, v)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("decoding %q: %q is not in: %v", c.data, w, err)
			}
		}
	}
}

func TestNoPrefixOfAnAvroDatumDecodes(t *testing.T) {
	c := avroOf[click](t, clickAvro)
	note := "note"
	data, err := c.Append(nil, click{User: "ann", Count: 300, Pages: []string{"/a", ""}, Note: &note})
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if v, err := c.Decode(data[:n]); err == nil {
			t.Errorf("%d of %d bytes decoded as %+v", n, len(data), v)
		}
	}
}

func TestBrokenAvroLengthsAreErrors(t *testing.T) {
	c, g := avroOf[click](t, clickAvro), genericAvro(t, clickAvro)
	long := func(n int64) []byte {
		return binary.AppendVarint(nil, n)
	}
	for _, n := range []int64{-1, math.MinInt64 + 1, math.MaxInt64, 1 << 40, 1 << 21, 1000} {
		for _, data := range [][]byte{
			long(n),                          // of the string
			append([]byte{0, 0}, long(n)...), // of the array
			append(append([]byte{0, 0}, long(n)...), 0, 0, 0),
			append([]byte{0, 0, 0}, long(n)...), // which branch of the union
		} {
			if v, err := c.Decode(data); err == nil {
				t.Errorf("length %d: %x decoded as %+v", n, data, v)
			}
			if v, err := g.Decode(data); err == nil {
				t.Errorf("length %d: %x decoded as %+v", n, data, v)
			}
		}
	}
}

func TestEncodingErrorsNameCodecAndCause(t *testing.T) {
	for _, c := range []struct {
		codec schema.Appender
		value any
		want  string
	}{
		{schema.Boxed(schema.Int64()), 1, "int64 cannot encode: value is a int, not a int64"},
		{schema.Boxed(schema.String()), nil, "string cannot encode: value is a <nil>, not a string"},
		{schema.Boxed(schema.JSON[chan int]()), make(chan int), "json[chan int] cannot encode: json: unsupported type"},
		{schema.Boxed(avroOf[*click](t, clickAvro)), (*click)(nil), "avro[*schema_test.click] cannot encode: avro: cannot encode nil pointer"},
		{schema.Boxed(genericAvro(t, `"string"`)), 5, "avro cannot encode"},
		{schema.Boxed(schema.Proto[*wrapperspb.StringValue]()), (*wrapperspb.StringValue)(nil), "the message is nil"},
		{schema.Boxed(schema.Proto[proto.Message]()), wrapperspb.String(""), "use a pointer"},
		{schema.Appending(broken{}), 1, "schema_test.broken cannot encode: it is broken"},
	} {
		dst, err := c.codec.AppendEncode([]byte("head"), c.value)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s encoding %v: got %v, want %q", schema.Name(c.codec), c.value, err, c.want)
		}
		if string(dst) != "head" {
			t.Errorf("%s left %q after an error", schema.Name(c.codec), dst)
		}
	}
	if _, err := genericAvro(t, `"string"`).Append(nil, nil); err == nil {
		t.Error("generic Avro encoded nil")
	}
}

func TestAvroSaysWhereATypeDoesNotFit(t *testing.T) {
	type missing struct {
		User string `avro:"user"`
	}
	type other struct {
		click
		Count string `avro:"count"`
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{second(schema.Avro[click](`{"type":"recor"}`)), "parse Avro schema"},
		{second(schema.AvroGeneric(`nonsense`)), "parse Avro schema"},
		{second(schema.Avro[missing](clickAvro)), `missing required field "count"`},
		{second(schema.Avro[other](clickAvro)), "unsupported for"},
		{second(schema.Avro[int](`"string"`)), "does not fit the schema"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("got %v, want %q", c.err, c.want)
		}
	}
	// The zero value cannot be encoded, but others can.
	roundTrip(t, avroOf[string](t, `{"type":"enum","name":"e","symbols":["A","B"]}`), "B")
}

func second[T any](_ T, err error) error { return err }

func TestAvroSchemasOfOneNameDoNotMeet(t *testing.T) {
	a := avroOf[map[string]any](t, `{"type":"record","name":"same","fields":[{"name":"x","type":"string"}]}`)
	b := avroOf[map[string]any](t, `{"type":"record","name":"same","fields":[{"name":"x","type":"long"}]}`)
	roundTrip(t, a, map[string]any{"x": "s"})
	roundTrip(t, b, map[string]any{"x": int64(1)})
}

func TestGenericJSONKeepsEveryDigit(t *testing.T) {
	c := schema.JSONGeneric()
	const text = `{"id":12345678901234567890,"x":[1.10,null,true]}`
	v, err := c.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.Append(nil, v)
	if err != nil || string(data) != text {
		t.Errorf("got %s, %v", data, err)
	}
}

func TestGokasCodecsHaveTheSameBytes(t *testing.T) {
	pairs := []struct {
		goka interface {
			Encode(any) ([]byte, error)
			Decode([]byte) (any, error)
		}
		ours   schema.Appender
		values []any
	}{
		{new(codec.Int64), schema.Boxed(schema.Int64()), []any{int64(0), int64(-5), int64(math.MinInt64), int64(math.MaxInt64)}},
		{new(codec.String), schema.Boxed(schema.String()), []any{"", "a b"}},
		{new(codec.Bytes), schema.Boxed(schema.Bytes()), []any{[]byte{}, []byte("x")}},
	}
	for _, p := range pairs {
		for _, v := range p.values {
			want, err := p.goka.Encode(v)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.ours.Encode(v)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%#v: got %q, %v, want %q", v, got, err, want)
			}
			back, err := p.ours.Decode(want)
			if err != nil || !reflect.DeepEqual(back, v) {
				t.Errorf("%q: got %#v, %v", want, back, err)
			}
		}
	}
	for _, data := range []string{"+5", "007", "-0", "0x1", "1_0", " 1", "1 "} {
		want, wantErr := new(codec.Int64).Decode([]byte(data))
		got, err := schema.Int64().Decode([]byte(data))
		if (err == nil) != (wantErr == nil) || err == nil && want != any(got) {
			t.Errorf("%q: got %v, %v, goka %v, %v", data, got, err, want, wantErr)
		}
	}
}

// broken is a foreign codec that fails.
type broken struct{}

var errBroken = errors.New("it is broken")

func (broken) Encode(any) ([]byte, error) { return nil, errBroken }
func (broken) Decode([]byte) (any, error) { return nil, errBroken }

func TestAForeignCodecIsHandedACopy(t *testing.T) {
	a := schema.Appending(new(codec.Bytes)) // hands out what it is given
	data := []byte("data")
	v, err := a.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	data[0] = 'X'
	if string(v.([]byte)) != "data" {
		t.Errorf("the value changed with the record's memory: %q", v)
	}
	value := []byte("value")
	enc, err := a.Encode(value)
	if err != nil {
		t.Fatal(err)
	}
	value[0] = 'X'
	if string(enc) != "value" {
		t.Errorf("the encoding changed with the value: %q", enc)
	}
}

func TestAnEmptyValueIsNoTombstone(t *testing.T) {
	for _, a := range []schema.Appender{
		schema.Boxed(schema.Bytes()), schema.Appending(new(codec.Bytes)), schema.Boxed(schema.Proto[*wrapperspb.StringValue]()),
	} {
		v := any([]byte{})
		if strings.HasPrefix(schema.Name(a), "proto") {
			v = wrapperspb.String("")
		}
		if data, err := a.Encode(v); err != nil || data == nil || len(data) > 0 {
			t.Errorf("%s: got %#v, %v", schema.Name(a), data, err)
		}
	}
}

func TestACodecIsNotWrappedTwice(t *testing.T) {
	a := schema.Boxed(schema.JSON[click]())
	if schema.Appending(a) != a {
		t.Error("an Appender was wrapped")
	}
	if schema.Appending(nil) != nil || schema.Boxed[int64](nil) != nil {
		t.Error("nil was wrapped")
	}
}
