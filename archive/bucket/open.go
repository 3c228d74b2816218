package bucket

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/memblob"   // mem://
	_ "gocloud.dev/blob/s3blob"    // s3://
)

// Open opens the bucket at rawURL. The caller closes it. That a bucket opens does not
// mean that it can be reached: the first call on it tells.
func Open(ctx context.Context, rawURL string) (*blob.Bucket, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	if u.Scheme == "" {
		return nil, fmt.Errorf("open bucket %q: no scheme; write file:///directory, s3://bucket, gs://bucket or azblob://container", rawURL)
	}
	if u.Scheme != "file" {
		b, err := blob.OpenBucket(ctx, rawURL)
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", u.Redacted(), err)
		}
		return b, nil
	}
	return openFile(u)
}

func openFile(u *url.URL) (*blob.Bucket, error) {
	for key := range u.Query() {
		if key != "prefix" {
			return nil, fmt.Errorf("open bucket %s: file:// knows no parameter %q, only prefix", u, key)
		}
	}
	if u.Host != "" && u.Host != "." && u.Host != "localhost" {
		return nil, fmt.Errorf("open bucket %s: %q would be a host; write file:///%s%s or file://./%[2]s%[3]s", u, u.Host, u.Host, u.Path)
	}
	dir := u.Path
	if u.Host == "." || os.PathSeparator != '/' {
		dir = strings.TrimPrefix(dir, "/")
	}
	b, err := OpenDir(filepath.FromSlash(dir))
	if err != nil {
		return nil, err
	}
	if prefix := u.Query().Get("prefix"); prefix != "" {
		return blob.PrefixedBucket(b, prefix), nil
	}
	return b, nil
}

// OpenDir opens the directory dir as a bucket and creates it where it is missing.
func OpenDir(dir string) (*blob.Bucket, error) {
	if dir == "" {
		return nil, fmt.Errorf("open bucket: no directory; write file:///directory")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", dir, err)
	}
	if err := makeDirs(filepath.Join(abs, tempDir)); err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", dir, err)
	}
	return blob.NewBucket(&directory{root: abs}), nil
}
