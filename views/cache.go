package views

import "hash/maphash"

const cacheShards = 64

// cache keeps values in memory: those that were read, and those that were written
// while there is room. It never holds a value older than the store: a writer
// announces the keys of a batch before it applies it (begin), which hides them and
// keeps readers from filling in what they read until it is done (end, which brings the
// new values). So once the new value of one key of a batch can be seen, no old value
// of another can.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]cacheShard
}

// fill is the right to put a value that was read after a miss.
type fill struct {
	shard *cacheShard
	hash  uint64
	gen   uint64
}

// newCache makes a cache of at most limit bytes, which it takes as it needs them.
func newCache(limit int64) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	hash := func(key []byte) uint64 { return maphash.Bytes(c.seed, key) }
	limit = min(limit/cacheShards, 1<<32) // what an offset reaches
	for i := range c.shards {
		c.shards[i].limit = limit
		c.shards[i].small = newCompact(limit, hash)
	}
	return c
}

func (c *cache) shardOf(h uint64) *cacheShard { return &c.shards[h%cacheShards] }

// get returns the cached entry, or the right to fill it in. The value is the caller's
// to keep, not to modify.
func (c *cache) get(key string) (cacheEntry, bool, fill) {
	h := maphash.String(c.seed, key)
	s := c.shardOf(h)
	s.mu.RLock()
	e, ok := s.get(h, key)
	gen := s.gen
	if s.writes > 0 {
		gen = 0 // never equal: gen is at least 1 then
	}
	s.mu.RUnlock()
	return e, ok, fill{s, h, gen}
}

// put stores what was read from the store after get returned f, unless the key
// may have been written since. The cache keeps value.
func (c *cache) put(f fill, key string, value []byte, found bool) {
	s := f.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes == 0 && s.gen == f.gen {
		s.set(f.hash, key, cacheEntry{value, found}, true)
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

// begin announces a batch and hides its keys; seen is its scratch space. It returns
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
		changes[i].cached = s.hide(h, string(changes[i].key))
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
		s.mu.Lock()
		s.keep(x)
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
