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
	return s.ctx.decode("value of store "+s.plan.Name, s.plan.Codec, data)
}

func (s *namedStore) Set(key string, value any) {
	if value == nil {
		s.ctx.Fail(fmt.Errorf("store %s: cannot set nil as value: use Delete", s.plan.Name))
	}
	data := s.ctx.encode("value of store "+s.plan.Name, s.plan.Codec, value)
	s.set(s.stringKey(key), data)
}

func (s *namedStore) set(key, data []byte) {
	s.ctx.checkSize(s.ctx.plan.StateTopic, len(key)+len(data)+recordOverhead)
	s.ctx.writes.add(key, data, false)
}

func (s *namedStore) Delete(key string) { s.ctx.writes.add(s.stringKey(key), nil, true) }

func (s *namedStore) GetBytes(key []byte) ([]byte, bool) { return s.ctx.get(s.storeKey(key)) }
func (s *namedStore) SetBytes(key, value []byte)         { s.set(s.storeKey(key), value) }
func (s *namedStore) DeleteBytes(key []byte)             { s.ctx.writes.add(s.storeKey(key), nil, true) }

func (s *namedStore) Scan(prefix string, fn func(key string, value any) bool) {
	r := state.Prefix([]byte(prefix))
	s.ScanBytes(r.From, r.To, func(key, value []byte) bool {
		return fn(string(key), s.ctx.decode("value of store "+s.plan.Name, s.plan.Codec, value))
	})
}

// ScanBytes merges the committed and open state with what the callback itself has
// written.
func (s *namedStore) ScanBytes(from, to []byte, fn func(key, value []byte) bool) {
	all := state.Prefix(s.prefix)
	r := state.Range{From: append(bytes.Clone(s.prefix), from...), To: all.To}
	if to != nil {
		r.To = append(bytes.Clone(s.prefix), to...)
	}
	it, err := s.ctx.t.cfg.State.Table.Scan(r)
	if err != nil {
		s.ctx.Fail(storeError{fmt.Errorf("scan store %s: %w", s.plan.Name, err)})
	}
	defer func() {
		if err := it.Close(); err != nil {
			s.ctx.Fail(storeError{fmt.Errorf("scan store %s: %w", s.plan.Name, err)})
		}
	}()
	s.merge(it, s.ctx.writes.within(r.From, r.To), fn)
}

func (s *namedStore) merge(it state.Iterator, own []int, fn func(key, value []byte) bool) {
	more := it.Next()
	for more || len(own) > 0 {
		if len(own) == 0 {
			if !fn(it.Key()[len(s.prefix):], it.Value()) {
				return
			}
			more = it.Next()
			continue
		}
		key, value, deleted := s.ctx.writes.at(own[0])
		order := -1
		if more {
			order = bytes.Compare(key, it.Key())
		}
		if order > 0 {
			if !fn(it.Key()[len(s.prefix):], it.Value()) {
				return
			}
			more = it.Next()
			continue
		}
		if order == 0 {
			more = it.Next()
		}
		own = own[1:]
		if !deleted && !fn(key[len(s.prefix):], value) {
			return
		}
	}
}
