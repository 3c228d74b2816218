package task

import (
	"bytes"
	"fmt"

	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/topology"
)

// namedStore is a named store as the running callback sees it.
type namedStore struct {
	ctx    *taskContext
	plan   *topology.StorePlan
	prefix []byte
	keyBuf []byte
}

func (s *namedStore) storeKey(key []byte) []byte {
	s.keyBuf = append(append(s.keyBuf[:0], s.prefix...), key...)
	return s.keyBuf
}

func (s *namedStore) stringKey(key string) []byte {
	s.keyBuf = append(append(s.keyBuf[:0], s.prefix...), key...)
	return s.keyBuf
}

func (s *namedStore) Get(key string) any {
	data, found := s.ctx.get(s.stringKey(key))
	if !found {
		return nil
	}
	return s.ctx.decode(s.plan.Name, s.plan.Codec, data)
}

func (s *namedStore) Set(key string, value any) {
	if value == nil {
		s.ctx.Fail(fmt.Errorf("store %s: cannot set nil as value: use Delete", s.plan.Name))
	}
	data := s.ctx.encode(s.plan.Name, s.plan.Codec, value)
	s.set(s.stringKey(key), data)
}

func (s *namedStore) set(key, data []byte) {
	s.ctx.checkSize(s.ctx.plan.StateTopic, len(key)+len(data)+recordOverhead, s.ctx.stateLimit)
	s.ctx.writes.add(key, data, false)
}

func (s *namedStore) Delete(key string) { s.ctx.writes.add(s.stringKey(key), nil, true) }

func (s *namedStore) GetBytes(key []byte) ([]byte, bool) { return s.ctx.get(s.storeKey(key)) }
func (s *namedStore) SetBytes(key, value []byte)         { s.set(s.storeKey(key), value) }
func (s *namedStore) DeleteBytes(key []byte)             { s.ctx.writes.add(s.storeKey(key), nil, true) }

func (s *namedStore) Scan(prefix string, fn func(key string, value any) bool) {
	r := state.Prefix([]byte(prefix))
	s.ScanBytes(r.From, r.To, func(key, value []byte) bool {
		return fn(string(key), s.ctx.decode(s.plan.Name, s.plan.Codec, value))
	})
}

// ScanBytes merges the committed and open state with what the callback itself has
// written. It copies what it hands out, some keys at a time, for fn may read other
// state, which must not happen while the table is scanned.
func (s *namedStore) ScanBytes(from, to []byte, fn func(key, value []byte) bool) {
	r := state.Range{From: append(bytes.Clone(s.prefix), from...), To: state.Prefix(s.prefix).To}
	if to != nil {
		r.To = append(bytes.Clone(s.prefix), to...)
	}
	p := page{limit: firstPage}
	for more := true; more; {
		more = s.fill(&p, r)
		for i := range p.list {
			key, value, _ := p.at(i)
			if !fn(key[len(s.prefix):], value) {
				return
			}
		}
		if n := len(p.list); more {
			last, _, _ := p.at(n - 1)
			r.From = append(bytes.Clone(last), 0)
		}
		p.limit = min(2*p.limit, lastPage)
	}
}

// page is the part of a scan that has been copied; limit is how many keys it takes.
type page struct {
	writeSet
	limit int
}

// A scan that stops early should not have copied much.
const (
	firstPage = 16
	lastPage  = 1024
)

// fill copies the next keys of the range and reports whether there may be more.
func (s *namedStore) fill(p *page, r state.Range) bool {
	p.reset()
	it, err := s.ctx.t.cfg.State.Table.Scan(r)
	if err != nil {
		s.failed(err)
	}
	s.merge(p, it, s.ctx.writes.within(r.From, r.To))
	if err := it.Close(); err != nil {
		s.failed(err)
	}
	return len(p.list) == p.limit
}

func (s *namedStore) failed(err error) {
	s.ctx.Fail(storeError{fmt.Errorf("scan store %s: %w", s.plan.Name, err)})
}

// merge copies both in order until the page is full; own are the callback's writes,
// which win.
func (s *namedStore) merge(p *page, it state.Iterator, own []int) {
	more := it.Next()
	for len(p.list) < p.limit && (more || len(own) > 0) {
		order := 1
		var key, value []byte
		var deleted bool
		if len(own) > 0 {
			order = -1
			if key, value, deleted = s.ctx.writes.at(own[0]); more {
				order = bytes.Compare(key, it.Key())
			}
		}
		if order > 0 {
			p.add(it.Key(), it.Value(), false)
		} else if own = own[1:]; !deleted {
			p.add(key, value, false)
		}
		if order >= 0 {
			more = it.Next()
		}
	}
}
