package state_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-73111be4/kappa/state"
)

// keysOf returns n keys in the order in which a workload touches them: hot (of
// 10,000), zipf and uniform (of a million).
func keysOf(workload string, n int) [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rnd, 1.1, 1, 1_000_000-1)
	keys := make([][]byte, n)
	for i := range keys {
		var k uint64
		switch workload {
		case "hot":
			k = rnd.Uint64N(10_000)
		case "zipf":
			k = zipf.Uint64()
		default:
			k = rnd.Uint64N(1_000_000)
		}
		keys[i] = fmt.Appendf(nil, "\x01user-%07d", k)
	}
	return keys
}

var workloads = []string{"hot", "zipf", "uniform"}

// BenchmarkTableReadModifyWrite counts per key as a task does: a block of keys is
// preloaded, each is read and set, every 100,000 are committed, and a flush runs
// where it is due.
func BenchmarkTableReadModifyWrite(b *testing.B) {
	for _, load := range workloads {
		b.Run(load, func(b *testing.B) {
			keys := keysOf(load, 1<<20)
			st, _ := state.NewMemory().Open("s")
			t := state.NewTable(nullStore{st}, state.TableOptions{MemoryBytes: 256 << 20})
			hashed := hash(t, keys)
			var buf [8]byte
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				at := i & (1<<20 - 1)
				if at%64 == 0 {
					must(b, t.Preload(hashed[at:at+64]))
				}
				v, found, _ := t.Get(keys[at])
				n := uint64(0)
				if found {
					n = binary.LittleEndian.Uint64(v)
				}
				binary.LittleEndian.PutUint64(buf[:], n+1)
				must(b, t.Set(keys[at], buf[:]))
				if i%100_000 == 0 {
					t.Commit()
				}
			}
		})
	}
}

// nullStore takes writes and forgets them.
type nullStore struct{ state.Store }

func (nullStore) Apply(*state.Batch) error { return nil }

func filled(b *testing.B, load string) (*state.Table, [][]byte) {
	b.Helper()
	keys := keysOf(load, 1<<20)
	st, _ := state.NewMemory().Open("s")
	t := state.NewTable(nullStore{st}, state.TableOptions{MemoryBytes: 256 << 20})
	for _, k := range keys {
		must(b, t.Set(k, k[:8]))
	}
	t.Commit()
	return t, keys
}

func BenchmarkTableGet(b *testing.B) {
	for _, load := range workloads {
		b.Run(load, func(b *testing.B) {
			t, keys := filled(b, load)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				t.Get(keys[i&(1<<20-1)])
			}
		})
	}
}

func BenchmarkTableSet(b *testing.B) {
	for _, load := range workloads {
		b.Run(load, func(b *testing.B) {
			t, keys := filled(b, load)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				t.Set(keys[i&(1<<20-1)], keys[0][:8])
				if i%100_000 == 0 {
					t.Commit()
				}
			}
		})
	}
}

func BenchmarkTableLoadNew(b *testing.B) {
	keys := keysOf("uniform", 1<<20)
	st, _ := state.NewMemory().Open("s")
	b.ReportAllocs()
	var t *state.Table
	for i := 0; b.Loop(); i++ {
		if i%(1<<20) == 0 {
			t = state.NewTable(nullStore{st}, state.TableOptions{MemoryBytes: 256 << 20})
		}
		t.Load(keys[i&(1<<20-1)], keys[0][:8], false)
	}
}

// BenchmarkTableBeginFlush measures what the owner waits for, per key.
func BenchmarkTableBeginFlush(b *testing.B) {
	t, keys := filled(b, "uniform")
	n := 0
	for b.Loop() {
		b.StopTimer()
		for _, k := range keys {
			t.Load(k, k[:8], false)
		}
		k, _ := t.Unflushed()
		b.StartTimer()
		f, err := t.BeginFlush(nil)
		must(b, err)
		b.StopTimer()
		n += k
		t.EndFlush(f, nil)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/key")
}

// BenchmarkFlushRun measures sorting and building the batch, in the background.
func BenchmarkFlushRun(b *testing.B) {
	t, keys := filled(b, "uniform")
	n := 0
	for b.Loop() {
		b.StopTimer()
		for _, k := range keys {
			t.Load(k, k[:8], false)
		}
		k, _ := t.Unflushed()
		n += k
		f, err := t.BeginFlush(nil)
		must(b, err)
		b.StartTimer()
		must(b, f.Run())
		b.StopTimer()
		t.EndFlush(f, nil)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/key")
}
