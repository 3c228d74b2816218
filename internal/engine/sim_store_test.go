package engine

import (
	"errors"

	"github.com/seed-73111be4/kappa/state"
)

var errDisk = errors.New("the disk fails")

// simDisk outlives processes. After a crash each store holds the effects of a
// prefix of the batches that were applied.
type simDisk struct {
	db     state.DB
	stores map[string]*simFile
	names  []string
}

// simFile is what was applied to one store.
type simFile struct {
	name    string
	batches []*state.Batch // nil: wiped
	synced  int            // of batches
}

func newDisk() *simDisk {
	return &simDisk{db: state.NewMemory(), stores: map[string]*simFile{}}
}

// crash loses what was not synced, or some of it.
func (d *simDisk) crash(w *world) {
	d.db = state.NewMemory()
	for _, name := range d.names {
		f := d.stores[name]
		keep := f.synced
		if n := len(f.batches) - f.synced; n > 0 {
			keep += w.rng.IntN(n + 1)
		}
		if keep < len(f.batches) {
			w.say("disk: %s keeps %d of %d batches", name, keep, len(f.batches))
		}
		f.batches, f.synced = f.batches[:keep], keep
		s, err := d.db.Open(name)
		if err == nil {
			err = f.replay(w, s)
		}
		if err != nil {
			w.violate("disk: %v", err)
			return
		}
		w.checkStore(name, s)
		if err := s.Close(); err != nil {
			w.violate("disk: %v", err)
		}
	}
}

func (f *simFile) replay(w *world, s state.Store) error {
	last := -1
	for i, b := range f.batches {
		if b != nil {
			last = i
		}
	}
	for i, b := range f.batches {
		var err error
		switch {
		case b == nil:
			err = s.Wipe()
		case i == last && w.mutant.tornBatch:
			err = s.Apply(half(b))
		default:
			err = s.Apply(b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// half returns the first half of a batch's operations.
func half(b *state.Batch) *state.Batch {
	out, n := &state.Batch{}, 0
	_ = b.Each(func(key, value []byte, deleted bool) error {
		if n++; n > (b.Len()+1)/2 {
			return nil
		}
		if deleted {
			out.Delete(key)
		} else {
			out.Set(key, value)
		}
		return nil
	})
	return out
}

// simDB is a disk as one process has it open.
type simDB struct {
	p    *simProcess
	disk *simDisk
	dead bool // the process has ended
}

func (d *simDB) Open(name string) (state.Store, error) {
	if d.disk.stores[name] == nil {
		d.disk.stores[name] = &simFile{name: name}
		d.disk.names = append(d.disk.names, name)
	}
	s, err := d.disk.db.Open(name)
	if err != nil {
		d.p.w.violate("%s: %v", d.p, err)
		return nil, err
	}
	return &simStore{Store: s, d: d, f: d.disk.stores[name]}, nil
}

func (d *simDB) Drop(name string) error   { return d.disk.db.Drop(name) }
func (d *simDB) Names() ([]string, error) { return d.disk.db.Names() }
func (d *simDB) Close() error             { return nil }

// simStore is a store whose writes take a while, may fail, and may be lost.
type simStore struct {
	state.Store
	d *simDB
	f *simFile
}

// pause lets others act; it fails where the process has ended meanwhile.
func (s *simStore) pause() error {
	if c := s.d.p.w.cur; c != nil && !c.pause(nil) || s.d.dead {
		return errKilled
	}
	return nil
}

func (s *simStore) Apply(b *state.Batch) error {
	if err := s.pause(); err != nil {
		return err
	}
	w := s.d.p.w
	if w.chance(w.faults.diskError) {
		w.say("disk: %s of %s fails", s.f.name, s.d.p)
		return errDisk
	}
	var kept state.Batch
	err := b.Each(func(key, value []byte, deleted bool) error {
		if deleted {
			kept.Delete(key)
		} else {
			kept.Set(key, value)
		}
		return nil
	})
	if err == nil {
		err = s.Store.Apply(&kept)
	}
	if err != nil {
		return err
	}
	s.f.batches = append(s.f.batches, &kept)
	w.say("disk: %s of %s takes %d operations", s.f.name, s.d.p, b.Len())
	w.checkStore(s.f.name, s.Store)
	return nil
}

func (s *simStore) Sync() error {
	if err := s.pause(); err != nil {
		return err
	}
	s.f.synced = len(s.f.batches)
	return nil
}

func (s *simStore) Wipe() error {
	if err := s.pause(); err != nil {
		return err
	}
	s.f.batches = append(s.f.batches, nil)
	return s.Store.Wipe()
}
