package views

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-73111be4/kappa/state"
)

// Get returns the decoded value of key; found is false where the table does not
// have it.
func (v *View) Get(key string) (value any, found bool, err error) {
	b, found, err := v.GetBytes(key)
	if err != nil || !found {
		return nil, false, err
	}
	row, err := v.row(key, b)
	return row.Value, err == nil, err
}

// GetBytes returns the value of key as the table topic holds it. The slice must
// not be modified, for values beyond 254 bytes may be shared; it stays valid.
func (v *View) GetBytes(key string) (value []byte, found bool, err error) {
	r, err := v.acquire()
	if err != nil {
		return nil, false, err
	}
	defer r.release()
	value, found, err = r.get(key)
	if err != nil {
		err = fmt.Errorf("get %q from view %s: %w", shorten(key), v.cfg.Table, err)
	}
	return value, found, err
}

func (r *replica) get(key string) ([]byte, bool, error) {
	if r.cache == nil {
		return r.load(key)
	}
	e, ok, f := r.cache.get(key)
	if ok {
		return e.value, e.found, nil
	}
	value, found, err := r.load(key)
	if err == nil {
		r.cache.put(f, key, value, found)
	}
	return value, found, err
}

func (r *replica) load(key string) ([]byte, bool, error) {
	k, _ := r.keys.Get().(*[]byte)
	if k == nil {
		k = new([]byte)
	}
	defer r.keys.Put(k)
	*k = append(state.TableKey((*k)[:0], nil), key...)
	return r.store.Get(*k, nil)
}

// GetMany returns the values of many keys as of one moment of the view, in the
// order of keys; nil where the table does not have a key. It is cheaper than as
// many Gets where the keys are not in memory. The slices must not be modified.
func (v *View) GetMany(keys []string) (values [][]byte, err error) {
	r, err := v.acquire()
	if err != nil {
		return nil, err
	}
	defer r.release()
	if values, err = r.getMany(keys); err != nil {
		return nil, fmt.Errorf("get %d keys from view %s: %w", len(keys), v.cfg.Table, err)
	}
	return values, nil
}

func (r *replica) getMany(keys []string) (values [][]byte, err error) {
	snap, err := r.store.Snapshot()
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := snap.Close(); err == nil {
			err = cerr
		}
	}()
	order, sorted := sortedKeys(keys)
	values = make([][]byte, len(keys))
	err = snap.GetSorted(sorted, func(i int, value []byte, found bool) {
		if found {
			values[order[i]] = append([]byte{}, value...)
		}
	})
	return values, err
}

// sortedKeys returns the store keys of keys in ascending order, and where each
// stood.
func sortedKeys(keys []string) (order []int, sorted [][]byte) {
	order = make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(keys[a], keys[b]) })
	sorted = make([][]byte, len(keys))
	for i, j := range order {
		sorted[i] = append(state.TableKey(nil, nil), keys[j]...)
	}
	return order, sorted
}
