package views

import (
	"fmt"
	"testing"
)

func TestAFillThatRacesWithAWriteIsRefused(t *testing.T) {
	key := []change{{key: []byte("k"), value: []byte("new")}}
	for name, steps := range map[string]func(c *cache) fill{
		"read before the write began": func(c *cache) fill { _, _, f := c.get("k"); c.end(c.begin(key, map[uint64]struct{}{})); return f },
		"read during the write": func(c *cache) fill {
			b := c.begin(key, map[uint64]struct{}{})
			_, _, f := c.get("k")
			c.end(b)
			return f
		},
		"write under way": func(c *cache) fill { _, _, f := c.get("k"); c.begin(key, map[uint64]struct{}{}); return f },
	} {
		c := newCache(1 << 20)
		c.put(steps(c), "k", []byte("old"), true)
		if _, ok, _ := c.get("k"); ok {
			t.Errorf("%s: the old value is cached", name)
		}
	}
	c := newCache(1 << 20)
	c.end(c.begin(key, map[uint64]struct{}{}))
	_, _, f := c.get("k")
	c.put(f, "k", []byte("new"), true)
	if e, ok, _ := c.get("k"); !ok || string(e.value) != "new" {
		t.Errorf("a fill after the write: %q, %v", e.value, ok)
	}
}

func TestTheCacheKeepsWhatIsWrittenWhileThereIsRoom(t *testing.T) {
	c := newCache(cacheShards * 2048)
	write := func(key, value string, deleted bool) {
		x := []change{{key: []byte(key), value: []byte(value), deleted: deleted}}
		touched := c.begin(x, map[uint64]struct{}{})
		if _, ok, _ := c.get(key); ok {
			t.Errorf("%s can be seen while it is written", key)
		}
		c.keep(x)
		c.end(touched)
	}
	want := func(key, value string, found bool) {
		t.Helper()
		if e, ok, _ := c.get(key); !ok || e.found != found || string(e.value) != value {
			t.Errorf("%s: %q, %v, %v", key, e.value, e.found, ok)
		}
	}
	write("a", "1", false)
	want("a", "1", true)
	write("a", "2", false)
	want("a", "2", true)
	write("a", "", true)
	want("a", "", false)
	for i := range 10_000 {
		write(fmt.Sprint(i), "v", false)
	}
	want("a", "", false) // what is written makes no room for itself
	write("a", "3", false)
	want("a", "3", true)
	both := []change{{key: []byte("a"), value: []byte("4")}, {key: []byte("a"), value: []byte("5")}}
	touched := c.begin(both, map[uint64]struct{}{})
	c.keep(both)
	c.end(touched)
	want("a", "5", true)
}
