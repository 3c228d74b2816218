package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// tempDir holds, below the bucket's root, files that are not complete yet. Keys cannot
// begin with it.
const tempDir = ".kappa-tmp"

var (
	errExists      = errors.New("the key exists")
	errKey         = errors.New("not a key")
	errUnsupported = errors.New("not supported by file:// buckets")
)

// directory is the driver of file:// buckets: a file a key, folders for slashes.
type directory struct {
	root string
}

// path returns where the key's file is. What could leave the root, or mean two keys
// in one file, is refused.
func (d *directory) path(key string) (string, error) {
	first, _, _ := strings.Cut(key, "/")
	if first == tempDir || strings.ContainsAny(key, "\\\x00") || !fs.ValidPath(key) || key == "." {
		return "", fmt.Errorf("%w: %q", errKey, key)
	}
	return filepath.Join(d.root, filepath.FromSlash(key)), nil
}

// ErrorCode implements driver.Bucket.
func (d *directory) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return gcerrors.NotFound
	case errors.Is(err, errExists):
		return gcerrors.FailedPrecondition
	case errors.Is(err, errKey):
		return gcerrors.InvalidArgument
	case errors.Is(err, errUnsupported):
		return gcerrors.Unimplemented
	case errors.Is(err, fs.ErrPermission):
		return gcerrors.PermissionDenied
	}
	return gcerrors.Unknown
}

// As implements driver.Bucket: it gives a *Sweeper.
func (d *directory) As(i any) bool {
	s, ok := i.(*Sweeper)
	if ok {
		*s = d
	}
	return ok
}

// ErrorAs implements driver.Bucket.
func (d *directory) ErrorAs(err error, i any) bool { return errors.As(err, i) }

// stat returns the key's file; a folder is no key.
func (d *directory) stat(key string) (string, fs.FileInfo, error) {
	name, err := d.path(key)
	if err != nil {
		return "", nil, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return "", nil, noKey(err)
	}
	if !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return name, info, nil
}

// noKey makes "a part of the path is a file" the absence that it is.
func noKey(err error) error {
	if isNotDir(err) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// Attributes implements driver.Bucket.
func (d *directory) Attributes(_ context.Context, key string) (*driver.Attributes, error) {
	_, info, err := d.stat(key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{
		ContentType: contentType,
		ModTime:     info.ModTime(),
		Size:        info.Size(),
		AsFunc:      func(any) bool { return false },
	}, nil
}

// contentType is every file's: a directory does not remember what was said.
const contentType = "application/octet-stream"

// reader reads a range of one file.
type reader struct {
	io.Reader
	f     *os.File
	attrs driver.ReaderAttributes
}

// NewRangeReader implements driver.Bucket.
func (d *directory) NewRangeReader(_ context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	name, info, err := d.stat(key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, noKey(err)
	}
	if length < 0 || length > info.Size()-offset {
		length = max(0, info.Size()-offset)
	}
	return &reader{
		Reader: io.NewSectionReader(f, offset, length),
		f:      f,
		attrs:  driver.ReaderAttributes{ContentType: contentType, ModTime: info.ModTime(), Size: info.Size()},
	}, nil
}

// Attributes implements driver.Reader.
func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attrs }

// As implements driver.Reader.
func (r *reader) As(any) bool { return false }

// Close implements driver.Reader.
func (r *reader) Close() error { return r.f.Close() }

// Delete implements driver.Bucket. Folders that it leaves empty go with the key.
func (d *directory) Delete(_ context.Context, key string, _ *driver.DeleteOptions) error {
	name, _, err := d.stat(key)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil {
		return noKey(err)
	}
	for dir := filepath.Dir(name); dir != d.root; dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil { // not empty
			break
		}
	}
	return nil
}

// Copy implements driver.Bucket.
func (d *directory) Copy(ctx context.Context, dstKey, srcKey string, _ *driver.CopyOptions) error {
	src, _, err := d.stat(srcKey)
	if err != nil {
		return err
	}
	f, err := os.Open(src)
	if err != nil {
		return noKey(err)
	}
	defer f.Close()
	w, err := d.NewTypedWriter(ctx, dstKey, contentType, &driver.WriterOptions{})
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, f); err != nil {
		w.(*writer).abort()
		return err
	}
	return w.Close()
}

// SignedURL implements driver.Bucket.
func (d *directory) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errUnsupported
}

// Close implements driver.Bucket.
func (d *directory) Close() error { return nil }
