package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/seed-73111be4/kappa/state"
)

// DB implements state.DB.
type DB struct {
	o       Options
	dir     *directory
	failure *failure

	// use is held shared by every call and exclusively by Close.
	use    sync.RWMutex
	closed bool
	db     *pebbledb.DB

	mu   sync.Mutex // guards what follows and the names in the database
	open map[string]bool

	applied atomic.Int64 // bytes, a clock of writes
	syncing sync.Mutex   // one Sync at a time, the others share it
	synced  atomic.Int64 // what of applied is durable
}

var _ state.DB = (*DB)(nil)

// Open opens the database in a directory, creating it where it does not exist. It
// returns *LockedError where another process uses it and *AppError where it
// belongs to another app.
func Open(dir string, o Options) (*DB, error) {
	o = o.withDefaults()
	if o.App == "" {
		return nil, errors.New("open state: Options.App is empty")
	}
	d, err := lockDirectory(o.FS, dir)
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	begun := o.Clock()
	db, err := openLocked(d, o)
	if err != nil {
		return nil, fmt.Errorf("open state: %w", errors.Join(err, d.close()))
	}
	o.Log.Debug("opened the state directory", "dir", dir, "took", o.Clock().Sub(begun))
	return db, nil
}

func openLocked(d *directory, o Options) (*DB, error) {
	reason, err := d.prepare(o.App)
	if err != nil {
		return nil, err
	}
	warn := func(reason string) {
		o.Log.Warn("the local state was deleted, it will be rebuilt from its logs", "dir", d.path, "reason", reason)
	}
	if reason != "" {
		warn(reason)
	}
	db, err := openStore(d, o)
	if err == nil || isEnvironment(err) {
		return db, err
	}
	warn(err.Error())
	if err := d.reset(o.App); err != nil {
		return nil, err
	}
	return openStore(d, o)
}

// openStore opens Pebble. A store that makes it panic is as broken as one that
// makes it fail.
func openStore(d *directory, o Options) (db *DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("pebble: %v", p)
		}
	}()
	f := newFailure()
	f.onCorruption = func() {
		if err := d.write(brokenFile, "\n"); err != nil {
			o.Log.Error("the state is corrupt and cannot be marked so", "dir", d.path, "error", err)
		}
	}
	p, err := pebbledb.Open(d.join(storeDir), o.pebble(f))
	if err != nil {
		f.close()
		return nil, err
	}
	return &DB{o: o, dir: d, failure: f, db: p, open: map[string]bool{}}, nil
}

// isEnvironment reports whether an error is of the machine, not of the content.
func isEnvironment(err error) bool {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return false
	}
	switch no {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR, syscall.EINVAL:
		return false
	}
	return true
}

// isBusy reports whether a lock failed because somebody holds it.
func isBusy(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES)
}

// enter begins a call; leave ends it.
func (d *DB) enter() error {
	d.use.RLock()
	if d.closed {
		d.use.RUnlock()
		return state.ErrClosed
	}
	return nil
}

func (d *DB) leave() { d.use.RUnlock() }

// Open implements state.DB.
func (d *DB) Open(name string) (state.Store, error) {
	if name == "" {
		return nil, errors.New("open store: the name is empty")
	}
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[name] {
		return nil, fmt.Errorf("open store %q: %w", name, state.ErrOpen)
	}
	id, found, err := d.find(name)
	if err == nil && !found {
		id, err = d.create(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", name, err)
	}
	d.open[name] = true
	return &store{db: d, name: name, reader: reader{db: d, from: d.db, prefix: prefixOf(id)}}, nil
}

// Drop implements state.DB.
func (d *DB) Drop(name string) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[name] {
		return fmt.Errorf("drop store %q: %w", name, state.ErrOpen)
	}
	id, found, err := d.find(name)
	if err != nil || !found {
		return err
	}
	b := d.db.NewBatch()
	defer b.Close()
	p := prefixOf(id)
	if err := errors.Join(b.DeleteRange(p[:], p.end(), nil), b.Delete(nameKey(name), nil)); err != nil {
		return err
	}
	return d.apply(b, 1)
}

// Names implements state.DB.
func (d *DB) Names() ([]string, error) {
	var names []string
	err := d.eachName(func(name string, id uint32) { names = append(names, name) })
	return names, err
}

func (d *DB) eachName(fn func(name string, id uint32)) error {
	r := reader{db: d, from: d.db, prefix: prefixOf(0)}
	it, err := r.Scan(state.Range{})
	if err != nil {
		return err
	}
	for it.Next() {
		if v := it.Value(); len(v) == 4 {
			fn(string(it.Key()), binary.BigEndian.Uint32(v))
		}
	}
	return it.Close()
}

func (d *DB) find(name string) (id uint32, found bool, err error) {
	v, closer, err := d.db.Get(nameKey(name))
	if errors.Is(err, pebbledb.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, d.seen(err)
	}
	defer closer.Close()
	if len(v) != 4 {
		return 0, false, d.seen(pebbledb.ErrCorruption)
	}
	return binary.BigEndian.Uint32(v), true, nil
}

// create gives a store the next free number.
func (d *DB) create(name string) (uint32, error) {
	last := uint32(0)
	if err := d.eachName(func(_ string, id uint32) { last = max(last, id) }); err != nil {
		return 0, err
	}
	if last+1 == 0 {
		return 0, errors.New("no number is left for another store; delete the state directory")
	}
	b := d.db.NewBatch()
	defer b.Close()
	id := binary.BigEndian.AppendUint32(nil, last+1)
	if err := b.Set(nameKey(name), id, nil); err != nil {
		return 0, err
	}
	return last + 1, d.apply(b, 1)
}

// Close implements state.DB. It makes everything durable first. Stores, snapshots
// and iterators must be closed before.
func (d *DB) Close() error {
	d.use.Lock()
	defer d.use.Unlock()
	if d.closed {
		return state.ErrClosed
	}
	d.closed = true
	err := d.sync()
	d.failure.close()
	return errors.Join(err, d.closePebble(), d.dir.close())
}

// closePebble closes the database; after a failure it may not be in a state that
// closes cleanly.
func (d *DB) closePebble() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("close pebble: %v", p)
		}
	}()
	return d.db.Close()
}

// seen takes notice of an error of a read: of corruption, most of all.
func (d *DB) seen(err error) error {
	if pebbledb.IsCorruptionError(err) {
		d.failure.corrupt(err)
	}
	return err
}
