package pebble

import (
	pebbledb "github.com/cockroachdb/pebble/v2"
)

// maxBehind is how many memtables writers may be ahead of the disk.
const maxBehind = 4

// apply commits a batch of about size bytes, and holds the writer back where the
// disk is far behind.
func (d *DB) apply(b *pebbledb.Batch, size int64) error {
	if err := d.failure.check(); err != nil {
		return err
	}
	if err := d.db.Apply(b, pebbledb.NoSync); err != nil {
		return d.seen(err)
	}
	if d.applied.Add(size)-d.synced.Load() > maxBehind*d.o.memtable() {
		return d.sync()
	}
	return d.failure.check()
}

// sync makes durable what was applied before the call. Callers that come while
// another is at it share the next one.
func (d *DB) sync() error {
	target := d.applied.Load()
	if d.synced.Load() >= target {
		return d.failure.check()
	}
	d.syncing.Lock()
	defer d.syncing.Unlock()
	if d.synced.Load() >= target {
		return d.failure.check()
	}
	target = d.applied.Load()
	if err := d.flush(); err != nil {
		return err
	}
	d.synced.Store(target)
	return nil
}

// flush writes the memtables to disk. Pebble retries for ever, so a failure ends
// the wait.
func (d *DB) flush() error {
	_, failed, err := d.failure.state()
	if err != nil {
		return d.failure.check()
	}
	done, err := d.db.AsyncFlush()
	if err != nil {
		return d.seen(err)
	}
	select {
	case <-done:
		return nil
	case <-failed:
		if err := d.failure.check(); err != nil {
			return err
		}
		<-done // it has worked since
		return nil
	}
}
