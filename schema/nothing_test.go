package schema_test

import (
	"testing"

	"github.com/seed-73111be4/kappa/schema"
)

func TestNothingReadsAnyValueWithoutGarbageAndWritesNone(t *testing.T) {
	c := schema.Boxed(schema.Nothing())
	value := []byte("whatever it is")
	if n := testing.AllocsPerRun(100, func() {
		if v, err := c.Decode(value); err != nil || v != struct{}{} {
			t.Fatal(v, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a value", n)
	}
	if _, err := c.AppendEncode(nil, struct{}{}); err == nil {
		t.Error("encoding is no error")
	}
}
