package task_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/topology"
)

// aliasing is a codec that keeps what it decodes from, as goka's codec.Bytes does.
type aliasing struct{}

func (aliasing) Encode(v any) ([]byte, error) { return v.([]byte), nil }
func (aliasing) Decode(b []byte) (any, error) { return b, nil }
func (aliasing) AppendEncode(dst []byte, v any) ([]byte, error) {
	return append(dst, v.([]byte)...), nil
}

// pointing is a user's codec of a type with references.
type pointing struct{}

func (pointing) Encode(v any) ([]byte, error) { return json.Marshal(v) }
func (pointing) Decode(b []byte) (any, error) {
	m := map[string][]int{}
	return m, json.Unmarshal(b, &m)
}

func TestWhatACallbackDoesToAValueNeverReachesTheState(t *testing.T) {
	for _, c := range []goka.Codec{new(codec.Bytes), schema.Boxed(schema.Bytes()), aliasing{}, foreign{}} {
		t.Run(schema.Name(c), func(t *testing.T) {
			r := newRig(t, topology.Persist(c), topology.Store("s", c), topology.Join("users", c), topology.Lookup("all", c),
				topology.Output("out", c),
				topology.Input("in", c, func(ctx goka.Context, msg any) {
					k := processors.FromContext(ctx)
					if string(msg.([]byte)) == "set" {
						v := []byte("value")
						ctx.SetValue(v)
						k.Store("s").Set("k", v)
						scribble(v)
						scribble(ctx.Value().([]byte))
						same(t, "Value in the same callback", string(ctx.Value().([]byte)), "value")
						same(t, "Get in the same callback", string(k.Store("s").Get("k").([]byte)), "value")
					}
					for _, v := range []any{ctx.Value(), k.Store("s").Get("k"), ctx.Join("users"), ctx.Lookup("all", "k"), msg} {
						scribble(v.([]byte))
					}
					k.Store("s").Scan("", func(_ string, v any) bool {
						scribble(v.([]byte))
						return true
					})
				}))
			r.lookups["all"].(*table).values["k"] = "value"
			r.step("users", "k", "value")
			rec := r.input("in", "k", "set")
			if _, err := r.task.Step("in", rec); err != nil {
				t.Fatal(err)
			}
			if _, ok := c.(aliasing); !ok { // it was told not to
				same(t, "the record", string(rec.Value), "set")
			}
			for range 2 {
				r.step("in", "k", "read")
				same(t, "table", r.value("k"), "value")
				same(t, "store", r.get(state.NamedKey(nil, "s", []byte("k"))), "value")
				same(t, "join", r.get(state.JoinKey(nil, "users", []byte("k"))), "value")
				r.commit()
				r.restore()
			}
		})
	}
}

// foreign is aliasing without AppendEncode: a plain goka codec.
type foreign struct{}

func (foreign) Encode(v any) ([]byte, error) { return v.([]byte), nil }
func (foreign) Decode(b []byte) (any, error) { return b, nil }

func TestAMutatedValueIsKeptOnlyWhereItIsSet(t *testing.T) {
	r := newRig(t, topology.Persist(pointing{}), input(func(ctx goka.Context, msg any) {
		m, _ := ctx.Value().(map[string][]int)
		if m == nil {
			m = map[string][]int{}
		}
		m["n"] = append(m["n"], len(m["n"]))
		if msg == "set" {
			ctx.SetValue(m)
		}
		m["n"][0] = 99
	}))
	for _, msg := range []string{"set", "look", "set", "look"} {
		r.step("in", "k", msg)
	}
	same(t, "state", r.value("k"), `{"n":[0,1]}`)
}

func TestStoresAreApartByName(t *testing.T) {
	r := newRig(t, topology.Store("a", str), topology.Store("ab", str), topology.Persist(str), input(func(ctx goka.Context, _ any) {
		c := processors.FromContext(ctx)
		c.Store("a").Set("b", "1")
		c.Store("ab").Set("", "2")
		same(t, "a", []any{c.Store("a").Get("b"), c.Store("a").Get("")}, []any{"1", nil})
		same(t, "ab", []any{c.Store("ab").Get("b"), c.Store("ab").Get("")}, []any{nil, "2"})
		same(t, "table", ctx.Value(), nil)
		c.Store("a").Scan("", func(key string, v any) bool { same(t, "scan", key+v.(string), "b1"); return true })
	}))
	r.step("in", "b", "v")
	r.commit()
	r.restore()
	r.step("in", "b", "v")
}

// scan returns what a scan of the store s shows, as key=value.
func scan(ctx goka.Context, prefix string) []string {
	var seen []string
	processors.FromContext(ctx).Store("s").Scan(prefix, func(key string, v any) bool {
		seen = append(seen, fmt.Sprintf("%s=%s", key, v))
		return true
	})
	return seen
}

func TestAScanMergesWhatTheCallbackHasWritten(t *testing.T) {
	r := newRig(t, topology.Store("s", str), input(func(ctx goka.Context, msg any) {
		s := processors.FromContext(ctx).Store("s")
		if msg == "prepare" {
			for _, key := range []string{"a", "c", "d", "f", "\xff", "\xff\xff"} {
				s.Set(key, "old")
			}
			return
		}
		s.Set("0", "new")
		s.Set("b", "old")
		s.Set("b", "new")
		s.Delete("c")
		s.Set("d", "new")
		s.Set("e", "gone")
		s.Delete("e")
		s.Delete("nowhere")
		s.Set("g", "new")
		same(t, "all", scan(ctx, ""), "[0=new a=old b=new d=new f=old g=new \xff=old \xff\xff=old]")
		same(t, "a prefix", scan(ctx, "d"), "[d=new]")
		same(t, "the last prefix", scan(ctx, "\xff"), "[\xff=old \xff\xff=old]")
		same(t, "no match", scan(ctx, "x"), "[]")
		var keys []string
		s.ScanBytes([]byte("b"), []byte("f"), func(key, _ []byte) bool {
			keys = append(keys, string(key))
			return len(keys) < 2
		})
		same(t, "from b to f, stopped", keys, "[b d]")
	}))
	r.step("in", "k", "prepare")
	r.commit()
	r.step("in", "k", "look")
}

func TestALongScanIsWhole(t *testing.T) {
	const n = 5000
	r := newRig(t, topology.Store("s", str), input(func(ctx goka.Context, msg any) {
		s := processors.FromContext(ctx).Store("s")
		if msg == "write" {
			for i := 0; i < n; i += 2 {
				s.Set(fmt.Sprintf("%05d", i), "old")
			}
			return
		}
		for i := 1; i < n; i += 2 {
			s.Set(fmt.Sprintf("%05d", i), "new")
		}
		seen := scan(ctx, "")
		if len(seen) != n || !slices.IsSorted(seen) || seen[0] != "00000=old" || seen[n-1] != "04999=new" {
			t.Errorf("%d keys, sorted %v", len(seen), slices.IsSorted(seen))
		}
	}))
	r.step("in", "k", "write")
	r.commit()
	r.step("in", "k", "scan")
}

func TestStateMayBeReadDuringAScan(t *testing.T) {
	typed := topology.StoreOf("s", schema.String())
	r := newRig(t, typed, topology.Persist(str), topology.Store("other", str), input(func(ctx goka.Context, msg any) {
		c := processors.FromContext(ctx)
		if msg == "write" {
			for i := range 100 {
				typed.Set(ctx, fmt.Sprintf("%03d", i), ctx.Key())
				c.Store("other").Set(fmt.Sprintf("%03d", i), "x")
			}
			ctx.SetValue("v")
			return
		}
		pairs := 0
		typed.Scan(ctx, "", func(key, value string) bool {
			if ctx.Value() != "v" || c.Store("other").Get(key) != "x" || c.Store("other").Get("no"+key) != nil || value != "k" {
				t.Errorf("key %s is broken: %q", key, value)
			}
			c.Store("other").Scan(key, func(string, any) bool { pairs++; return true })
			return true
		})
		same(t, "pairs", pairs, 100)
	}))
	r.step("in", "k", "write")
	r.commit()
	r.restore() // now the table has to read
	r.step("in", "k", "read")
}

// The bytes that a callback reads may be part of those that it sets.
func TestAValueMayBeMadeOfTheValue(t *testing.T) {
	r := newRig(t, topology.Persist(new(codec.Bytes)), topology.Input("in", new(codec.Bytes), func(ctx goka.Context, msg any) {
		c := processors.FromContext(ctx)
		c.SetValueBytes(msg.([]byte))
		for range 3 {
			old, _ := c.ValueBytes()
			c.SetValueBytes(old[1:])
			old, _ = c.ValueBytes()
			ctx.SetValue(append(old[:1:1], old...)) // of the codec that copies
		}
	}))
	r.step("in", "k", "abcdef")
	got, _, err := r.task.State().Table.Get(state.TableKey(nil, []byte("k")))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "value", string(got), reshaped("abcdef"))
}

func reshaped(s string) string {
	for range 3 {
		s = s[1:]
		s = s[:1] + s
	}
	return s
}
