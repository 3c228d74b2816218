package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Entries of a state directory.
const (
	lockFile   = "LOCK"
	pidFile    = "PID"
	markerFile = "kappa-state"
	storeDir   = "kappa-store"
	brokenFile = "kappa-broken" // the store was found to be corrupt while it was open
)

const (
	markerMagic   = "kappa-state"
	markerVersion = 1
)

// LockedError says that another process uses the directory.
type LockedError struct {
	Dir string
	PID int // of the process, 0 where unknown
	Err error
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("state directory %s is in use by %s; stop it or choose another directory", e.Dir, who)
}

func (e *LockedError) Unwrap() error { return e.Err }

// AppError says that the directory belongs to another app.
type AppError struct{ Dir, Want, Have string }

func (e *AppError) Error() string {
	return fmt.Sprintf("state directory %s belongs to app %q, this is %q; choose another directory", e.Dir, e.Have, e.Want)
}

// directory is a locked state directory.
type directory struct {
	fs   vfs.FS
	path string
	lock io.Closer
}

func lockDirectory(fsys vfs.FS, path string) (*directory, error) {
	if err := mkdirSynced(fsys, path); err != nil {
		return nil, err
	}
	d := &directory{fs: fsys, path: path}
	lock, err := fsys.Lock(d.join(lockFile))
	if err != nil {
		if errors.Is(err, fs.ErrPermission) && !isBusy(err) {
			return nil, err
		}
		pid, _ := strconv.Atoi(strings.TrimSpace(d.read(pidFile)))
		return nil, &LockedError{Dir: path, PID: pid, Err: err}
	}
	d.lock = lock
	if err := d.write(pidFile, strconv.Itoa(os.Getpid())+"\n"); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

// mkdirSynced makes a directory and its parents, durably.
func mkdirSynced(fsys vfs.FS, path string) error {
	if _, err := fsys.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := fsys.PathDir(path)
	if parent != path {
		if err := mkdirSynced(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return syncDir(fsys, parent)
}

func (d *directory) join(name string) string { return d.fs.PathJoin(d.path, name) }

// read returns a small file's content, "" where it cannot be read.
func (d *directory) read(name string) string {
	f, err := d.fs.Open(d.join(name))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return ""
	}
	return string(b)
}

// write replaces a small file as a whole.
func (d *directory) write(name, content string) error {
	tmp := d.join(name + ".tmp")
	f, err := d.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.fs.Rename(tmp, d.join(name)); err != nil {
		return err
	}
	return d.sync()
}

func (d *directory) sync() error { return syncDir(d.fs, d.path) }

func syncDir(fsys vfs.FS, path string) error {
	f, err := fsys.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *directory) exists(name string) bool {
	_, err := d.fs.Stat(d.join(name))
	return err == nil
}

func (d *directory) close() error { return d.lock.Close() }

// prepare makes the directory fit for the app. reason says why an old store was
// deleted.
func (d *directory) prepare(app string) (reason string, err error) {
	have, reason := d.marker()
	switch {
	case reason == "" && have != app:
		return "", &AppError{Dir: d.path, Want: app, Have: have}
	case reason == "" && d.exists(brokenFile):
		reason = "it was found to be corrupt"
	case reason == "" && d.beheaded():
		reason = "its manifest is missing"
	}
	if reason == "" {
		return "", nil
	}
	if !d.exists(storeDir) {
		reason = ""
	}
	return reason, d.reset(app)
}

// beheaded reports whether there are tables but no manifest: Pebble would start
// anew without a word.
func (d *directory) beheaded() bool {
	names, err := d.fs.List(d.join(storeDir))
	if err != nil {
		return false
	}
	has := func(part string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, part) })
	}
	return has(".sst") && !has("MANIFEST-")
}

// marker returns whose directory it is, or why its store cannot be used.
func (d *directory) marker() (app, reason string) {
	if !d.exists(markerFile) {
		return "", "its marker is missing"
	}
	text := d.read(markerFile)
	var version int
	if n, err := fmt.Sscanf(text, markerMagic+" %d\napp %q\n", &version, &app); n != 2 || err != nil {
		if n >= 1 && version != markerVersion {
			return "", fmt.Sprintf("it is of version %d, this is version %d", version, markerVersion)
		}
		return "", "its marker is half written or corrupt"
	}
	if version != markerVersion {
		return "", fmt.Sprintf("it is of version %d, this is version %d", version, markerVersion)
	}
	return app, ""
}

// reset deletes the store and writes a new marker. The old marker goes first: a
// crash in between must not leave it over half a store.
func (d *directory) reset(app string) error {
	if err := d.remove(markerFile); err != nil {
		return err
	}
	if err := d.fs.RemoveAll(d.join(storeDir)); err != nil {
		return err
	}
	if err := d.remove(brokenFile); err != nil {
		return err
	}
	return d.write(markerFile, fmt.Sprintf("%s %d\napp %q\n", markerMagic, markerVersion, app))
}

func (d *directory) remove(name string) error {
	if err := d.fs.Remove(d.join(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.sync()
}
