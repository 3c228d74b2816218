package archiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// simStore is the bucket: what is in it, and how it became so.
type simStore struct {
	w       *simWorld
	objects map[string]*simObject
	changes []simChange
}

type simObject struct {
	body    []byte
	created time.Time
}

type simChange struct {
	key    string
	object *simObject // nil: deleted
	at     time.Time
}

// staleness is how far a listing may lag behind.
const staleness = time.Second

// simError is what the store says, or what the wire makes of it.
type simError struct {
	code gcerrors.ErrorCode
	text string
}

func (e *simError) Error() string { return e.text }

var (
	errSimAbsent = &simError{gcerrors.NotFound, "404"}
	errSimExists = &simError{gcerrors.FailedPrecondition, "412"}
	errSimHalf   = &simError{gcerrors.Unknown, "the body ends early"}
	errSimLost   = &simError{gcerrors.Unknown, "the answer is lost"}
	errSimDead   = &simError{gcerrors.PermissionDenied, "the process is dead"}
	// errSimRefused is a condition that does not hold, though it does.
	errSimRefused = &simError{gcerrors.FailedPrecondition, "412 without reason"}
	simRefusals   = []error{
		&simError{gcerrors.Internal, "500"}, &simError{gcerrors.Unknown, "409"}, &simError{gcerrors.ResourceExhausted, "503"},
		&simError{gcerrors.Unknown, "connection refused"}, errSimRefused,
	}
)

// put makes key hold body, and has it checked.
func (s *simStore) put(key string, body []byte, exclusive bool) error {
	old := s.objects[key]
	if old != nil && exclusive {
		return errSimExists
	}
	o := &simObject{body: body, created: time.Now()}
	s.objects[key] = o
	s.changes = append(s.changes, simChange{key, o, o.created})
	s.w.putDone(key, o, old)
	return nil
}

func (s *simStore) delete(key string) error {
	o := s.objects[key]
	if o == nil {
		return errSimAbsent
	}
	delete(s.objects, key)
	s.changes = append(s.changes, simChange{key, nil, time.Now()})
	s.w.deleteDone(key, o)
	return nil
}

// listed returns what a listing shows, sorted: at times what was there a while ago.
func (s *simStore) listed() []string {
	n := len(s.changes)
	if !s.w.quiet && s.w.chance(3) {
		for back := 1 + s.w.rnd.IntN(8); back > 0 && n > 0 && time.Since(s.changes[n-1].at) < staleness; back-- {
			n--
		}
	}
	shown := map[string]bool{}
	for _, c := range s.changes[:n] {
		if c.object == nil {
			delete(shown, c.key)
		} else {
			shown[c.key] = true
		}
	}
	return slices.Sorted(maps.Keys(shown))
}

// object returns what a key holds or held.
func (s *simStore) object(key string) *simObject {
	if o := s.objects[key]; o != nil {
		return o
	}
	for _, c := range slices.Backward(s.changes) {
		if c.key == key && c.object != nil {
			return c.object
		}
	}
	return &simObject{}
}

// simBucket is the store as a process reaches it: the driver of its bucket.
type simBucket struct{ p *simProcess }

func (p *simProcess) bucket() *blob.Bucket { return blob.NewBucket(simBucket{p}) }

// short leaves out what all keys begin with.
func short(key string) string { return strings.TrimPrefix(key, "kappa-archive/v1/sim/") }

func (b simBucket) ErrorCode(err error) gcerrors.ErrorCode {
	var e *simError
	if errors.As(err, &e) {
		return e.code
	}
	return gcerrors.Unknown
}

func (b simBucket) As(any) bool                   { return false }
func (b simBucket) ErrorAs(err error, i any) bool { return errors.As(err, i) }
func (b simBucket) Close() error                  { return nil }

func (b simBucket) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return errors.ErrUnsupported
}

func (b simBucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errors.ErrUnsupported
}

func (b simBucket) Attributes(ctx context.Context, key string) (a *driver.Attributes, err error) {
	err = b.p.call(ctx, simHead, "head "+short(key), func() error {
		o := b.p.w.store.objects[key]
		if o == nil {
			return errSimAbsent
		}
		a = &driver.Attributes{ContentType: "x/y", ModTime: o.created, Size: int64(len(o.body)), AsFunc: func(any) bool { return false }}
		return nil
	})
	return a, err
}

func (b simBucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	page := &driver.ListPage{}
	size := opts.PageSize
	if size <= 0 {
		size = 1000
	}
	err := b.p.call(ctx, simList, fmt.Sprintf("list %s after %s", short(opts.Prefix), short(string(opts.PageToken))), func() error {
		for _, key := range b.p.w.store.listed() {
			if !strings.HasPrefix(key, opts.Prefix) || key <= string(opts.PageToken) {
				continue
			}
			if len(page.Objects) == size {
				page.NextPageToken = []byte(page.Objects[size-1].Key)
				return nil
			}
			o := b.p.w.store.object(key)
			page.Objects = append(page.Objects, &driver.ListObject{Key: key, ModTime: o.created, Size: int64(len(o.body)), AsFunc: func(any) bool { return false }})
		}
		return nil
	})
	return page, err
}

// simBody is an answer's body; it may break in the middle.
type simBody struct {
	io.Reader
	attrs driver.ReaderAttributes
}

func (r *simBody) Attributes() *driver.ReaderAttributes { return &r.attrs }
func (r *simBody) As(any) bool                          { return false }
func (r *simBody) Close() error                         { return nil }

func (b simBucket) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	r := &simBody{}
	c, err := b.p.calling(ctx, simGet, fmt.Sprintf("get %s %d+%d", short(key), offset, length), func() error {
		o := b.p.w.store.objects[key]
		if believed := b.p.believed(key); believed != nil {
			o = believed
		}
		if o == nil {
			return errSimAbsent
		}
		body := o.body[min(offset, int64(len(o.body))):]
		if length >= 0 {
			body = body[:min(length, int64(len(body)))]
		}
		r.Reader, r.attrs = bytes.NewReader(body), driver.ReaderAttributes{ContentType: "x/y", ModTime: o.created, Size: int64(len(o.body))}
		return nil
	})
	if err == nil && c.half {
		r.Reader = io.MultiReader(io.LimitReader(r.Reader, r.attrs.Size/2), failing{})
	}
	return r, err
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errSimHalf }

func (b simBucket) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	return b.p.call(ctx, simDelete, "delete "+short(key), func() error { return b.p.w.store.delete(key) })
}

// simWriter holds an object until it is complete.
type simWriter struct {
	ctx       context.Context
	b         simBucket
	key       string
	exclusive bool
	body      []byte
}

func (b simBucket) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	return &simWriter{ctx: ctx, b: b, key: key, exclusive: opts.IfNotExist}, nil
}

func (w *simWriter) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

func (w *simWriter) Close() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.b.p.mutantPut(w)
}
