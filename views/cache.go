package views

import (
	"hash/maphash"
	"sync"
)

const cacheShards = 64

// cache keeps values in memory: those that were read, and those that were written
// while there is room. It never holds a value older than the store: a writer
// announces the keys of a batch before it applies it (begin), which drops them and
// keeps readers from filling in what they read until it is done (end, which brings the
// new values). So once the new value of one key of a batch can be seen, no old value
// of another can.
type cache struct {
	seed   maphash.Seed
	limit  int64 // bytes per shard
	shards [cacheShards]cacheShard
}

type cacheShard struct {
	mu      sync.RWMutex // guards all below
	entries map[string]cacheEntry
	bytes   int64
	writes  int    // batches between begin and end
	gen     uint64 // changes at each begin and end
}

type cacheEntry struct {
	value []byte
	found bool
}

// fill is the right to put a value that was read after a miss.
type fill struct {
	shard *cacheShard
	gen   uint64
}

const entryOverhead = 96

func newCache(limit int64) *cache {
	c := &cache{seed: maphash.MakeSeed(), limit: limit / cacheShards}
	for i := range c.shards {
		c.shards[i].entries = make(map[string]cacheEntry)
	}
	return c
}

func (c *cache) shardOf(h uint64) *cacheShard { return &c.shards[h%cacheShards] }

// get returns the cached entry, or the right to fill it in.
func (c *cache) get(key string) (cacheEntry, bool, fill) {
	s := c.shardOf(maphash.String(c.seed, key))
	s.mu.RLock()
	e, ok := s.entries[key]
	gen := s.gen
	if s.writes > 0 {
		gen = 0 // never equal: gen is at least 1 then
	}
	s.mu.RUnlock()
	return e, ok, fill{s, gen}
}

// put stores what was read from the store after get returned f, unless the key
// may have been written since. The cache keeps value.
func (c *cache) put(f fill, key string, value []byte, found bool) {
	s := f.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes == 0 && s.gen == f.gen {
		s.set(key, cacheEntry{value, found}, c.limit)
	}
}

// change is what a batch does to a key.
type change struct {
	key, value []byte
	deleted    bool

	hash   uint64 // set by begin
	last   bool   // no later change of the batch has the hash
	cached bool   // the cache had the key
}

// begin announces a batch and drops its keys; seen is its scratch space. It returns
// the shards that the batch touches, for end.
func (c *cache) begin(changes []change, seen map[uint64]struct{}) (touched uint64) {
	clear(seen)
	for i := len(changes) - 1; i >= 0; i-- {
		h := maphash.Bytes(c.seed, changes[i].key)
		_, later := seen[h]
		seen[h] = struct{}{}
		changes[i].hash, changes[i].last = h, !later
		s, bit := c.shardOf(h), uint64(1)<<(h%cacheShards)
		s.mu.Lock()
		if touched&bit == 0 {
			touched |= bit
			s.writes++
			s.gen++
		}
		changes[i].cached = s.drop(changes[i].key)
		s.mu.Unlock()
	}
	return touched
}

// keep takes what an applied batch has left: keys that were here before, and others
// where there is room. It comes before end, so nobody else fills them in.
func (c *cache) keep(changes []change) {
	for i := range changes {
		x := &changes[i]
		if !x.last {
			continue // what it wrote was never to be seen
		}
		s := c.shardOf(x.hash)
		e := cacheEntry{found: !x.deleted}
		s.mu.Lock()
		if x.cached || s.bytes+int64(len(x.key)+len(x.value))+entryOverhead <= c.limit {
			if e.found {
				e.value = append([]byte{}, x.value...)
			}
			s.set(string(x.key), e, c.limit)
		}
		s.mu.Unlock()
	}
}

// end is called when the batch has been applied, or has not.
func (c *cache) end(touched uint64) {
	for i := range c.shards {
		if touched&(1<<i) != 0 {
			s := &c.shards[i]
			s.mu.Lock()
			s.writes--
			s.gen++
			s.mu.Unlock()
		}
	}
}

func (s *cacheShard) drop(key []byte) bool {
	e, ok := s.entries[string(key)]
	if ok {
		delete(s.entries, string(key))
		s.bytes -= e.size(len(key))
	}
	return ok
}

func (s *cacheShard) set(key string, e cacheEntry, limit int64) {
	if old, ok := s.entries[key]; ok {
		s.bytes -= old.size(len(key))
	}
	s.entries[key] = e
	s.bytes += e.size(len(key))
	for k, v := range s.entries { // random order: good enough for a read cache
		if s.bytes <= limit {
			return
		}
		delete(s.entries, k)
		s.bytes -= v.size(len(k))
	}
}

func (e cacheEntry) size(key int) int64 { return int64(key+len(e.value)) + entryOverhead }
