package schema_test

import (
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"testing"

	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/schema"
)

// edges of what the runtime boxes itself, and of what eight bytes hold.
var integers = []int64{0, 1, 255, 256, -1, -256, 1 << 40, 1<<63 - 1, -1 << 63}

func TestIntegersComeOutOfBlocksAsTheyWentIn(t *testing.T) {
	decode := schema.Decoding(schema.Boxed(schema.Int64()))
	var kept []any
	var want []int64
	for i := range int64(10_000) {
		v := integers[i%int64(len(integers))] + i
		got, err := decode(strconv.AppendInt(nil, v, 10))
		if err != nil {
			t.Fatal(err)
		}
		if kept, want = append(kept, got), append(want, v); i%1000 == 0 {
			runtime.GC() // what is kept must keep its block
		}
	}
	seen := map[any]bool{}
	for i, v := range kept {
		if n, ok := v.(int64); !ok || n != want[i] {
			t.Fatalf("value %d is %v (%T), want %d", i, v, v, want[i])
		}
		if v != any(want[i]) || fmt.Sprint(v) != fmt.Sprint(want[i]) || reflect.ValueOf(v).Int() != want[i] {
			t.Fatalf("value %d is not like another box of %d", i, want[i])
		}
		seen[v] = true
	}
	if !seen[want[77]] {
		t.Error("a box is no key like another of the same value")
	}
}

func TestDecodingIntegersMakesNextToNoGarbage(t *testing.T) {
	decode, data := schema.Decoding(schema.Boxed(schema.Int64())), []byte("123456")
	if n := testing.AllocsPerRun(3200, func() { _, _ = decode(data) }); n > 0 {
		t.Errorf("%v allocations per value", n)
	}
}

func TestDecodingOfAnyCodecIsThatOfTheCodec(t *testing.T) {
	for _, c := range []schema.Appender{schema.Boxed(schema.String()), schema.Appending(new(codec.Int64)), schema.Boxed(schema.Int64())} {
		for _, data := range []string{"12", "x", ""} {
			want, wrong := c.Decode([]byte(data))
			got, err := schema.Decoding(c)([]byte(data))
			if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wrong) {
				t.Errorf("%s of %q: %v, %v; want %v, %v", schema.Name(c), data, got, err, want, wrong)
			}
		}
	}
}

func FuzzBoxesOfIntegers(f *testing.F) {
	for _, v := range integers {
		f.Add(v, v+1)
	}
	decode := schema.Decoding(schema.Boxed(schema.Int64()))
	f.Fuzz(func(t *testing.T, a, b int64) {
		x, errX := decode(strconv.AppendInt(nil, a, 10))
		y, errY := decode(strconv.AppendInt(nil, b, 10))
		if errX != nil || errY != nil || x != any(a) || y != any(b) || (x == y) != (a == b) {
			t.Errorf("%v and %v, want %d and %d; %v, %v", x, y, a, b, errX, errY)
		}
	})
}
