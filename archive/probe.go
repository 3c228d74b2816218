package archive

import (
	"bytes"
	"context"
	"fmt"

	"gocloud.dev/blob"
)

// probeFolder is where a probe's object is, beside all archives.
const probeFolder = "kappa-archive/probe/"

// Probe finds out whether the bucket creates a key only where it is absent, the one
// promise that keeps two writers apart, and ErrUnconditional says that it does not:
// some servers pass over the condition in silence. It writes an object and removes it
// again. What has been found good is not asked twice.
func (a *Archive) Probe(ctx context.Context) error {
	if a.probed.Load() {
		return nil
	}
	id, err := a.newSegmentID()
	if err != nil {
		return err
	}
	key := probeFolder + id.String()
	first, second := []byte("first "+id.String()), []byte("second "+id.String())
	if err := a.create(ctx, key, first); err != nil {
		return fmt.Errorf("probe the bucket: %w", err)
	}
	defer func() { _ = a.delete(ctx, key) }() // as well as we can: it is in nobody's way
	won := a.bucket.WriteAll(ctx, key, second, &blob.WriterOptions{IfNotExist: true, ContentType: "application/octet-stream"}) == nil
	got, err := a.readAll(ctx, key)
	switch {
	case err != nil:
		return fmt.Errorf("probe the bucket: %w", err)
	case won || !bytes.Equal(got, first):
		return fmt.Errorf("probe the bucket: %w: two archivers would overwrite each other; use a store that honours If-None-Match (versitygw does so unless it is started with --nometa)", ErrUnconditional)
	}
	a.probed.Store(true)
	return nil
}
