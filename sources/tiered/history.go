package tiered

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
)

// GapError names offsets that are in the archive no more, or never were, and in Kafka
// neither. It is an archive.ErrGap.
type GapError struct {
	Partition record.Partition
	From, To  int64 // [From, To) is lost
}

// Error names the range and what to look at.
func (e *GapError) Error() string {
	return fmt.Sprintf("%s: offsets %d to %d are neither in the archive nor in Kafka: the archive ends before them, Kafka begins after them; seek to %d or later, and see why the archiver was behind",
		e.Partition, e.From, e.To-1, e.To)
}

// Is makes the error an archive.ErrGap.
func (e *GapError) Is(target error) bool { return target == archive.ErrGap }

// history is a partition's goroutine: it reads the archive from an offset on and hands
// the partition over to the live source where the archive ends.
type history struct {
	s    *Source
	part *part
	log  *slog.Logger
	next int64
	high int64 // high watermark as last seen

	cause error  // why the live source gave the partition back, nil where it did not
	tail  []byte // the last batch with records that was read from the archive
}

// run ends when the partition is live, has failed, or is not wanted any more.
func (h *history) run(ctx context.Context) {
	for n := 1; ; n++ {
		err := h.read(ctx)
		switch {
		case ctx.Err() != nil, err == nil:
			return
		case !passing(err):
			h.hand(ctx, sources.Fetched{Next: h.next, HighWatermark: -1, Err: err})
			return
		}
		h.log.Warn("the archive cannot be read, trying again", "offset", h.next, "err", err)
		if !pause(ctx, n) {
			return
		}
	}
}

// passing reports whether an error may be gone at the next attempt: a bucket or a
// broker that is away.
func passing(err error) bool {
	var gap *GapError
	switch {
	case errors.Is(err, archive.ErrCorrupt), errors.Is(err, archive.ErrGap), errors.Is(err, archive.ErrOutOfRange),
		errors.Is(err, record.ErrRecreated), errors.Is(err, record.ErrOffsetOutOfRange), errors.Is(err, ErrDiverged), errors.As(err, &gap):
		return false
	}
	return true
}

func pause(ctx context.Context, n int) bool {
	t := time.NewTimer(min(100*time.Millisecond<<min(n-1, 6), 5*time.Second))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// read brings the partition from where it is into Kafka.
func (h *history) read(ctx context.Context) error {
	if id, ok := h.s.c.Past[h.part.p.Topic]; ok {
		return h.readPast(ctx, id)
	}
	all, err := h.s.c.Live.Ends(ctx, h.part.p)
	if err != nil {
		return err
	}
	ends := all[h.part.p]
	h.high = ends.HighWatermark
	if id := h.part.seek.TopicID; id.Known() && ends.TopicID.Known() && id != ends.TopicID {
		return fmt.Errorf("%s: %w: its id was %s and is %s", h.part.p, record.ErrRecreated, id, ends.TopicID)
	}
	m, err := h.s.manifest(ctx, h.part.p, ends.TopicID)
	switch {
	case err != nil && h.next >= ends.Start && !errors.Is(err, archive.ErrCorrupt):
		h.log.Warn("the archive cannot be asked, going on in Kafka", "offset", h.next, "err", err)
		return h.goLive(ends)
	case err != nil:
		return err
	case m == nil, h.next < m.Start() && h.next >= ends.Start:
		return h.goLive(ends)
	}
	if ends, err = h.toTheSeam(ctx, m, ends); err != nil {
		return err
	}
	if err := h.compare(ctx, ends); err != nil {
		return err
	}
	return h.goLive(ends)
}

// toTheSeam reads the archive up to where Kafka goes on, and returns Kafka's ends. Both
// move meanwhile: what Kafka forgets has been archived before, so the archive is asked
// once more after Kafka has been, and only then a gap is one.
func (h *history) toTheSeam(ctx context.Context, m *archive.Manifest, ends record.Ends) (record.Ends, error) {
	for {
		for h.next < m.Next && !h.isNear(m, ends) {
			if err := h.whole(ctx, m, ends); err != nil {
				return ends, err
			}
			if err := h.readTo(ctx, m); err != nil {
				return ends, err
			}
			var err error
			if m, err = h.s.c.Archive.Refresh(ctx, m); err != nil { // it has grown meanwhile
				return ends, err
			}
		}
		all, err := h.s.c.Live.Ends(ctx, h.part.p)
		if err != nil {
			return ends, err
		}
		if ends = all[h.part.p]; ends.Start <= h.next {
			if h.tail == nil {
				return ends, nil
			}
			return ends, h.whole(ctx, m, ends)
		}
		if m, err = h.s.c.Archive.Refresh(ctx, m); err != nil {
			return ends, err
		}
		if m.Next <= h.next {
			return ends, &GapError{h.part.p, h.next, ends.Start}
		}
	}
}

// isNear reports whether Kafka has the little that is left of the archive.
func (h *history) isNear(m *archive.Manifest, ends record.Ends) bool {
	return h.s.c.Near >= 0 && h.tail == nil && h.next >= ends.Start && m.Next-h.next <= h.s.c.Near
}

// readTo hands on what the archive holds up to its manifest's end.
func (h *history) readTo(ctx context.Context, m *archive.Manifest) error {
	r, err := h.s.c.Archive.Read(m, archive.ReadConfig{From: h.next, Budget: h.s.c.Budget})
	if err != nil {
		return err
	}
	defer r.Close()
	h.s.set(h.part, past)
	for {
		chunk, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := h.handChunk(ctx, chunk); err != nil {
			return err
		}
	}
}

// handChunk hands a chunk on, piece by piece.
func (h *history) handChunk(ctx context.Context, chunk *archive.Chunk) error {
	s := share(chunk)
	defer s.release()
	h.remember(chunk.Raw)
	for p := range pieces(chunk) {
		f, err := h.s.decode(h.part.p, s, p)
		if err != nil {
			return err
		}
		h.next, h.cause = p.until, nil
		f.HighWatermark = max(h.high, chunk.Next.Offset)
		if !h.hand(ctx, f) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// decode returns a piece's committed records; the chunk's memory goes with the last of
// them.
func (s *Source) decode(p record.Partition, c *shared, of piece) (sources.Fetched, error) {
	aborted := make([]kafka.AbortedTransaction, len(c.chunk.Aborted))
	for i, a := range c.chunk.Aborted {
		aborted[i] = kafka.AbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.First}
	}
	d, err := s.decoder.Decode(p, of.from, of.until, of.raw, aborted)
	if err != nil {
		return sources.Fetched{}, fmt.Errorf("%w: %w", archive.ErrCorrupt, err)
	}
	f := sources.Fetched{Records: d.Records, Next: of.until}
	return f.WithLease(&lease{chunk: c.more(), decoded: d}), nil
}

// lease is the memory of decoded records and of the bytes that they alias.
type lease struct {
	chunk   *shared
	decoded kafka.Fetched
}

// Release gives both back.
func (l *lease) Release() {
	l.decoded.Release()
	l.chunk.release()
}

// hand puts something where Poll finds it, once what was there has been taken.
func (h *history) hand(ctx context.Context, f sources.Fetched) bool {
	p := h.part
	f.Partition, f.Epoch = p.p, p.seek.Epoch
	select {
	case <-p.taken:
	case <-ctx.Done():
		f.Release()
		return false
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if h.s.parts[p.p] != p {
		f.Release()
		return false
	}
	p.ready = append(p.ready, f)
	h.s.wake()
	return true
}

// goLive hands the partition over to the live source.
func (h *history) goLive(ends record.Ends) error {
	if h.cause != nil {
		return h.cause // it has just come from there
	}
	s, p := h.s, h.part
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts[p.p] != p || s.shut {
		return nil
	}
	if p.stage == past {
		h.log.Info("the archive is read, going on in Kafka", "offset", h.next)
	}
	p.stage, p.end = present, nil
	s.c.Live.Seek(sources.Seek{Partition: p.p, Offset: h.next, Epoch: p.turn, TopicID: ends.TopicID})
	if p.paused {
		s.c.Live.Pause(p.p)
	}
	s.wake() // others may have waited for it
	return nil
}

// set notes where a partition's records come from.
func (s *Source) set(p *part, to stage) {
	s.mu.Lock()
	p.stage = to
	s.mu.Unlock()
	s.wake() // others may have waited for the decision
}

// manifest returns the newest manifest of a partition, nil where nothing of it is
// archived.
func (s *Source) manifest(ctx context.Context, p record.Partition, id record.TopicID) (*archive.Manifest, error) {
	if !id.Known() {
		return nil, nil
	}
	m, err := s.c.Archive.Latest(ctx, archive.Log{Cluster: s.c.Cluster.ID(), Topic: p.Topic, TopicID: id, Partition: p.Partition})
	if errors.Is(err, archive.ErrNotArchived) {
		return nil, nil
	}
	return m, err
}
