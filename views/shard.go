package views

import (
	"bytes"
	"strings"
	"sync"
)

// largeOverhead is what an entry costs that is not compact: its place in a map, two
// headers, and what the allocator rounds up.
const largeOverhead = 96

// cacheShard is a part of a cache: small entries in a compact table, others in a map.
// A key is in one of them at most.
type cacheShard struct {
	mu    sync.RWMutex // guards all below
	limit int64        // bytes

	small      compact
	large      map[string]cacheEntry
	largeBytes int64

	writes int    // batches between begin and end
	gen    uint64 // changes at each begin and end
}

// cacheEntry is what a cache knows of a key.
type cacheEntry struct {
	value []byte
	found bool
}

func (e cacheEntry) size(key int) int64 { return int64(key+len(e.value)) + largeOverhead }

func (s *cacheShard) bytes() int64 { return s.small.bytes() + s.largeBytes }

// get returns an entry that is not hidden. Small values are copied, for their memory is
// used again.
func (s *cacheShard) get(h uint64, key string) (cacheEntry, bool) {
	i := s.small.find(h, key)
	if i < 0 {
		e, ok := s.large[key]
		return e, ok
	}
	record := s.small.record(s.small.offsets[i])
	switch {
	case record[0]&hidden != 0:
		return cacheEntry{}, false
	case record[1] == absent:
		return cacheEntry{}, true
	}
	value := valueOf(record)
	e := cacheEntry{make([]byte, len(value)), true}
	copy(e.value, value)
	return e, true
}

// hide keeps an entry from being seen until it is set again, and reports whether there
// was one. A small one keeps its memory.
func (s *cacheShard) hide(h uint64, key string) bool {
	if i := s.small.find(h, key); i >= 0 {
		s.small.record(s.small.offsets[i])[0] |= hidden
		return true
	}
	return s.dropLarge(key)
}

// set stores an entry, if there is room or others may be evicted; else the key has
// none.
func (s *cacheShard) set(h uint64, key string, e cacheEntry, evict bool) {
	small := compactable(key, e.value)
	if i := s.small.find(h, key); i >= 0 {
		if small && s.small.overwrite(i, e.value, e.found) {
			return
		}
		s.small.remove(i)
	}
	s.dropLarge(key)
	if small {
		s.addSmall(h, key, e, evict)
	} else if n := e.size(len(key)); s.room(n, evict) {
		if s.large == nil {
			s.large = make(map[string]cacheEntry)
		}
		s.large[strings.Clone(key)] = e
		s.largeBytes += n
	}
}

// keep stores what a batch has written, whose memory is the batch's.
func (s *cacheShard) keep(x *change) {
	e := cacheEntry{x.value, !x.deleted}
	if !compactable(x.key, x.value) {
		if !x.cached && !s.room(e.size(len(x.key)), false) {
			return
		}
		e.value = bytes.Clone(x.value)
	}
	s.set(x.hash, string(x.key), e, x.cached)
}

func (s *cacheShard) addSmall(h uint64, key string, e cacheEntry, evict bool) {
	t := &s.small
	if t.crowded() && !s.growIndex(evict) && (!evict || len(t.tags) == 0) {
		return
	}
	if n := recordHead + len(key) + len(e.value); !t.fits(n) && !s.roomForRecord(n, evict) {
		return
	}
	place := t.vacant(h)
	if place < 0 && s.growIndex(false) {
		place = t.vacant(h)
	}
	if place < 0 {
		if !evict {
			return
		}
		place = t.displace(h)
	}
	t.append(place, h, key, e.value, e.found)
}

// growIndex enlarges the index of small entries, if there is room.
func (s *cacheShard) growIndex(evict bool) bool {
	t := &s.small
	if !s.room(int64(t.nextIndex()-len(t.tags))*placeBytes, evict) {
		return false
	}
	t.growIndex()
	return true
}

// roomForRecord makes the active segment of small entries one with n bytes of room.
func (s *cacheShard) roomForRecord(n int, evict bool) bool {
	t := &s.small
	size := int64(t.segment())
	if s.bytes()+size <= s.limit || t.held == 0 || s.largeBytes > t.bytes() {
		if s.room(size, evict) {
			t.addSegment()
			return true
		}
	}
	return t.recycle(n, evict)
}

// room makes sure that n more bytes are within the limit. Small and large entries make
// room for each other: those that hold more go first.
func (s *cacheShard) room(n int64, evict bool) bool {
	if n > s.limit {
		return false
	}
	for s.bytes()+n > s.limit {
		if !evict {
			return false
		}
		if s.largeBytes <= s.small.bytes() && s.small.dropSegment() {
			continue
		}
		if !s.evictLarge() && !s.small.dropSegment() {
			return false
		}
	}
	return true
}

// evictLarge drops any of the large entries: good enough for a read cache.
func (s *cacheShard) evictLarge() bool {
	for key := range s.large {
		return s.dropLarge(key)
	}
	return false
}

func (s *cacheShard) dropLarge(key string) bool {
	e, ok := s.large[key]
	if ok {
		delete(s.large, key)
		s.largeBytes -= e.size(len(key))
	}
	return ok
}
