package bucket

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gocloud.dev/blob/driver"
)

// writer writes a temporary file that becomes the key's at Close.
type writer struct {
	ctx       context.Context // of the whole write: when it ends, so does the write
	f         *os.File
	path      string
	exclusive bool // only where the key does not exist
	failed    error
}

// NewTypedWriter implements driver.Bucket.
func (d *directory) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	path, err := d.path(key)
	if err != nil {
		return nil, err
	}
	temp := filepath.Join(d.root, tempDir, rand.Text())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &writer{ctx: ctx, f: f, path: path, exclusive: opts.IfNotExist}, nil
}

// Write implements driver.Writer.
func (w *writer) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		w.failed = err
	}
	return n, err
}

// Close makes the file the key's: durable, then visible, then durably visible.
func (w *writer) Close() error {
	defer w.abort()
	if err := cmp.Or(w.failed, w.ctx.Err()); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	if err := w.f.Close(); err != nil {
		return err
	}
	if err := w.place(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(w.path))
}

// abort removes the temporary file; after a rename there is none.
func (w *writer) abort() {
	w.f.Close()
	os.Remove(w.f.Name())
}

// placeTries bounds how often a folder may vanish under a write, removed by the
// deletion of its last other key.
const placeTries = 100

func (w *writer) place() error {
	var err error
	for range placeTries {
		if err = makeDirs(filepath.Dir(w.path)); err != nil {
			return err
		}
		if w.exclusive {
			err = os.Link(w.f.Name(), w.path)
		} else {
			err = os.Rename(w.f.Name(), w.path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", errExists, err)
	}
	return err
}

// makeDirs creates dir and what is missing above it, durably.
func makeDirs(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if info.IsDir() {
			return nil
		}
		return fmt.Errorf("%s is a file, a directory is needed", dir)
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return fmt.Errorf("%s: %w", dir, fs.ErrNotExist)
	}
	if err := makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// syncDir makes the names in dir durable. A directory that is gone again has none.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err // EINVAL: a file system that cannot, and need not
	}
	return nil
}

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// Sweeper removes what writes left behind when their process died. Buckets whose store
// does so itself have none: bucket.As(&sweeper) says false. It is an alias, so that who
// asks a bucket for it need not import this package.
type Sweeper = interface {
	// Sweep removes leftovers from before the given moment and returns their bytes.
	Sweep(ctx context.Context, before time.Time) (int64, error)
}

// Sweep implements Sweeper.
func (d *directory) Sweep(ctx context.Context, before time.Time) (int64, error) {
	dir := filepath.Join(d.root, tempDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var freed int64
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return freed, err
		}
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(before) {
			continue // gone meanwhile, or a write under way
		}
		if os.Remove(filepath.Join(dir, e.Name())) == nil {
			freed += info.Size()
		}
	}
	return freed, nil
}
