package state_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed-73111be4/kappa/state"
)

// walk drives a Table and its reference with the same steps and compares what
// both tell. Steps come from a stream of bytes, so a seed or a fuzzer can lead.
type walk struct {
	t     *testing.T
	next  func() byte
	store *failingStore
	table *state.Table
	limit int64
	ref   *reference
	flush *state.Flush
	ran   bool
	err   error
}

// failingStore refuses to apply on demand.
type failingStore struct {
	state.Store
	fail bool
}

var errDisk = errors.New("disk full")

func (s *failingStore) Apply(b *state.Batch) error {
	if s.fail {
		return errDisk
	}
	return s.Store.Apply(b)
}

func newWalk(t *testing.T, limit int64, next func() byte) *walk {
	t.Helper()
	st, err := state.NewMemory().Open("s")
	must(t, err)
	w := &walk{t: t, next: next, store: &failingStore{Store: st}, limit: limit, ref: newReference()}
	w.table = state.NewTable(w.store, state.TableOptions{MemoryBytes: limit})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *walk) key() string {
	b := w.next()
	switch b % 8 {
	case 0:
		return "" // an empty key is a key
	case 1:
		return strings.Repeat("long", int(b)) + fmt.Sprint(b)
	default:
		return fmt.Sprintf("k%d-%d", b%16, w.next())
	}
}

func (w *walk) value() string {
	b := w.next()
	switch b % 16 {
	case 0:
		return ""
	case 1:
		return strings.Repeat(string(rune('a'+b%26)), int(b)*int(w.next()))
	default:
		return strings.Repeat(string(rune('a'+b%26)), int(b)%40)
	}
}

func (w *walk) step() {
	w.ref.stamp++
	w.table.SetStamp(w.ref.stamp)
	switch op := w.next() % 32; {
	case op < 8:
		w.get(w.key())
	case op < 16:
		k, v := w.key(), w.value()
		must(w.t, w.table.Set([]byte(k), []byte(v)))
		w.ref.write(k, &v)
	case op < 19:
		k := w.key()
		must(w.t, w.table.Delete([]byte(k)))
		w.ref.write(k, nil)
	case op < 21:
		w.load()
	case op < 23:
		w.preload()
	case op < 25:
		w.endTransaction(true)
	case op < 26:
		w.endTransaction(false)
	case op < 27:
		w.beginFlush()
	case op < 28:
		w.runFlush(w.next()%3 == 0)
	case op < 29:
		w.endFlush()
	case op < 30:
		w.scan()
	case op < 31:
		w.reopen()
	default:
		w.copyValue()
	}
}

func (w *walk) get(key string) {
	w.t.Helper()
	v, found, err := w.table.Get([]byte(key))
	must(w.t, err)
	want, ok := w.ref.get(key)
	if found != ok || string(v) != want {
		w.t.Fatalf("Get(%.20q) = %.20q, %v; want %.20q, %v", key, v, found, want, ok)
	}
}

// copyValue writes what was just read to another key: the slice is the table's.
func (w *walk) copyValue() {
	from, to := w.key(), w.key()
	v, found, err := w.table.Get([]byte(from))
	must(w.t, err)
	if found {
		value := string(v)
		must(w.t, w.table.Set([]byte(to), v))
		w.ref.write(to, &value)
		w.get(to)
	}
}

func (w *walk) load() {
	k, v := w.key(), w.value()
	value := &v
	if w.next()%3 == 0 {
		value = nil
	}
	err := w.table.Load([]byte(k), []byte(v), value == nil)
	if _, open := w.ref.open[k]; open {
		if err == nil {
			w.t.Fatal("Load over an open write was accepted")
		}
		return
	}
	must(w.t, err)
	w.ref.load(k, value)
}

func (w *walk) preload() {
	var keys [][]byte
	for range int(w.next()) {
		keys = append(keys, []byte(w.key()))
	}
	must(w.t, w.table.Preload(hash(w.table, keys)))
}

func (w *walk) endTransaction(commit bool) {
	var got []string
	must(w.t, w.table.EachDirty(func(key, value []byte, deleted bool, stamp int64) error {
		got = append(got, string(key))
		want := w.ref.open[string(key)]
		if deleted != (want == nil) || want != nil && *want != string(value) {
			w.t.Fatalf("EachDirty: wrong value of %.20q", key)
		}
		if want := w.ref.stamps[string(key)]; stamp != want {
			w.t.Fatalf("EachDirty: %.20q has stamp %d, want %d", key, stamp, want)
		}
		return nil
	}))
	if !slices.Equal(got, w.ref.order) {
		w.t.Fatalf("EachDirty: %.40q, want %.40q", got, w.ref.order)
	}
	if n, _ := w.table.Dirty(); n != len(got) {
		w.t.Fatalf("Dirty() = %d, want %d", n, len(got))
	}
	if commit {
		w.table.Commit()
		w.ref.commit()
	} else {
		w.table.Abort()
		w.ref.abort()
	}
	if n, b := w.table.Dirty(); n != 0 || b != 0 {
		w.t.Fatalf("Dirty() = %d, %d after the transaction", n, b)
	}
}

func (w *walk) beginFlush() {
	f, err := w.table.BeginFlush(nil)
	if open := len(w.ref.open) > 0; open != (err != nil) {
		w.t.Fatalf("BeginFlush: %v with %d open writes", err, len(w.ref.open))
	}
	if f != nil {
		w.flush, w.ran = f, false
	}
}

func (w *walk) runFlush(fail bool) {
	if w.flush != nil && !w.ran {
		w.store.fail = fail
		w.err, w.ran = w.flush.Run(), true
		w.store.fail = false
	}
}

func (w *walk) endFlush() {
	if w.flush != nil {
		w.runFlush(false)
		w.table.EndFlush(w.flush, w.err)
		w.flush = nil
	}
}

func (w *walk) scan() {
	var r state.Range
	switch w.next() % 4 {
	case 0:
	case 1:
		r = state.Prefix([]byte("k1"))
	case 2:
		r.From = []byte(w.key())
	case 3:
		r = state.Range{From: []byte("k2"), To: []byte("k9-1")}
	}
	w.compareScan(r)
}

func (w *walk) compareScan(r state.Range) {
	w.t.Helper()
	it, err := w.table.Scan(r)
	must(w.t, err)
	var got []pair
	for it.Next() {
		got = append(got, pair{string(it.Key()), string(it.Value())})
	}
	must(w.t, it.Close())
	if want := w.ref.scan(r); !slices.Equal(got, want) {
		w.t.Fatalf("Scan: %d pairs, want %d", len(got), len(want))
	}
}

// reopen flushes what is committed and goes on with a new table.
func (w *walk) reopen() {
	w.endTransaction(false)
	w.endFlush()
	w.beginFlush()
	w.endFlush()
	if n, b := w.table.Unflushed(); n != 0 || b != 0 {
		w.t.Fatalf("Unflushed() = %d, %d after a flush", n, b)
	}
	must(w.t, w.table.Close())
	w.table = state.NewTable(w.store, state.TableOptions{MemoryBytes: w.limit})
}

func (w *walk) finish() {
	w.endTransaction(true)
	w.compareScan(state.Range{})
	w.reopen()
	w.compareScan(state.Range{})
	for k := range w.ref.committed {
		w.get(k)
	}
}

func TestTableEqualsAMapUnderRandomSteps(t *testing.T) {
	for seed := range uint64(30) {
		limit := []int64{8 << 10, 64 << 10, 1 << 20}[seed%3]
		t.Run(fmt.Sprintf("seed %d limit %d", seed, limit), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			w := newWalk(t, limit, func() byte { return byte(rnd.Uint32()) })
			for range 3000 {
				w.step()
			}
			w.finish()
		})
	}
}

func FuzzTable(f *testing.F) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		b := make([]byte, 2000)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		w := newWalk(t, 16<<10, func() byte {
			if len(steps) == 0 {
				return 0
			}
			b := steps[0]
			steps = steps[1:]
			return b
		})
		for len(steps) > 0 {
			w.step()
		}
		w.finish()
	})
}
