package state_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-73111be4/kappa/state"
)

func newTable(t testing.TB, limit int64) (*state.Table, state.Store) {
	t.Helper()
	s, err := state.NewMemory().Open("s")
	must(t, err)
	return state.NewTable(s, state.TableOptions{MemoryBytes: limit}), s
}

func flush(t testing.TB, table *state.Table) {
	t.Helper()
	f, err := table.BeginFlush(nil)
	must(t, err)
	if f != nil {
		err = f.Run()
		table.EndFlush(f, err)
		must(t, err)
	}
}

func TestGetSetAndCommitDoNotAllocate(t *testing.T) {
	table, _ := newTable(t, 0)
	keys := make([][]byte, 256)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key-%d", i)
		must(t, table.Set(keys[i], keys[i]))
	}
	table.Commit()
	hashed := hash(table, keys)
	allocs := testing.AllocsPerRun(1000, func() {
		must(t, table.Preload(hashed))
		for _, k := range keys {
			v, _, _ := table.Get(k)
			must(t, table.Set(k, v))
		}
		must(t, table.EachDirty(func([]byte, []byte, bool, int64) error { return nil }))
		table.Commit()
	})
	if allocs > 0 {
		t.Errorf("%v allocations per transaction of 256 keys", allocs)
	}
}

func TestLoadOfKnownKeysDoesNotAllocate(t *testing.T) {
	table, _ := newTable(t, 0)
	key := []byte("key")
	if a := testing.AllocsPerRun(1000, func() { must(t, table.Load(key, key, false)) }); a > 0 {
		t.Errorf("%v allocations", a)
	}
}

// TestMemoryStaysWithinItsBound writes and reads far more than fits, with values
// whose size changes on the way, and a flush where one is due.
func TestMemoryStaysWithinItsBound(t *testing.T) {
	const limit = 2 << 20
	table, _ := newTable(t, limit)
	rnd := rand.New(rand.NewPCG(1, 2))
	var running *state.Flush
	var most int64
	for i := range 300_000 {
		size := []int{8, 700, 90, 20_000}[i/75_000]
		if size == 20_000 && i%50 > 0 {
			continue
		}
		key := fmt.Appendf(nil, "key-%d", rnd.IntN(100_000))
		if i%3 == 0 {
			must(t, table.Set(key, bytes.Repeat(key[:1], size)))
		} else {
			_, _, err := table.Get(key)
			must(t, err)
		}
		table.Commit()
		if _, n := table.Unflushed(); running == nil && (n > limit/4 || table.Full()) {
			f, err := table.BeginFlush(nil)
			must(t, err)
			must(t, f.Run())
			running = f
		} else if running != nil && i%1000 == 0 {
			table.EndFlush(running, nil)
			running = nil
		}
		most = max(most, table.Stats().Bytes)
	}
	s := table.Stats()
	if most > limit*11/10 {
		t.Errorf("%d bytes at most, the limit is %d: %+v", most, limit, s)
	}
	if s.Evictions == 0 || s.Cells == 0 {
		t.Errorf("nothing was evicted: %+v", s)
	}
}

func TestAFullTableSaysSoAndShrinksAfterAFlush(t *testing.T) {
	const limit = 1 << 20
	table, _ := newTable(t, limit)
	i := 0
	for ; !table.Full(); i++ {
		must(t, table.Set(fmt.Appendf(nil, "key-%d", i), make([]byte, 50)))
	}
	for range i { // far beyond the bound, and nothing is lost
		i++
		must(t, table.Set(fmt.Appendf(nil, "key-%d", i), make([]byte, 50)))
	}
	if n := table.Stats().Bytes; n < limit*3/2 {
		t.Fatalf("only %d bytes", n)
	}
	table.Commit()
	flush(t, table)
	if table.Full() {
		t.Error("still full after a flush")
	}
	for j := range 3000 {
		must(t, table.Load(fmt.Appendf(nil, "other-%d", j), make([]byte, 50), false))
	}
	if n := table.Stats().Bytes; n > limit*11/10 {
		t.Errorf("%d bytes after the flush, the limit is %d", n, limit)
	}
	for _, k := range []int{0, i} {
		if v, found, err := table.Get(fmt.Appendf(nil, "key-%d", k)); err != nil || !found || len(v) != 50 {
			t.Errorf("key-%d: %v, %v", k, found, err)
		}
	}
}

func TestHotKeysSurviveEviction(t *testing.T) {
	table, _ := newTable(t, 256<<10)
	for i := range 20_000 {
		must(t, table.Set(fmt.Appendf(nil, "key-%d", i), make([]byte, 50)))
		if i%500 == 0 {
			table.Commit()
			flush(t, table)
		}
	}
	table.Commit()
	flush(t, table)
	hot := []byte("key-3")
	before := table.Stats().Misses
	for i := range 20_000 {
		_, _, err := table.Get(hot)
		must(t, err)
		_, _, err = table.Get(fmt.Appendf(nil, "key-%d", i))
		must(t, err)
	}
	misses := table.Stats().Misses - before
	if misses > 20_050 {
		t.Errorf("%d misses: the hot key was evicted again and again", misses)
	}
}

func TestAbsentKeysAreRememberedByPreload(t *testing.T) {
	s, err := state.NewMemory().Open("s")
	must(t, err)
	var b state.Batch
	b.Set([]byte("there"), []byte("1"))
	must(t, s.Apply(&b))
	table := state.NewTable(s, state.TableOptions{})
	must(t, table.Preload(hash(table, [][]byte{[]byte("not"), []byte("there"), []byte("not")})))
	before := table.Stats()
	if before.Misses != 2 {
		t.Errorf("%d misses, want 2", before.Misses)
	}
	for _, k := range []string{"not", "there"} {
		_, found, err := table.Get([]byte(k))
		must(t, err)
		if found != (k == "there") {
			t.Errorf("Get(%q): found %v", k, found)
		}
	}
	if after := table.Stats(); after.Misses != before.Misses {
		t.Error("a preloaded key was read from the store")
	}
}

func TestALargeValueThatGrowsIsPatchedEverywhere(t *testing.T) {
	table, s := newTable(t, 0)
	must(t, table.Set([]byte("k"), []byte("1")))
	table.Commit()
	for n := 1; n <= 1<<20; n *= 4 {
		must(t, table.Set([]byte("k"), bytes.Repeat([]byte("x"), n)))
	}
	must(t, table.EachDirty(func(_, v []byte, _ bool, _ int64) error {
		if len(v) != 1<<20 {
			t.Errorf("%d bytes", len(v))
		}
		return nil
	}))
	table.Abort()
	if v, _, _ := table.Get([]byte("k")); string(v) != "1" {
		t.Errorf("after the abort: %d bytes", len(v))
	}
	flush(t, table)
	if v, _, _ := s.Get([]byte("k"), nil); string(v) != "1" {
		t.Errorf("the store has %q", v)
	}
}

func TestKeysAndValuesTooLargeAreErrors(t *testing.T) {
	table, _ := newTable(t, 0)
	if err := table.Set(make([]byte, 16<<20), nil); err == nil {
		t.Error("a key of 16 MiB was taken")
	}
	if n, b := table.Dirty(); n != 0 || b != 0 {
		t.Errorf("Dirty() = %d, %d after a refused write", n, b)
	}
}

func TestMetaTravelsWithTheFlush(t *testing.T) {
	table, s := newTable(t, 0)
	f, err := table.BeginFlush(func(b *state.Batch) {})
	if f != nil || err != nil {
		t.Fatalf("an empty flush: %v, %v", f, err)
	}
	f, err = table.BeginFlush(func(b *state.Batch) { b.Set([]byte{0}, []byte("m")) })
	must(t, err)
	must(t, f.Run())
	table.EndFlush(f, nil)
	if v, _, _ := s.Get([]byte{0}, nil); string(v) != "m" {
		t.Errorf("meta is %q", v)
	}
}

func ExampleTable() {
	db := state.NewMemory()
	store, _ := db.Open("clicks/0")
	table := state.NewTable(store, state.TableOptions{})

	table.Set([]byte("ann"), []byte("1"))
	table.Commit()
	table.Set([]byte("ann"), []byte("2"))
	table.Abort()
	v, _, _ := table.Get([]byte("ann"))
	fmt.Printf("table: %s\n", v)

	f, _ := table.BeginFlush(nil)
	table.EndFlush(f, f.Run()) // Run may be called on another goroutine
	v, _, _ = store.Get([]byte("ann"), nil)
	fmt.Printf("store: %s\n", v)
	// Output:
	// table: 1
	// store: 1
}

func hash(t *state.Table, keys [][]byte) []state.Key {
	out := make([]state.Key, len(keys))
	for i := range keys {
		out[i] = t.Key(keys[i])
	}
	return out
}
