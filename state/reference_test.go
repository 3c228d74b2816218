package state_test

import (
	"bytes"
	"slices"

	"github.com/seed-73111be4/kappa/state"
)

// reference is what a Table means, in Go maps: the committed content, and the open
// transaction over it. It knows nothing of memory, flushes or stores.
type reference struct {
	committed map[string]string
	open      map[string]*string // nil: deleted
	order     []string
	stamp     int64 // of the writes that follow
	stamps    map[string]int64
}

func newReference() *reference {
	return &reference{committed: map[string]string{}, open: map[string]*string{}, stamps: map[string]int64{}}
}

func (r *reference) get(key string) (string, bool) {
	if v, ok := r.open[key]; ok {
		if v == nil {
			return "", false
		}
		return *v, true
	}
	v, ok := r.committed[key]
	return v, ok
}

func (r *reference) write(key string, value *string) {
	if _, ok := r.open[key]; !ok {
		r.order = append(r.order, key)
	}
	r.open[key], r.stamps[key] = value, r.stamp
}

func (r *reference) commit() {
	for k, v := range r.open {
		if v == nil {
			delete(r.committed, k)
		} else {
			r.committed[k] = *v
		}
	}
	r.abort()
}

func (r *reference) abort() { r.open, r.order = map[string]*string{}, nil }

func (r *reference) load(key string, value *string) {
	if value == nil {
		delete(r.committed, key)
	} else {
		r.committed[key] = *value
	}
}

type pair struct{ key, value string }

func (r *reference) scan(rg state.Range) []pair {
	keys := map[string]bool{}
	for k := range r.committed {
		keys[k] = true
	}
	for k := range r.open {
		keys[k] = true
	}
	var ps []pair
	for k := range keys {
		if bytes.Compare([]byte(k), rg.From) < 0 || rg.To != nil && bytes.Compare([]byte(k), rg.To) >= 0 {
			continue
		}
		if v, ok := r.get(k); ok {
			ps = append(ps, pair{k, v})
		}
	}
	slices.SortFunc(ps, func(a, b pair) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
	return ps
}
