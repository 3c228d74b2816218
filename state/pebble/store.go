package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/seed-73111be4/kappa/state"
)

// prefix is a store's number, before each of its keys. Number 0 holds the names:
// name → number.
type prefix [4]byte

func prefixOf(id uint32) (p prefix) {
	binary.BigEndian.PutUint32(p[:], id)
	return p
}

// end returns the first key after the prefix.
func (p prefix) end() []byte {
	return binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(p[:])+1)
}

func (p prefix) key(k []byte) []byte {
	return append(append(make([]byte, 0, len(p)+len(k)), p[:]...), k...)
}

func nameKey(name string) []byte { return prefixOf(0).key([]byte(name)) }

// store implements state.Store.
type store struct {
	reader
	db     *DB
	name   string
	closed atomic.Bool
}

func (s *store) enter() error {
	if s.closed.Load() {
		return state.ErrClosed
	}
	return s.db.enter()
}

func (s *store) Get(key, buf []byte) ([]byte, bool, error) {
	if s.closed.Load() {
		return nil, false, state.ErrClosed
	}
	return s.reader.Get(key, buf)
}

func (s *store) GetSorted(keys [][]byte, fn func(int, []byte, bool)) error {
	if s.closed.Load() {
		return state.ErrClosed
	}
	return s.reader.GetSorted(keys, fn)
}

func (s *store) Scan(r state.Range) (state.Iterator, error) {
	if s.closed.Load() {
		return nil, state.ErrClosed
	}
	return s.reader.Scan(r)
}

func (s *store) Apply(b *state.Batch) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.db.leave()
	p := s.db.db.NewBatchWithSize(b.Size() + b.Len()*(len(s.prefix)+4) + 64)
	defer p.Close()
	if err := b.Each(func(key, value []byte, deleted bool) error {
		s.add(p, key, value, deleted)
		return nil
	}); err != nil {
		return err
	}
	if err := s.db.apply(p, int64(b.Size())+1); err != nil {
		return fmt.Errorf("write to store %q: %w", s.name, err)
	}
	return nil
}

func (s *store) add(b *pebbledb.Batch, key, value []byte, deleted bool) {
	n := len(s.prefix) + len(key)
	var op *pebbledb.DeferredBatchOp
	if deleted {
		op = b.DeleteDeferred(n)
	} else {
		op = b.SetDeferred(n, len(value))
		copy(op.Value, value)
	}
	copy(op.Key, s.prefix[:])
	copy(op.Key[len(s.prefix):], key)
	_ = op.Finish() // fails on indexed batches only
}

func (s *store) Snapshot() (state.Snapshot, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.db.leave()
	snap := s.db.db.NewSnapshot()
	return &snapshot{reader: reader{db: s.db, from: snap, prefix: s.prefix}, snap: snap}, nil
}

func (s *store) Sync() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.db.leave()
	if err := s.db.sync(); err != nil {
		return fmt.Errorf("sync store %q: %w", s.name, err)
	}
	return nil
}

func (s *store) Wipe() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.db.leave()
	b := s.db.db.NewBatch()
	defer b.Close()
	if err := b.DeleteRange(s.prefix[:], s.prefix.end(), nil); err != nil {
		return err
	}
	if err := s.db.apply(b, 1); err != nil {
		return fmt.Errorf("wipe store %q: %w", s.name, err)
	}
	return nil
}

// Size returns the bytes on disk; what is in memtables only is not counted.
func (s *store) Size() (int64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.db.leave()
	n, err := s.db.db.EstimateDiskUsage(s.prefix[:], s.prefix.end())
	return int64(n), s.db.seen(err)
}

func (s *store) Close() error {
	if s.closed.Swap(true) {
		return state.ErrClosed
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	delete(s.db.open, s.name)
	return nil
}

// snapshot implements state.Snapshot.
type snapshot struct {
	reader
	snap *pebbledb.Snapshot
}

func (s *snapshot) Close() error { return s.snap.Close() }

// reader reads one store in the database as it is, or as it was.
type reader struct {
	db     *DB
	from   pebbledb.Reader
	prefix prefix
}

func (r *reader) Get(key, buf []byte) ([]byte, bool, error) {
	if err := r.db.enter(); err != nil {
		return nil, false, err
	}
	defer r.db.leave()
	v, closer, err := r.from.Get(r.prefix.key(key))
	if errors.Is(err, pebbledb.ErrNotFound) {
		return buf[:0], false, nil
	}
	if err != nil {
		return nil, false, r.db.seen(err)
	}
	buf = append(buf[:0], v...)
	return buf, true, r.db.seen(closer.Close())
}

func (r *reader) GetSorted(keys [][]byte, fn func(int, []byte, bool)) error {
	if err := r.db.enter(); err != nil {
		return err
	}
	defer r.db.leave()
	it, err := r.iterator(state.Range{})
	if err != nil {
		return err
	}
	seek := append([]byte(nil), r.prefix[:]...)
	for i, k := range keys {
		seek = append(seek[:len(r.prefix)], k...)
		if it.SeekGE(seek) && string(it.Key()) == string(seek) {
			fn(i, it.Value(), true)
		} else if it.Error() == nil {
			fn(i, nil, false)
		} else {
			break
		}
	}
	return r.db.seen(errors.Join(it.Error(), it.Close()))
}

func (r *reader) iterator(rg state.Range) (*pebbledb.Iterator, error) {
	o := &pebbledb.IterOptions{LowerBound: r.prefix.key(rg.From), UpperBound: r.prefix.end()}
	if rg.To != nil {
		o.UpperBound = r.prefix.key(rg.To)
	}
	it, err := r.from.NewIter(o)
	return it, r.db.seen(err)
}

func (r *reader) Scan(rg state.Range) (state.Iterator, error) {
	if err := r.db.enter(); err != nil {
		return nil, err
	}
	defer r.db.leave()
	it, err := r.iterator(rg)
	if err != nil {
		return nil, err
	}
	return &iterator{db: r.db, it: it, skip: len(r.prefix)}, nil
}

// iterator implements state.Iterator.
type iterator struct {
	db    *DB
	it    *pebbledb.Iterator
	skip  int
	begun bool
}

func (i *iterator) Next() bool {
	if !i.begun {
		i.begun = true
		return i.it.First()
	}
	return i.it.Next()
}

func (i *iterator) Key() []byte   { return i.it.Key()[i.skip:] }
func (i *iterator) Value() []byte { return i.it.Value() }
func (i *iterator) Close() error  { return i.db.seen(errors.Join(i.it.Error(), i.it.Close())) }
