package bucket

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob/driver"
)

// lister walks the files below one folder in the order of their keys.
type lister struct {
	ctx  context.Context
	root string
	opts *driver.ListOptions
	page driver.ListPage
	size int
}

const defaultPage = 1000

// ListPaged implements driver.Bucket.
func (d *directory) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	if opts.Delimiter != "" && opts.Delimiter != "/" {
		return nil, errUnsupported
	}
	l := &lister{ctx: ctx, root: d.root, opts: opts, size: opts.PageSize}
	if l.size <= 0 {
		l.size = defaultPage
	}
	folder := opts.Prefix[:strings.LastIndexByte(opts.Prefix, '/')+1]
	if folder != "" && !fs.ValidPath(strings.TrimSuffix(folder, "/")) {
		return &l.page, nil // no key is below it
	}
	if err := l.walk(folder); err != nil && !errors.Is(err, errPageFull) {
		return nil, err
	}
	return &l.page, nil
}

var errPageFull = errors.New("the page is full")

// walk adds what is in folder ("" or ending with a slash).
func (l *lister) walk(folder string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(l.root, filepath.FromSlash(folder)))
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return nil
	}
	if err != nil {
		return err
	}
	keys := make([]string, 0, len(entries))
	for _, e := range entries {
		key := folder + e.Name()
		if key == tempDir {
			continue
		}
		if e.IsDir() {
			key += "/"
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if err := l.visit(key); err != nil {
			return err
		}
	}
	return nil
}

// visit adds one key, or what is in one folder.
func (l *lister) visit(key string) error {
	prefix, isDir := l.opts.Prefix, strings.HasSuffix(key, "/")
	if !strings.HasPrefix(key, prefix) && !(isDir && strings.HasPrefix(prefix, key)) {
		return nil
	}
	if isDir && (l.opts.Delimiter == "" || !strings.HasPrefix(key, prefix) || len(key) == len(prefix)) {
		if after := string(l.opts.PageToken); after > key && !strings.HasPrefix(after, key) {
			return nil // all of the folder was on earlier pages
		}
		return l.walk(key)
	}
	return l.add(key, isDir)
}

func (l *lister) add(key string, isDir bool) error {
	if key <= string(l.opts.PageToken) {
		return nil
	}
	object := &driver.ListObject{Key: key, IsDir: isDir, AsFunc: func(any) bool { return false }}
	if !isDir {
		info, err := os.Stat(filepath.Join(l.root, filepath.FromSlash(key)))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		object.ModTime, object.Size = info.ModTime(), info.Size()
	}
	if len(l.page.Objects) == l.size {
		l.page.NextPageToken = []byte(l.page.Objects[l.size-1].Key)
		return errPageFull
	}
	l.page.Objects = append(l.page.Objects, object)
	return nil
}
