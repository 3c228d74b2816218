package state

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// NewMemory returns a DB that keeps its stores in memory: for tests, for
// `kappa dev` and for state that may be rebuilt at each start. A closed store
// keeps its keys until it is dropped or the DB is closed. Sync does nothing.
func NewMemory() DB { return &memoryDB{stores: map[string]*memoryStore{}} }

type memoryDB struct {
	mu     sync.Mutex // guards what follows
	stores map[string]*memoryStore
	closed bool
}

func (d *memoryDB) Open(name string) (Store, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	if name == "" {
		return nil, errors.New("open store: the name is empty")
	}
	s := d.stores[name]
	if s == nil {
		s = &memoryStore{}
		s.root.Store(&memoryRoot{})
		d.stores[name] = s
	}
	if !s.open.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("open store %q: %w", name, ErrOpen)
	}
	return &memoryHandle{memoryStore: s}, nil
}

func (d *memoryDB) Drop(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	if s := d.stores[name]; s != nil && s.open.Load() {
		return fmt.Errorf("drop store %q: %w", name, ErrOpen)
	}
	delete(d.stores, name)
	return nil
}

func (d *memoryDB) Names() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	names := make([]string, 0, len(d.stores))
	for n := range d.stores {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

func (d *memoryDB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	d.closed, d.stores = true, nil
	return nil
}

// memoryRoot is one version of a store; it never changes.
type memoryRoot struct {
	tree  *node
	bytes int64
}

type memoryStore struct {
	write sync.Mutex // serializes writers of root
	root  atomic.Pointer[memoryRoot]
	open  atomic.Bool
}

// memoryHandle is one opening of a store.
type memoryHandle struct {
	*memoryStore
	closed atomic.Bool
}

func (s *memoryHandle) view() (memoryView, error) {
	if s.closed.Load() {
		return memoryView{}, ErrClosed
	}
	return memoryView{s.root.Load()}, nil
}

func (s *memoryHandle) Get(key, buf []byte) ([]byte, bool, error) {
	v, err := s.view()
	if err != nil {
		return nil, false, err
	}
	return v.Get(key, buf)
}

func (s *memoryHandle) GetSorted(keys [][]byte, fn func(int, []byte, bool)) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	return v.GetSorted(keys, fn)
}

func (s *memoryHandle) Scan(r Range) (Iterator, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	return v.Scan(r)
}

func (s *memoryHandle) Snapshot() (Snapshot, error) { return s.view() }

func (s *memoryHandle) Apply(b *Batch) error {
	if s.closed.Load() {
		return ErrClosed
	}
	s.write.Lock()
	defer s.write.Unlock()
	next := *s.root.Load()
	err := b.Each(func(key, value []byte, deleted bool) error {
		next.apply(key, value, deleted)
		return nil
	})
	if err == nil {
		s.root.Store(&next)
	}
	return err
}

func (s *memoryHandle) Sync() error {
	_, err := s.view()
	return err
}

func (s *memoryHandle) Wipe() error {
	if s.closed.Load() {
		return ErrClosed
	}
	s.write.Lock()
	defer s.write.Unlock()
	s.root.Store(&memoryRoot{})
	return nil
}

func (s *memoryHandle) Size() (int64, error) {
	v, err := s.view()
	if err != nil {
		return 0, err
	}
	return v.root.bytes, nil
}

func (s *memoryHandle) Close() error {
	if s.closed.Swap(true) {
		return ErrClosed
	}
	s.open.Store(false)
	return nil
}

// memoryView reads one version.
type memoryView struct{ root *memoryRoot }

func (v memoryView) Get(key, buf []byte) ([]byte, bool, error) {
	n := v.root.tree.find(key)
	if n == nil {
		return buf[:0], false, nil
	}
	return append(buf[:0], n.value...), true, nil
}

func (v memoryView) GetSorted(keys [][]byte, fn func(int, []byte, bool)) error {
	for i, k := range keys {
		if n := v.root.tree.find(k); n != nil {
			fn(i, n.value, true)
		} else {
			fn(i, nil, false)
		}
	}
	return nil
}

func (v memoryView) Scan(r Range) (Iterator, error) {
	it := &treeIterator{to: r.To}
	it.seek(v.root.tree, r.From)
	return it, nil
}

func (v memoryView) Close() error { return nil }
