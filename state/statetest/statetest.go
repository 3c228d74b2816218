// Package statetest is the acceptance suite of state.DB and state.Store. A driver
// is one when Run passes:
//
//	func TestAcceptance(t *testing.T) {
//		statetest.Run(t, func(t *testing.T) state.DB { return open(t) })
//	}
package statetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/seed-73111be4/kappa/state"
)

// Run runs the suite. open returns a new, empty database; Run closes it.
func Run(t *testing.T, open func(t *testing.T) state.DB) {
	tests := []struct {
		name string
		run  func(t *testing.T, db state.DB)
	}{
		{"a value is read as it was written", points},
		{"Get uses the buffer and gives the result away", buffers},
		{"sorted reads answer every key in order", sorted},
		{"a range holds its keys in order, without its end", ranges},
		{"a prefix holds what starts with it", prefixes},
		{"later operations of a batch win", batchOrder},
		{"a batch may be reused", batchReuse},
		{"a batch is seen as a whole or not at all", atomicity},
		{"an iterator sees the keys as of its scan", iterators},
		{"a snapshot does not change", snapshots},
		{"a wiped store is empty and goes on", wipe},
		{"stores do not see each other", isolation},
		{"names lists what exists", names},
		{"a dropped store is gone", drop},
		{"a store is open once at a time", once},
		{"a closed store keeps its keys and refuses calls", reopen},
		{"a closed database refuses calls", closed},
		{"sync and size work", syncSize},
		{"random writes equal a map", random},
		{"readers and writers run at once", concurrency},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := open(t)
			defer func() {
				if err := db.Close(); err != nil && !errors.Is(err, state.ErrClosed) {
					t.Error(err)
				}
			}()
			tt.run(t, db)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// use opens a store and closes it at the end of the test, before the database.
func use(t *testing.T, db state.DB, name string, fn func(s state.Store)) {
	t.Helper()
	s, err := db.Open(name)
	must(t, err)
	defer func() {
		if err := s.Close(); err != nil && !errors.Is(err, state.ErrClosed) {
			t.Error(err)
		}
	}()
	fn(s)
}

// put applies key, value pairs as one batch.
func put(t *testing.T, s state.Store, kv ...string) {
	t.Helper()
	var b state.Batch
	for i := 0; i < len(kv); i += 2 {
		b.Set([]byte(kv[i]), []byte(kv[i+1]))
	}
	must(t, s.Apply(&b))
}

func expect(t *testing.T, r state.Reader, key, want string, exists bool) {
	t.Helper()
	v, found, err := r.Get([]byte(key), nil)
	must(t, err)
	if found != exists || string(v) != want {
		t.Errorf("Get(%q) = %q, %v; want %q, %v", key, v, found, want, exists)
	}
}

// list returns a range as "key=value" strings.
func list(t *testing.T, r state.Reader, rg state.Range) []string {
	t.Helper()
	it, err := r.Scan(rg)
	must(t, err)
	return drain(t, it)
}

func drain(t *testing.T, it state.Iterator) []string {
	t.Helper()
	var got []string
	for it.Next() {
		got = append(got, fmt.Sprintf("%s=%s", it.Key(), it.Value()))
	}
	must(t, it.Close())
	return got
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func points(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		expect(t, s, "a", "", false)
		put(t, s, "a", "1", "", "empty key", "\x00\xff", "\xff\x00", "none", "")
		expect(t, s, "a", "1", true)
		expect(t, s, "", "empty key", true)
		expect(t, s, "\x00\xff", "\xff\x00", true)
		expect(t, s, "none", "", true)
		put(t, s, "a", "2")
		expect(t, s, "a", "2", true)
		var b state.Batch
		b.Delete([]byte("a"))
		b.Delete([]byte("never"))
		must(t, s.Apply(&b))
		expect(t, s, "a", "", false)
		big := string(bytes.Repeat([]byte("x"), 3<<20))
		put(t, s, "big", big)
		expect(t, s, "big", big, true)
	})
}

func buffers(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		put(t, s, "a", "1234")
		buf := make([]byte, 8, 16)
		v, _, err := s.Get([]byte("a"), buf)
		must(t, err)
		if &v[0] != &buf[0] {
			t.Error("Get did not use the buffer")
		}
		v[0] = 'x'
		expect(t, s, "a", "1234", true)
	})
}

func sorted(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		put(t, s, "b", "1", "d", "2", "f", "")
		keys := [][]byte{[]byte("a"), []byte("b"), []byte("c"), []byte("d"), []byte("d"), []byte("f"), []byte("g")}
		var got []string
		must(t, s.GetSorted(keys, func(i int, value []byte, found bool) {
			got = append(got, fmt.Sprintf("%d %s=%s %v", i, keys[i], value, found))
		}))
		equal(t, got, "0 a= false", "1 b=1 true", "2 c= false", "3 d=2 true", "4 d=2 true", "5 f= true", "6 g= false")
		must(t, s.GetSorted(nil, func(int, []byte, bool) { t.Error("called for no key") }))
	})
}

func ranges(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		put(t, s, "b", "2", "a", "1", "c", "3", "", "0", "\xff\xff", "9")
		equal(t, list(t, s, state.Range{}), "=0", "a=1", "b=2", "c=3", "\xff\xff=9")
		equal(t, list(t, s, state.Range{From: []byte("a"), To: []byte("c")}), "a=1", "b=2")
		equal(t, list(t, s, state.Range{From: []byte("aa")}), "b=2", "c=3", "\xff\xff=9")
		equal(t, list(t, s, state.Range{To: []byte("b")}), "=0", "a=1")
		equal(t, list(t, s, state.Range{From: []byte("b"), To: []byte("b")}))
		equal(t, list(t, s, state.Range{From: []byte("c"), To: []byte("a")}))
		equal(t, list(t, s, state.Range{To: []byte{}}))
	})
}

func prefixes(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		put(t, s, "a", "1", "ab", "2", "abc", "3", "b", "4", "\xff", "5", "\xff\xff", "6", "\xff\xffz", "7")
		equal(t, list(t, s, state.Prefix([]byte("ab"))), "ab=2", "abc=3")
		equal(t, list(t, s, state.Prefix([]byte("\xff\xff"))), "\xff\xff=6", "\xff\xffz=7")
		equal(t, list(t, s, state.Prefix([]byte("x"))))
		if n := len(list(t, s, state.Prefix(nil))); n != 7 {
			t.Errorf("the empty prefix holds %d keys, want 7", n)
		}
	})
}

func batchOrder(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		var b state.Batch
		b.Set([]byte("a"), []byte("1"))
		b.Set([]byte("a"), []byte("2"))
		b.Set([]byte("b"), []byte("1"))
		b.Delete([]byte("b"))
		b.Delete([]byte("c"))
		b.Set([]byte("c"), []byte("1"))
		must(t, s.Apply(&b))
		equal(t, list(t, s, state.Range{}), "a=2", "c=1")
	})
}

func batchReuse(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		var b state.Batch
		must(t, s.Apply(&b))
		b.Set([]byte("a"), []byte("1"))
		must(t, s.Apply(&b))
		b.Reset()
		b.Set([]byte("b"), []byte("2"))
		must(t, s.Apply(&b))
		equal(t, list(t, s, state.Range{}), "a=1", "b=2")
	})
}

func atomicity(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		put(t, s, "x", "0", "y", "0")
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			for i := range 300 {
				put(t, s, "x", fmt.Sprint(i), "y", fmt.Sprint(i))
			}
		})
		for range 300 {
			got := list(t, s, state.Range{})
			if len(got) != 2 || got[0][2:] != got[1][2:] {
				t.Fatalf("half a batch is visible: %q", got)
			}
		}
	})
}

func iterators(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		put(t, s, "a", "1", "c", "3")
		it, err := s.Scan(state.Range{})
		must(t, err)
		put(t, s, "a", "new", "b", "2")
		equal(t, drain(t, it), "a=1", "c=3")
		it, err = s.Scan(state.Range{})
		must(t, err)
		if !it.Next() || string(it.Key()) != "a" {
			t.Error("the walk does not begin at the first key")
		}
		must(t, it.Close())
	})
}

func snapshots(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		put(t, s, "a", "1", "b", "2")
		snap, err := s.Snapshot()
		must(t, err)
		put(t, s, "a", "new", "c", "3")
		expect(t, snap, "a", "1", true)
		expect(t, snap, "c", "", false)
		equal(t, list(t, snap, state.Range{}), "a=1", "b=2")
		must(t, s.Wipe())
		equal(t, list(t, snap, state.Prefix([]byte("b"))), "b=2")
		must(t, snap.GetSorted([][]byte{[]byte("b")}, func(_ int, v []byte, found bool) {
			if !found || string(v) != "2" {
				t.Errorf("GetSorted of the snapshot: %q, %v", v, found)
			}
		}))
		must(t, snap.Close())
	})
}

func wipe(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		use(t, db, "other", func(o state.Store) {
			put(t, s, "a", "1", "\xff\xff\xff\xff\xff", "2", "", "3")
			put(t, o, "a", "kept")
			must(t, s.Wipe())
			equal(t, list(t, s, state.Range{}))
			equal(t, list(t, o, state.Range{}), "a=kept")
			put(t, s, "b", "1")
			equal(t, list(t, s, state.Range{}), "b=1")
			must(t, s.Sync())
			equal(t, list(t, s, state.Range{}), "b=1")
		})
	})
}

func isolation(t *testing.T, db state.DB) {
	for i, name := range []string{"g/1", "g/10", "g/1/x", "\x00", "\xff"} {
		use(t, db, name, func(s state.Store) {
			equal(t, list(t, s, state.Range{}))
			put(t, s, "k", fmt.Sprint(i))
			equal(t, list(t, s, state.Range{}), fmt.Sprintf("k=%d", i))
		})
	}
	use(t, db, "g/1", func(s state.Store) { expect(t, s, "k", "0", true) })
}

func names(t *testing.T, db state.DB) {
	check := func(want ...string) {
		t.Helper()
		got, err := db.Names()
		must(t, err)
		equal(t, got, want...)
	}
	check()
	use(t, db, "b", func(state.Store) { check("b") })
	use(t, db, "a", func(state.Store) {})
	check("a", "b")
	must(t, db.Drop("b"))
	check("a")
	if _, err := db.Open(""); err == nil {
		t.Error("the empty name was accepted")
	}
}

func drop(t *testing.T, db state.DB) {
	must(t, db.Drop("never"))
	use(t, db, "s", func(s state.Store) {
		put(t, s, "a", "1")
		if err := db.Drop("s"); !errors.Is(err, state.ErrOpen) {
			t.Errorf("Drop of an open store: %v", err)
		}
	})
	must(t, db.Drop("s"))
	use(t, db, "t", func(s state.Store) { equal(t, list(t, s, state.Range{})) })
	use(t, db, "s", func(s state.Store) { equal(t, list(t, s, state.Range{})) })
}

func once(t *testing.T, db state.DB) {
	use(t, db, "s", func(state.Store) {
		if _, err := db.Open("s"); !errors.Is(err, state.ErrOpen) {
			t.Errorf("second Open: %v", err)
		}
	})
	use(t, db, "s", func(state.Store) {})
}

func reopen(t *testing.T, db state.DB) {
	var old state.Store
	use(t, db, "s", func(s state.Store) {
		old = s
		put(t, s, "a", "1")
	})
	refuses(t, old)
	use(t, db, "s", func(s state.Store) {
		expect(t, s, "a", "1", true)
		refuses(t, old)
	})
}

func refuses(t *testing.T, s state.Store) {
	t.Helper()
	_, _, get := s.Get([]byte("a"), nil)
	_, scan := s.Scan(state.Range{})
	_, snap := s.Snapshot()
	_, size := s.Size()
	sorted := s.GetSorted([][]byte{nil}, func(int, []byte, bool) {})
	for _, err := range []error{get, scan, snap, size, sorted, s.Apply(&state.Batch{}), s.Sync(), s.Wipe(), s.Close()} {
		if !errors.Is(err, state.ErrClosed) {
			t.Errorf("a closed store returns %v", err)
		}
	}
}

func closed(t *testing.T, db state.DB) {
	s, err := db.Open("s")
	must(t, err)
	must(t, s.Close())
	must(t, db.Close())
	_, open := db.Open("s")
	_, names := db.Names()
	for _, err := range []error{open, names, db.Drop("s"), db.Close()} {
		if !errors.Is(err, state.ErrClosed) {
			t.Errorf("a closed database returns %v", err)
		}
	}
}

func syncSize(t *testing.T, db state.DB) {
	use(t, db, "s", func(s state.Store) {
		must(t, s.Sync())
		put(t, s, "a", string(make([]byte, 100_000)))
		must(t, s.Sync())
		must(t, s.Sync())
		n, err := s.Size()
		must(t, err)
		if n < 1000 {
			t.Errorf("Size() = %d", n)
		}
	})
}

func random(t *testing.T, db state.DB) {
	rnd := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{}
	use(t, db, "s", func(s state.Store) {
		for i := range 200 {
			var b state.Batch
			for range rnd.IntN(30) {
				k := fmt.Sprint(rnd.IntN(300))
				if rnd.IntN(3) == 0 {
					b.Delete([]byte(k))
					delete(want, k)
				} else {
					b.Set([]byte(k), fmt.Append(nil, i))
					want[k] = fmt.Sprint(i)
				}
			}
			must(t, s.Apply(&b))
			if i%50 == 0 {
				must(t, s.Sync())
			}
		}
		var pairs []string
		for _, k := range slices.Sorted(maps.Keys(want)) {
			pairs = append(pairs, k+"="+want[k])
		}
		equal(t, list(t, s, state.Range{}), pairs...)
	})
}

func concurrency(t *testing.T, db state.DB) {
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			use(t, db, fmt.Sprint(w), func(s state.Store) {
				for i := range 100 {
					put(t, s, fmt.Sprint(i), "x")
					expect(t, s, fmt.Sprint(i), "x", true)
					if i%40 == 0 {
						must(t, s.Sync())
					}
				}
				if n := len(list(t, s, state.Range{})); n != 100 {
					t.Errorf("%d keys, want 100", n)
				}
			})
		})
	}
	wg.Wait()
}
