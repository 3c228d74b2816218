package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// readRange fills buf with the object's bytes from at on.
func (a *Archive) readRange(ctx context.Context, key string, at int64, buf []byte) error {
	err := a.retry(ctx, func() error { return a.readOnce(ctx, key, at, buf) })
	switch {
	case err == nil:
		return nil
	case isNotFound(err):
		c := corrupt(-1, "the object is missing")
		c.Object, c.Missing = key, true
		return c
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if size, ok := a.size(ctx, key); ok && size < at+int64(len(buf)) {
		return inObject(corrupt(size, "the object ends here, %d bytes too early", at+int64(len(buf))-size), key, 0)
	}
	return fmt.Errorf("read %s: %w", key, err)
}

func (a *Archive) readOnce(ctx context.Context, key string, at int64, buf []byte) error {
	r, err := a.bucket.NewRangeReader(ctx, key, at, int64(len(buf)), nil)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.ReadFull(r, buf); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// size returns an object's size, false where that cannot be told now.
func (a *Archive) size(ctx context.Context, key string) (int64, bool) {
	attrs, err := a.bucket.Attributes(ctx, key)
	if err != nil {
		return 0, false
	}
	return attrs.Size, true
}

// checked fills buf and checks it; what does not fit is read once more, for a wire
// flips bits, too.
func (a *Archive) checked(ctx context.Context, key string, at int64, buf []byte, check func() error) error {
	var err error
	for range 2 {
		if err = a.readRange(ctx, key, at, buf); err != nil {
			return err
		}
		if err = check(); err == nil {
			return nil
		}
	}
	return inObject(err, key, at)
}

// Footer reads the footer of one of the log's segments and checks that it is the one
// that the manifest means.
func (a *Archive) Footer(ctx context.Context, l Log, s Segment) (*Footer, error) {
	buf := make([]byte, s.FooterBytes)
	var f *Footer
	err := a.checked(ctx, s.Key(l), s.DataBytes, buf, func() (err error) {
		f, err = footerOf(buf, l, s)
		return err
	})
	if err != nil {
		return nil, inSegment(err, s)
	}
	return f, nil
}

// footerOf decodes the footer of a known segment.
func footerOf(p []byte, l Log, s Segment) (*Footer, error) {
	f, err := DecodeFooter(p)
	if err != nil {
		return nil, err
	}
	if f.Log != l || f.Segment != s {
		return nil, corrupt(-1, "it is segment %s of %s at [%d, %d), not the one of the manifest",
			f.Segment.ID, f.Log, f.Segment.Start, f.Segment.End)
	}
	return f, nil
}

// inSegment adds the offsets in danger to an error about an object.
func inSegment(err error, s Segment) error {
	var c *CorruptError
	if !errors.As(err, &c) || c.Start >= 0 {
		return err
	}
	named := *c
	named.Start, named.End = s.Start, s.End
	return &named
}

// strayFooter reads the footer of an object that no manifest describes.
func (a *Archive) strayFooter(ctx context.Context, key string, size int64) (*Footer, error) {
	if size < trailerSize {
		return nil, inObject(corrupt(-1, "an object of %d bytes is no segment", size), key, 0)
	}
	trailer := make([]byte, trailerSize)
	if err := a.readRange(ctx, key, size-trailerSize, trailer); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(trailer))
	if string(trailer[8:]) != footerMagic || n > size || n > maxFooter || n < trailerSize {
		return nil, inObject(corrupt(-1, "it does not end like a segment"), key, 0)
	}
	buf := make([]byte, n)
	if err := a.readRange(ctx, key, size-n, buf); err != nil {
		return nil, err
	}
	f, err := DecodeFooter(buf)
	if err != nil {
		return nil, inObject(err, key, size-n)
	}
	if f.Segment.Key(f.Log) != key || f.Segment.Bytes() != size {
		return nil, inObject(corrupt(-1, "it is %s of %d bytes", f.Segment.Key(f.Log), f.Segment.Bytes()), key, 0)
	}
	return f, nil
}

// checkBlocks compares data, which begins with the first block, with the blocks'
// checksums.
func checkBlocks(data []byte, blocks []Block) error {
	for _, b := range blocks {
		at := b.At - blocks[0].At
		if sum := checksum(data[at : at+b.Bytes]); sum != b.CRC {
			return corrupt(at, "the checksum of the %d bytes from offset %d on does not fit", b.Bytes, b.Base)
		}
	}
	return nil
}
