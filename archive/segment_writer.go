package archive

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"

	"gocloud.dev/blob"
)

// SegmentConfig says how a segment is written. The zero value is sane.
type SegmentConfig struct {
	// MaxBytes is the size of data at which Append takes no more. Default 128 MiB, at
	// most 1.75 GiB: Kafka's tools cannot open larger files.
	MaxBytes int64
	// BlockBytes is how much data is indexed, checked and read as one; larger batches
	// are blocks of their own. Default 64 KiB.
	BlockBytes int
	// PartBytes is the size of an upload's parts, PartsAhead how many are under way.
	// Defaults 5 MiB (the smallest that S3 takes) and 2. What an open segment holds in
	// memory is up to the bucket's driver: file:// nothing, mem:// all, S3 the first
	// 16 MiB and then PartsAhead+1 parts.
	PartBytes  int
	PartsAhead int
	// Compacted says that the topic is compacted at present.
	Compacted bool
}

const (
	minPart      = 5 << 20
	defaultMax   = 128 << 20
	defaultBlock = 64 << 10
)

func (c SegmentConfig) withDefaults() SegmentConfig {
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultMax
	}
	c.MaxBytes = min(c.MaxBytes, maxData)
	if c.BlockBytes <= 0 {
		c.BlockBytes = defaultBlock
	}
	c.PartBytes = max(c.PartBytes, minPart)
	if c.PartsAhead <= 0 {
		c.PartsAhead = 2
	}
	return c
}

// Fetched is what a broker has answered to a fetch of the log.
type Fetched struct {
	// Raw are record batches as they came: batches before the wanted offset and one
	// that is cut off at the end are left out.
	Raw []byte
	// Aborted are the aborted transactions that the answer names.
	Aborted []AbortedTxn
	// Stable is the last stable offset: batches that reach it are left out. A negative
	// one says that all of Raw is below.
	Stable int64
}

// SegmentWriter writes one segment while batches come in: they are checked and handed to
// the upload at once, so memory is the upload's parts, whatever the segment's size. It
// has one owner. After an error it can only be aborted.
type SegmentWriter struct {
	w       *Writer
	c       SegmentConfig
	session uint64
	ctx     context.Context // of the upload
	cancel  context.CancelFunc
	object  *blob.Writer // nil until the first batch
	key     string

	footer Footer
	next   int64 // the offset to continue at
	txns   txns
	failed error
}

// Segment begins a segment that answers for offsets from the archive's end on, 0 in an
// empty one. ctx is the whole upload's: when it ends, so does the upload, and nothing is
// left of it. The first batch decides the object's name, so nothing is sent before it.
func (w *Writer) Segment(ctx context.Context, c SegmentConfig) (*SegmentWriter, error) {
	return w.segment(ctx, c, func(m *Manifest) int64 { return m.Next })
}

// SegmentAt is Segment from a given offset on: to begin an archive there, or to heal a
// segment that begins there.
func (w *Writer) SegmentAt(ctx context.Context, start int64, c SegmentConfig) (*SegmentWriter, error) {
	return w.segment(ctx, c, func(*Manifest) int64 { return start })
}

func (w *Writer) segment(ctx context.Context, c SegmentConfig, startOf func(*Manifest) int64) (*SegmentWriter, error) {
	if err := w.lock(ctx); err != nil {
		return nil, err
	}
	defer w.unlock()
	if w.broken != nil {
		return nil, w.broken
	}
	start := startOf(w.manifest)
	id, err := w.a.newSegmentID()
	if err != nil {
		return nil, err
	}
	s := &SegmentWriter{w: w, c: c.withDefaults(), session: w.session, next: start}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.footer.Log = w.log
	s.footer.Segment = Segment{
		ID: id, Start: start, End: start, Compacted: c.Compacted, Created: w.a.now(),
		FirstTimestamp: NoTimestamp, MaxTimestamp: NoTimestamp, FirstEpoch: -1, LastEpoch: -1,
	}
	return s, nil
}

// open begins the upload, once the first batch has given the object its name.
func (s *SegmentWriter) open() (err error) {
	s.key = s.footer.Segment.Key(s.w.log)
	s.object, err = s.w.a.bucket.NewWriter(s.ctx, s.key, &blob.WriterOptions{
		ContentType: "application/octet-stream", BufferSize: s.c.PartBytes, MaxConcurrency: s.c.PartsAhead,
	})
	if err != nil {
		return fmt.Errorf("create %s: %w", s.key, err)
	}
	return nil
}

// Next returns the offset that the segment continues at.
func (s *SegmentWriter) Next() int64 { return s.next }

// Bytes returns the size of the batches so far.
func (s *SegmentWriter) Bytes() int64 { return s.footer.Segment.DataBytes }

// Full reports whether the segment takes no more: seal it.
func (s *SegmentWriter) Full() bool { return s.footer.Segment.DataBytes >= s.c.MaxBytes }

// Append takes the batches that come next and returns the offset to continue at. It
// stops where the segment is full; give the same Fetched to the next segment then. The
// slices are the caller's again when it returns.
func (s *SegmentWriter) Append(f Fetched) (int64, error) {
	if s.failed != nil {
		return s.next, s.failed
	}
	if err := s.append(f); err != nil {
		s.failed = fmt.Errorf("archive %s: %w", s.w.log, err)
	}
	return s.next, s.failed
}

func (s *SegmentWriter) append(f Fetched) error {
	from, aborted, err := s.skip(f)
	if err != nil {
		return err
	}
	s.txns.learn(aborted)
	to := from
	for to < len(f.Raw) && !s.Full() {
		b, err := DecodeBatch(f.Raw[to:])
		if isPartial(err) || err == nil && f.Stable >= 0 && b.LastOffset() >= f.Stable {
			break
		}
		if err == nil {
			err = s.take(&b)
		}
		if err != nil {
			return err
		}
		to += len(b.Raw)
	}
	return s.write(f.Raw[from:to])
}

// skip returns where the batches begin that the segment continues with, and which of
// the aborted transactions may go on there.
func (s *SegmentWriter) skip(f Fetched) (int, []AbortedTxn, error) {
	at, aborted := 0, f.Aborted
	for at < len(f.Raw) {
		b, err := DecodeBatch(f.Raw[at:])
		if isPartial(err) {
			break
		}
		if err != nil {
			return 0, nil, err
		}
		if b.LastOffset() >= s.next {
			break
		}
		aborted = after(aborted, &b)
		at += len(b.Raw)
	}
	return at, aborted, nil
}

// take checks a batch and describes it in the footer to be.
func (s *SegmentWriter) take(b *Batch) error {
	g := &s.footer.Segment
	if b.LastOffset() < s.next || b.BaseOffset < s.next && g.Batches > 0 {
		return fmt.Errorf("%w: a batch of [%d, %d] where offset %d comes next", ErrContradiction, b.BaseOffset, b.LastOffset(), s.next)
	}
	if len(b.Raw) > maxBatch {
		return fmt.Errorf("%w: a batch of %d bytes at offset %d", ErrContradiction, len(b.Raw), b.BaseOffset)
	}
	if err := b.Check(); err != nil {
		return err
	}
	if err := s.txns.take(b); err != nil {
		return err
	}
	if g.Batches == 0 {
		g.Base, g.FirstEpoch = b.BaseOffset, b.LeaderEpoch
	}
	if g.Batches == 0 || b.LeaderEpoch != g.LastEpoch {
		s.footer.Epochs = append(s.footer.Epochs, Epoch{Epoch: b.LeaderEpoch, Start: b.BaseOffset})
	}
	g.LastEpoch = b.LeaderEpoch
	s.index(b)
	g.Batches++
	g.Records += int64(b.Records)
	g.DataBytes += int64(len(b.Raw))
	s.next = b.LastOffset() + 1
	return nil
}

// index adds a batch to the last block, or begins one with it.
func (s *SegmentWriter) index(b *Batch) {
	f := &s.footer
	n := len(f.Blocks)
	if n == 0 || f.Blocks[n-1].Bytes+int64(len(b.Raw)) > int64(s.c.BlockBytes) {
		f.Blocks = append(f.Blocks, Block{Base: b.BaseOffset, At: f.Segment.DataBytes, MaxTimestamp: NoTimestamp})
		n++
	}
	block := &f.Blocks[n-1]
	block.Bytes += int64(len(b.Raw))
	block.CRC = crc32.Update(block.CRC, castagnoli(), b.Raw)
	if b.Control() || b.Records == 0 || b.MaxTimestamp == NoTimestamp {
		return // markers carry the broker's clock, not the data's time
	}
	block.MaxTimestamp = max(block.MaxTimestamp, b.MaxTimestamp)
	f.Segment.MaxTimestamp = max(f.Segment.MaxTimestamp, b.MaxTimestamp)
	if f.Segment.FirstTimestamp == NoTimestamp {
		f.Segment.FirstTimestamp = b.MaxTimestamp
		if t, ok := b.FirstTimestamp(); ok && t != NoTimestamp {
			f.Segment.FirstTimestamp = t
		}
	}
}

// write sends checked bytes on.
func (s *SegmentWriter) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if s.object == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if _, err := s.object.Write(p); err != nil {
		return fmt.Errorf("write %s: %w", s.key, err)
	}
	return nil
}

// Reach says that the log has no more batches below offset, so that the segment answers
// for all of them.
func (s *SegmentWriter) Reach(offset int64) { s.next = max(s.next, offset) }

// Seal writes the footer and waits until the object is complete. A segment without a
// batch cannot be sealed. The segment counts once it is committed: see [Append] and
// [Replace].
func (s *SegmentWriter) Seal() (*Sealed, error) {
	defer s.cancel()
	if s.failed != nil {
		return nil, s.failed
	}
	if s.object == nil {
		s.failed = fmt.Errorf("%w: archive %s: a segment without a batch at offset %d", ErrContradiction, s.w.log, s.next)
		return nil, s.failed
	}
	f := &s.footer
	f.Segment.End = s.next
	f.Aborted = s.txns.in(f.Segment.Base, f.Segment.End)
	footer := f.append(nil)
	f.Segment.FooterBytes, f.Segment.FooterCRC = int64(len(footer)), footerSum(footer)
	if err := s.write(footer); err != nil {
		s.Abort()
		return nil, err
	}
	if err := s.object.Close(); err != nil {
		s.failed = fmt.Errorf("complete %s: %w", s.key, err)
		return nil, s.failed
	}
	s.failed = errSealed
	return &Sealed{Segment: f.Segment, Footer: f, session: s.session}, nil
}

var errSealed = errors.New("the segment is sealed")

// Abort gives the segment up. It is harmless after Seal, so that it can be deferred.
func (s *SegmentWriter) Abort() {
	s.cancel()
	if s.object != nil && !errors.Is(s.failed, errSealed) {
		s.object.Close() // says that it was canceled
		s.object = nil
	}
	if s.failed == nil {
		s.failed = context.Canceled
	}
}
