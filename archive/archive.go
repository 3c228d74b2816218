package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Archive is an archive in a bucket. It is safe for concurrent use, and any number of
// processes may have it open: what must not happen twice is decided in the bucket.
type Archive struct {
	bucket *blob.Bucket
	c      Config
	probed atomic.Bool // the bucket was found good
}

// Config says how an archive talks to its bucket. The zero value is sane.
type Config struct {
	// Now is the clock whose time is written into manifests and footers, and that
	// graces are counted by. Default time.Now.
	Now func() time.Time
	// Tries is how often a request is made that a retry may mend, beside the retries
	// of the bucket's own driver. Default 5.
	Tries int
	// Backoff returns how long to wait after the n-th failure, n >= 1. Default 100 ms,
	// doubled up to 5 s.
	Backoff func(n int) time.Duration
	// Random is where ids come from. Default crypto/rand.Reader.
	Random io.Reader
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Tries <= 0 {
		c.Tries = 5
	}
	if c.Backoff == nil {
		c.Backoff = func(n int) time.Duration { return min(5*time.Second, 100*time.Millisecond<<min(n-1, 10)) }
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	return c
}

// New returns the archive in a bucket, which stays the caller's: it must be open as long
// as the archive is used.
func New(b *blob.Bucket, c Config) *Archive { return &Archive{bucket: b, c: c.withDefaults()} }

func (a *Archive) random(p []byte) error {
	if _, err := io.ReadFull(a.c.Random, p); err != nil {
		return fmt.Errorf("archive: draw an id: %w", err)
	}
	return nil
}

func (a *Archive) newSegmentID() (SegmentID, error) {
	var p [8]byte
	err := a.random(p[:])
	return SegmentID(binary.BigEndian.Uint64(p[:])), err
}

func (a *Archive) now() int64 { return a.c.Now().UnixMilli() }

// pause waits after the n-th failure.
func (a *Archive) pause(ctx context.Context, n int) error {
	t := time.NewTimer(a.c.Backoff(n))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

func isNotFound(err error) bool { return gcerrors.Code(err) == gcerrors.NotFound }

// retry calls f until it succeeds, says something final, or has had its tries.
func (a *Archive) retry(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		if err == nil || isFinal(err) || ctx.Err() != nil || n >= a.c.Tries {
			return err
		}
		if err := a.pause(ctx, n); err != nil {
			return err
		}
	}
}

// isFinal reports whether trying again is of no use.
func isFinal(err error) bool {
	switch gcerrors.Code(err) {
	case gcerrors.NotFound, gcerrors.InvalidArgument, gcerrors.PermissionDenied, gcerrors.Unimplemented, gcerrors.Canceled:
		return true
	}
	return errors.Is(err, ErrCorrupt)
}

// readAll returns all of an object.
func (a *Archive) readAll(ctx context.Context, key string) ([]byte, error) {
	var body []byte
	err := a.retry(ctx, func() (err error) {
		body, err = a.bucket.ReadAll(ctx, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return body, nil
}

// takenError says that a key has another body than the one to create.
type takenError struct{ body []byte }

// Error implements error.
func (e *takenError) Error() string { return "the key is taken" }

// create makes key hold body unless it holds something else, which is a takenError.
// What the store answers is not believed but read back: an answer may be lost, and a
// refusal may be that of an earlier try of our own. Where even that cannot tell, the
// error is ErrUnknownOutcome.
func (a *Archive) create(ctx context.Context, key string, body []byte) error {
	opts := &blob.WriterOptions{
		IfNotExist: true, ContentType: "application/octet-stream",
		BufferSize: max(len(body), minPart), // one put: parts are not conditional everywhere
	}
	for n := 1; ; n++ {
		err := a.bucket.WriteAll(ctx, key, body, opts)
		if err == nil {
			return nil
		}
		got, readErr := a.readAll(ctx, key)
		switch {
		case readErr == nil && bytes.Equal(got, body):
			return nil
		case readErr == nil:
			return &takenError{body: got}
		case !isNotFound(readErr) || n >= a.c.Tries || ctx.Err() != nil:
			return fmt.Errorf("create %s: %w: %w", key, ErrUnknownOutcome, err)
		}
		if isFinal(err) {
			return fmt.Errorf("create %s: %w", key, err)
		}
		if err := a.pause(ctx, n); err != nil {
			return fmt.Errorf("create %s: %w: %w", key, ErrUnknownOutcome, err)
		}
	}
}

// delete removes an object; one that is not there is fine.
func (a *Archive) delete(ctx context.Context, key string) error {
	err := a.retry(ctx, func() error { return a.bucket.Delete(ctx, key) })
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}
