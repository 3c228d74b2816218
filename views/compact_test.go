package views

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// check compares what a shard counts with what it holds.
func (s *cacheShard) check(seed maphash.Seed) error {
	t := &s.small
	var entries int
	var live, large, held int64
	for i, tag := range t.tags {
		if tag == 0 {
			continue
		}
		key := keyOf(t.record(t.offsets[i]))
		if at := t.find(maphash.Bytes(seed, key), string(key)); at != i {
			return fmt.Errorf("key %q of place %d is found at %d", key, i, at)
		}
		entries++
		live += int64(recordSize(t.record(t.offsets[i])))
	}
	for _, segment := range t.segments {
		held += int64(cap(segment))
	}
	for key, e := range s.large {
		large += e.size(len(key))
	}
	if entries != t.entries || live != t.live || held != t.held || large != s.largeBytes {
		return fmt.Errorf("counts %d entries, %d live, %d held and %d large bytes, has %d, %d, %d, %d",
			t.entries, t.live, t.held, s.largeBytes, entries, live, held, large)
	}
	if s.bytes() > s.limit {
		return fmt.Errorf("holds %d bytes of %d", s.bytes(), s.limit)
	}
	return nil
}

func (c *cache) check(t *testing.T) {
	t.Helper()
	for i := range c.shards {
		if err := c.shards[i].check(c.seed); err != nil {
			t.Fatalf("shard %d: %v", i, err)
		}
	}
}

// randomValue is of any kind: absent, empty, small, large.
func randomValue(r *rand.Rand) []byte {
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		return make([]byte, r.IntN(700))
	}
	value := make([]byte, r.IntN(4)*8)
	for i := range value {
		value[i] = byte(r.Uint32())
	}
	return value
}

func TestTheCacheAgreesWithAMap(t *testing.T) {
	for _, limit := range []int64{1, 64 << 10, 200 << 10, 1 << 20, 8 << 20} {
		r := rand.New(rand.NewPCG(5, uint64(limit)))
		c, want := newCache(limit), map[string][]byte{}
		hits := 0
		for step := range 40_000 {
			key := fmt.Sprint(r.IntN(5000))
			if r.IntN(20) == 0 {
				key = strings.Repeat(key, 40)
			}
			if r.IntN(3) == 0 {
				value := randomValue(r)
				x := []change{{key: []byte(key), value: value, deleted: value == nil}}
				touched := c.begin(x, map[uint64]struct{}{})
				if r.IntN(10) > 0 { // else the store has refused it
					want[key] = value
					c.keep(x)
				}
				c.end(touched)
			}
			e, ok, f := c.get(key)
			if ok {
				hits++
				if e.found != (want[key] != nil) || string(e.value) != string(want[key]) {
					t.Fatalf("limit %d, step %d: %q is %q, %v, should be %q", limit, step, key, e.value, e.found, want[key])
				}
			} else {
				c.put(f, key, append([]byte(nil), want[key]...), want[key] != nil)
			}
			if step%5000 == 0 {
				c.check(t)
			}
		}
		c.check(t)
		if limit >= 8<<20 && hits < 30_000 || limit >= 200<<10 && hits < 3_000 {
			t.Errorf("limit %d: %d hits", limit, hits)
		}
	}
}

// versions is a store whose values say when they were written.
type versions struct {
	mu      sync.RWMutex
	current [256]uint64
	begun   atomic.Uint64
	done    [16]atomic.Uint64 // of the keys i with i%16
}

func (v *versions) load(i int) []byte {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return versionValue(v.current[i])
}

// versionValue is nil for each ninth version, and of many lengths.
func versionValue(version uint64) []byte {
	if version%9 == 0 {
		return nil
	}
	b := make([]byte, 8+[]int{0, 0, 0, 3, 40, 250, 500}[version%7])
	for i := range b {
		b[i] = byte(version)
	}
	binary.LittleEndian.PutUint64(b, version)
	return b
}

// write gives all keys of a group the next version.
func (v *versions) write(c *cache, group int) {
	version := v.begun.Add(1)
	var xs []change
	value := versionValue(version)
	for i := group; i < len(v.current); i += len(v.done) {
		xs = append(xs, change{key: fmt.Append(nil, i), value: value, deleted: value == nil})
	}
	touched := c.begin(xs, map[uint64]struct{}{})
	v.mu.Lock()
	for i := group; i < len(v.current); i += len(v.done) {
		v.current[i] = version
	}
	v.mu.Unlock()
	c.keep(xs)
	c.end(touched)
	v.done[group].Store(version)
}

// read returns the version of a key that the cache shows, 0 where it has none.
func (v *versions) read(c *cache, i int) (uint64, error) {
	key := fmt.Sprint(i)
	e, ok, f := c.get(key)
	if !ok {
		value := v.load(i)
		e = cacheEntry{value, value != nil}
		c.put(f, key, value, e.found)
	}
	if !e.found {
		return 0, nil
	}
	version := binary.LittleEndian.Uint64(e.value)
	if want := versionValue(version); string(want) != string(e.value) {
		return 0, fmt.Errorf("key %d is %x, which nobody wrote", i, e.value)
	}
	return version, nil
}

// A reader that has seen a key of a batch finds no older value of another, and what was
// written before it began.
func TestReadersNeverSeeHalfOfABatch(t *testing.T) {
	for _, limit := range []int64{160 << 10, 4 << 20} {
		c, v := newCache(limit), new(versions)
		var writers, readers sync.WaitGroup
		var stop atomic.Bool
		for w := range 2 {
			writers.Go(func() {
				for r, n := rand.New(rand.NewPCG(1, uint64(w))), 0; n < 1500; n++ {
					v.write(c, w+2*r.IntN(len(v.done)/2)) // a key has one writer
				}
			})
		}
		for n := range 3 {
			readers.Go(func() {
				for r := rand.New(rand.NewPCG(2, uint64(n))); !stop.Load(); {
					a := r.IntN(len(v.current))
					b := (a + len(v.done)*r.IntN(16)) % len(v.current)
					atLeast := v.done[a%len(v.done)].Load()
					first, err := v.read(c, a)
					second, err2 := v.read(c, b)
					if err != nil || err2 != nil {
						t.Error(err, err2)
						return
					}
					if first != 0 && first < atLeast || second != 0 && second < max(first, atLeast) {
						t.Errorf("keys %d and %d are of %d and %d, after %d", a, b, first, second, atLeast)
						return
					}
				}
			})
		}
		writers.Wait()
		stop.Store(true)
		readers.Wait()
		c.check(t)
		for i := range v.current {
			e, ok, _ := c.get(fmt.Sprint(i))
			if want := v.load(i); ok && (e.found != (want != nil) || string(e.value) != string(want)) {
				t.Errorf("key %d is %x, %v, should be %x", i, e.value, e.found, want)
			}
		}
	}
}

// fillCache puts n keys of 8 to 16 bytes with values of a size.
func fillCache(c *cache, n, size int) (keys []string) {
	for i := range n {
		value := make([]byte, size)
		keys = append(keys, fmt.Sprintf("key-%0*d", 4+i%9, i))
		_, _, f := c.get(keys[i])
		c.put(f, keys[i], value, true)
	}
	return keys
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A quarter of what the default is to hold: a million such entries in 32 MiB.
func TestSmallEntriesFitIn33BytesEach(t *testing.T) {
	const n, limit = 250_000, defaultCacheBytes / 4
	before := heapBytes()
	c := newCache(limit)
	keys := fillCache(c, n, 8)
	found := 0
	for _, key := range keys {
		if _, ok, _ := c.get(key); ok {
			found++
		}
	}
	clear(keys)
	if used := heapBytes() - before - 16*n; found < n/1000*999 || used > limit { // the names' headers
		t.Errorf("%d of %d entries in %d bytes", found, n, used)
	}
	runtime.KeepAlive(keys)
	c.check(t)
}

func TestTheCacheKeepsItsBound(t *testing.T) {
	for _, size := range []int{8, 100, 200, 1000, 20_000} {
		const limit = 2 << 20
		before := heapBytes()
		c := newCache(limit)
		fillCache(c, 3*limit/(size+20), size)
		used := heapBytes() - before
		c.check(t)
		least := int64(limit / 4 * 3)
		if size > limit/cacheShards/4 {
			least = limit / 2 // few of them in a shard
		}
		if used < least || used > limit/10*11 {
			t.Errorf("values of %d bytes: %d bytes, the limit is %d", size, used, limit)
		}
		runtime.KeepAlive(c)
	}
}

func TestAHitCostsAnAllocationOfTheValue(t *testing.T) {
	c := newCache(defaultCacheBytes)
	keys := fillCache(c, 1000, 8)
	n := 0
	if got := testing.AllocsPerRun(1000, func() { _, _, _ = c.get(keys[n%1000]); n++ }); got > 1 {
		t.Errorf("%v allocations", got)
	}
	if got := testing.AllocsPerRun(1000, func() { _, _, _ = c.get("nobody") }); got > 0 {
		t.Errorf("%v allocations of a miss", got)
	}
}

// Half of the keys change, each time to another length, for far more bytes than the
// cache has: what is dead goes, not the other half.
func TestDeadRecordsPushNothingOut(t *testing.T) {
	c := newCache(1 << 20)
	keys := fillCache(c, 16_000, 8)
	for round := range 40 {
		for i := 0; i < len(keys); i += 2 {
			x := []change{{key: []byte(keys[i]), value: make([]byte, 5+(i+round)%7)}}
			touched := c.begin(x, map[uint64]struct{}{})
			c.keep(x)
			c.end(touched)
		}
	}
	missing := 0
	for _, key := range keys {
		if _, ok, _ := c.get(key); !ok {
			missing++
		}
	}
	if missing > len(keys)/500 {
		t.Errorf("%d of %d keys are gone", missing, len(keys))
	}
	c.check(t)
}
