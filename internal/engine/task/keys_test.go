package task_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

// Keys are cut off strings that neighbours share: what a callback keeps must stay.
func TestKeysStayAsTheyWere(t *testing.T) {
	var kept []string
	r := newRig(t, topology.Persist(new(codec.Int64)), topology.Input("in", schema.Boxed(schema.Nothing()), func(ctx goka.Context, _ any) {
		if ctx.Offset()%3 != 2 { // one in three is not asked for
			kept = append(kept, ctx.Key()+"|"+fmt.Sprint(ctx.Offset()))
			if again := ctx.Key(); again+"|"+fmt.Sprint(ctx.Offset()) != kept[len(kept)-1] {
				t.Errorf("asked again, the key is %q", again)
			}
		}
	}))
	keys := []string{"", "a", "bb", strings.Repeat("long", 100), "c", strings.Repeat("x", 255), "", strings.Repeat("y", 256), "d", "a"}
	for i := range 50 {
		keys = append(keys, fmt.Sprintf("user-%07d", i))
	}
	var want []string
	offset := int64(0)
	step := func(preload, stepped []string) {
		records := func(keys []string) (out []record.Record) {
			for _, k := range keys {
				out = append(out, record.Record{Topic: "in", Key: []byte(k), Value: []byte("v")})
			}
			return out
		}
		if err := r.task.Preload("in", records(preload)); err != nil {
			t.Fatal(err)
		}
		for _, rec := range records(stepped) {
			rec.Offset = offset
			if _, err := r.task.Step("in", &rec); err != nil {
				t.Fatal(err)
			}
			if offset%3 != 2 {
				want = append(want, fmt.Sprintf("%s|%d", rec.Key, offset))
			}
			offset++
		}
	}
	step(keys, keys)
	step(keys[5:], keys)           // others than were preloaded
	step(keys, keys[10:])          // and in another order
	step(nil, keys[:3])            // none was preloaded
	step(keys[20:40], keys[20:30]) // fewer
	if fmt.Sprint(kept) != fmt.Sprint(want) {
		t.Errorf("keys\n%q, want\n%q", kept, want)
	}
}
