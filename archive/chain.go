package archive

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gocloud.dev/blob"
)

// Latest returns the log's newest manifest, ErrNotArchived where it has none. One that
// cannot be decoded is a CorruptError; see Recover.
func (a *Archive) Latest(ctx context.Context, l Log) (*Manifest, error) {
	if err := l.validate(); err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		m, err := a.latest(ctx, l)
		if err == nil || !isGone(err) || n >= a.c.Tries {
			return m, err
		}
		// A listing that lags behind has named a manifest that is already removed.
		if err := a.pause(ctx, n); err != nil {
			return nil, err
		}
	}
}

func (a *Archive) latest(ctx context.Context, l Log) (*Manifest, error) {
	number, err := a.listNewest(ctx, l)
	if err != nil {
		return nil, err
	}
	var m *Manifest
	if number > 0 {
		if m, err = a.manifest(ctx, l, number); err != nil {
			return nil, err
		}
	}
	newest, err := a.forward(ctx, l, number, m) // a listing may lag behind
	switch {
	case err != nil:
		return nil, err
	case newest == nil:
		return nil, fmt.Errorf("%s: %w", l, ErrNotArchived)
	case newest != m && m != nil:
		err = a.stillThere(ctx, m)
	}
	return newest, err
}

// listNewest returns the highest number that a listing shows, 0 for none.
func (a *Archive) listNewest(ctx context.Context, l Log) (uint64, error) {
	var number uint64
	err := a.retry(ctx, func() error {
		page, _, err := a.bucket.ListPage(ctx, blob.FirstPageToken, 4, &blob.ListOptions{Prefix: l.folder() + manifestFolder})
		if err != nil {
			return err
		}
		for _, o := range page {
			if n, ok := manifestNumber(o.Key); ok {
				number = n
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("list manifests of %s: %w", l, err)
	}
	return number, nil
}

// forward follows the numbers after m to the newest manifest.
func (a *Archive) forward(ctx context.Context, l Log, number uint64, m *Manifest) (*Manifest, error) {
	for {
		next, err := a.manifest(ctx, l, number+1)
		if isNotFound(err) {
			return m, nil
		}
		if err != nil {
			return nil, err
		}
		number, m = number+1, next
	}
}

// manifest reads manifest number of the log and checks that it is that one.
func (a *Archive) manifest(ctx context.Context, l Log, number uint64) (*Manifest, error) {
	key := l.manifestKey(number)
	body, err := a.readAll(ctx, key)
	if err != nil {
		return nil, err
	}
	m, err := DecodeManifest(body)
	if err != nil {
		return nil, inObject(err, key, 0)
	}
	if m.Log != l || m.Number != number {
		return nil, inObject(corrupt(-1, "it is manifest %d of %s", m.Number, m.Log), key, 0)
	}
	return m, nil
}

// inObject says in which object an error about bytes is, and where these begin in it.
func inObject(err error, key string, at int64) error {
	var c *CorruptError
	if !errors.As(err, &c) {
		return fmt.Errorf("%s: %w", key, err)
	}
	named := *c
	named.Object = key
	if named.At >= 0 {
		named.At += at
	}
	return &named
}

// farBehind is how many manifests are followed one by one before a listing is asked.
const farBehind = 8

// Refresh returns the newest manifest of m's log: m itself where there is no newer one.
// It costs two small requests then.
func (a *Archive) Refresh(ctx context.Context, m *Manifest) (*Manifest, error) {
	newest := m
	for range farBehind {
		next, err := a.manifest(ctx, m.Log, newest.Number+1)
		if err == nil {
			newest = next
			continue
		}
		if errors.Is(err, ErrCorrupt) {
			break // it may have been recovered by a later one
		}
		if !isNotFound(err) {
			return nil, err
		}
		if err := a.stillThere(ctx, m); !isGone(err) {
			return newest, err
		}
		break
	}
	return a.Latest(ctx, m.Log)
}

// stillThere says NotFound where m has been removed as too old. Then the number after
// it proves nothing: its manifest may be removed, too, or be a zombie's that has found
// the number free. Manifests are removed from the lowest number on, so while m is there
// what follows it is the chain.
func (a *Archive) stillThere(ctx context.Context, m *Manifest) error {
	found, err := a.holds(ctx, m.Log, m.Number, m.sum)
	if err == nil && !found {
		return &goneError{key: m.Log.manifestKey(m.Number)}
	}
	return err
}

// holds reports whether the manifest of a number is the one with a checksum, any where
// that is 0. A manifest of the number is not enough: where the numbers of old manifests
// are free again, zombies may have taken several of them, one after the other.
func (a *Archive) holds(ctx context.Context, l Log, number uint64, sum uint32) (bool, error) {
	body, err := a.readAll(ctx, l.manifestKey(number))
	switch {
	case isNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	}
	return sum == 0 || len(body) >= 4 && binary.BigEndian.Uint32(body[len(body)-4:]) == sum, nil
}

// goneError says that a manifest was removed while its successors were looked for.
type goneError struct{ key string }

func isGone(err error) bool {
	var gone *goneError
	return errors.As(err, &gone) || isNotFound(err)
}

// Error implements error.
func (e *goneError) Error() string { return e.key + " was removed meanwhile" }

// Logs returns what the archive has: every log with a manifest or a segment, by
// cluster, topic, topic id and partition. It lists folders, one request for each topic
// and more for many partitions.
func (a *Archive) Logs(ctx context.Context) ([]Log, error) {
	folders := []string{root}
	for range 4 { // cluster, topic, topic id, partition
		var below []string
		for _, f := range folders {
			more, err := a.folders(ctx, f)
			if err != nil {
				return nil, err
			}
			below = append(below, more...)
		}
		folders = below
	}
	var logs []Log
	for _, f := range folders {
		if l, ok := logOf(f); ok {
			logs = append(logs, l)
		}
	}
	slices.SortFunc(logs, compareLogs)
	return logs, nil
}

// LogsOf returns the logs of one topic of one cluster: one for each partition, and that
// for each topic that had the name.
func (a *Archive) LogsOf(ctx context.Context, cluster, topic string) ([]Log, error) {
	if !legalName(cluster) || !legalName(topic) {
		return nil, fmt.Errorf("archive: cluster %q or topic %q is no legal name", cluster, topic)
	}
	ids, err := a.folders(ctx, root+cluster+"/"+topic+"/")
	if err != nil {
		return nil, err
	}
	var logs []Log
	for _, id := range ids {
		partitions, err := a.folders(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, p := range partitions {
			if l, ok := logOf(p); ok {
				logs = append(logs, l)
			}
		}
	}
	slices.SortFunc(logs, compareLogs)
	return logs, nil
}

func compareLogs(a, b Log) int {
	return cmp.Or(
		strings.Compare(a.Cluster, b.Cluster),
		strings.Compare(a.Topic, b.Topic),
		slices.Compare(a.TopicID[:], b.TopicID[:]),
		cmp.Compare(a.Partition, b.Partition),
	)
}

// folders returns the folders right below prefix.
func (a *Archive) folders(ctx context.Context, prefix string) ([]string, error) {
	var found []string
	err := a.list(ctx, prefix, "/", func(o *blob.ListObject) {
		if o.IsDir {
			found = append(found, o.Key)
		}
	})
	return slices.Compact(found), err
}

// list calls each for every object below prefix, in the order of keys.
func (a *Archive) list(ctx context.Context, prefix, delimiter string, each func(*blob.ListObject)) error {
	token := blob.FirstPageToken
	for token != nil {
		var page []*blob.ListObject
		var next []byte
		err := a.retry(ctx, func() (err error) {
			page, next, err = a.bucket.ListPage(ctx, token, 1000, &blob.ListOptions{Prefix: prefix, Delimiter: delimiter})
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		for _, o := range page {
			each(o)
		}
		token = next
	}
	return nil
}
