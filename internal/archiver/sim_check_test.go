package archiver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// simHistory is what the archive of one log is, as the store has seen it become so.
type simHistory struct {
	log     *simLog
	newest  *archive.Manifest
	sums    map[uint64]uint32 // of manifests that are there and in the chain
	sound   map[string]bool   // segments whose bytes were compared with the log's
	dropped map[string]int64  // segments that no longer count, since when
	strays  map[uint32]bool   // manifests of zombies, by their checksums
}

func (w *simWorld) historyOf(key string) *simHistory {
	for _, h := range w.histories {
		if strings.Contains(key, fmt.Sprintf("/%s/%s/%d/", h.log.part.Topic, simID, h.log.part.Partition)) {
			return h
		}
	}
	return nil
}

// manifestOf returns the number in the key of a manifest.
func manifestOf(key string) (n uint64, ok bool) {
	_, name, found := strings.Cut(key, "/manifest/")
	var inverse uint64
	_, err := fmt.Sscanf(name, "%x-%d.manifest", &inverse, &n)
	return n, found && err == nil
}

// isProbe reports whether an object only asks what the bucket can.
func isProbe(key string) bool { return strings.HasPrefix(key, "kappa-archive/probe/") }

// putDone checks what a put has made.
func (w *simWorld) putDone(key string, o, old *simObject) {
	n, isManifest := manifestOf(key)
	switch h := w.historyOf(key); {
	case isProbe(key):
	case h == nil:
		w.violation("an object at %s", key)
	case old != nil:
		w.violation("%s is overwritten", short(key))
	case !isManifest:
	case h.newest != nil && n <= h.newest.Number: // a zombie's, whose number was collected
		w.stray(h, key, o.body)
	default:
		w.commit(h, key, o.body)
	}
}

// stray checks that a zombie's manifest does not follow another one: who has made it has
// not noticed that it counts for nothing.
func (w *simWorld) stray(h *simHistory, key string, body []byte) {
	w.count("zombies' manifests")
	m, err := archive.DecodeManifest(body)
	switch {
	case err != nil:
		w.violation("%s: %v", short(key), err)
		return
	case h.strays[m.Previous]:
		w.violation("manifest %d follows one that nobody counts", m.Number)
	}
	h.strays[binary.BigEndian.Uint32(body[len(body)-4:])] = true
}

// commit checks that a manifest makes the archive a prefix of the log.
func (w *simWorld) commit(h *simHistory, key string, body []byte) {
	m, err := archive.DecodeManifest(body)
	if err != nil {
		w.violation("%s: %v", short(key), err)
		return
	}
	prev := h.newest
	if prev == nil {
		prev = &archive.Manifest{Log: m.Log, Origin: m.Origin, Next: m.Origin}
		if m.Origin > h.log.start {
			w.violation("%s: the archive begins at %d, Kafka at %d", short(key), m.Origin, h.log.start)
		}
	}
	switch {
	case m.Number != prev.Number+1:
		w.violation("manifest %d after %d", m.Number, prev.Number)
	case m.Previous != h.sums[prev.Number]:
		w.violation("manifest %d does not follow manifest %d", m.Number, prev.Number)
	case m.Next < prev.Next || m.Start() < prev.Start() || m.Origin != prev.Origin:
		w.violation("manifest %d holds [%d, %d), the one before [%d, %d)", m.Number, m.Start(), m.Next, prev.Start(), prev.Next)
	case m.Next > h.log.stable():
		w.violation("manifest %d ends at %d, what is decided at %d", m.Number, m.Next, h.log.stable())
	case len(m.Gaps) > 0:
		w.violation("manifest %d says that %v was lost; Kafka had it", m.Number, m.Gaps)
	case m.Start() > prev.Start() && (h.log.part.Topic != "short" || m.Bytes() < simRetention):
		w.violation("manifest %d begins at %d and keeps %d bytes, the one before at %d", m.Number, m.Start(), m.Bytes(), prev.Start())
	}
	w.covers(h, m)
	w.note("%s: manifest %d holds [%d, %d) in %d segments", h.log.part, m.Number, m.Start(), m.Next, len(m.Segments))
	w.count("manifests")
	live := map[string]bool{}
	for i := range m.Segments {
		live[m.Segments[i].Key(m.Log)] = true
	}
	for i := range prev.Segments {
		if k := prev.Segments[i].Key(m.Log); !live[k] {
			h.dropped[k] = m.Created
			w.count("segments dropped")
		}
	}
	h.newest, h.sums[m.Number] = m, binary.BigEndian.Uint32(body[len(body)-4:])
}

// covers checks that the segments are the log's batches, without hole and overlap.
func (w *simWorld) covers(h *simHistory, m *archive.Manifest) {
	at := m.Start()
	for i := range m.Segments {
		s := &m.Segments[i]
		if s.Start != at {
			w.violation("manifest %d: a segment of [%d, %d) where %d comes next", m.Number, s.Start, s.End, at)
		}
		at = s.End
		key := s.Key(m.Log)
		if h.sound[key] {
			continue
		}
		o := w.store.objects[key]
		if o == nil {
			w.violation("manifest %d counts %s, which is not there", m.Number, short(key))
			continue
		}
		if want := h.log.raw(s.Start, s.End); int64(len(o.body)) != s.Bytes() || !bytes.Equal(o.body[:s.DataBytes], want) {
			w.violation("manifest %d: the segment of [%d, %d) has not the log's %d bytes", m.Number, s.Start, s.End, len(want))
		}
		h.sound[key] = true
	}
	if at != m.Next {
		w.violation("manifest %d ends at %d, its segments at %d", m.Number, m.Next, at)
	}
}

// deleteDone checks that what was removed may be.
func (w *simWorld) deleteDone(key string, o *simObject) {
	h := w.historyOf(key)
	if isProbe(key) {
		return
	}
	w.count("objects removed")
	if n, ok := manifestOf(key); ok {
		if _, inChain := h.sums[n]; !inChain || h.newest == nil || n < h.newest.Number && !w.isThere(key, h, n) {
			return // a zombie's
		}
		if n >= h.newest.Number {
			w.violation("manifest %d, the newest, is removed", n)
		}
		for lower := range h.sums {
			if lower < n && lower > 0 {
				w.violation("manifest %d is removed before manifest %d", n, lower)
			}
		}
		delete(h.sums, n)
		return
	}
	if h.newest != nil {
		for i := range h.newest.Segments {
			if h.newest.Segments[i].Key(h.newest.Log) == key {
				w.violation("%s is removed, and manifest %d counts it", short(key), h.newest.Number)
			}
		}
	}
	since := o.created
	if at, ok := h.dropped[key]; ok {
		since = time.UnixMilli(at)
	}
	if age := time.Since(since); age < simGrace-time.Millisecond {
		w.violation("%s is removed %v after it has ceased to count, before its grace is over", short(key), age)
	}
}

// isThere reports whether the object that was at a manifest's key was the chain's.
func (w *simWorld) isThere(key string, h *simHistory, n uint64) bool {
	body := w.store.object(key).body
	return binary.BigEndian.Uint32(body[len(body)-4:]) == h.sums[n]
}

// committed checks that an offset of the group promises what the archive has.
func (w *simWorld) committed(p record.Partition, offset int64) {
	for _, h := range w.histories {
		if h.log.part == p && (h.newest == nil || offset > h.newest.Next) {
			w.violation("the group's offset of %s is %d, beyond the archive", p, offset)
		}
	}
	w.group[p] = offset
}

// startReader starts a process that reads again and again what there is.
func (w *simWorld) startReader() {
	p := w.process()
	p.reads = true
	go func() {
		defer close(p.ended)
		a, random := p.archive(), rand.New(rand.NewPCG(w.seed, 2))
		for !p.over() {
			h := w.histories[random.IntN(len(w.histories))]
			if err := w.read(p.ctx, a, h, random); err != nil && errors.Is(err, archive.ErrCorrupt) {
				w.readFailed(err)
			}
			sleepFor(p.ctx, 20*time.Millisecond)
		}
	}()
}

// read reads a log's archive from somewhere on, and compares.
func (w *simWorld) read(ctx context.Context, a *archive.Archive, h *simHistory, random *rand.Rand) error {
	m, err := a.Latest(ctx, archive.Log{Cluster: "sim", Topic: h.log.part.Topic, TopicID: simID, Partition: h.log.part.Partition})
	if err != nil {
		return err
	}
	from := m.Start() + random.Int64N(m.Next-m.Start()+1)
	r, err := a.Read(m, archive.ReadConfig{From: from, ChunkBytes: 500, Ahead: 2})
	if err != nil {
		return err
	}
	defer r.Close()
	for next := from; ; {
		c, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if want := w.rawOf(h, next, c.Next.Offset); c.From != next || !bytes.Equal(c.Raw, want) {
			w.readFailed(fmt.Errorf("%s: a reader got %d bytes for [%d, %d), the log has %d", h.log.part, len(c.Raw), next, c.Next.Offset, len(want)))
		}
		next = c.Next.Offset
		c.Release()
		sleepFor(ctx, 5*time.Millisecond)
	}
}

// rawOf and readFailed are for the reader's goroutine: the log and the world belong to
// the one that decides.
func (w *simWorld) rawOf(h *simHistory, from, to int64) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return h.log.raw(from, to)
}

func (w *simWorld) readFailed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violation("%v", err)
}

// sleepFor lets the bubble's clock run, or ends with ctx.
func sleepFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// inspect looks at the archive with nobody about.
func (w *simWorld) inspect() {
	done := make(chan struct{})
	p := w.process()
	close(p.ended)
	go func() {
		defer close(done)
		a, random := p.archive(), rand.New(rand.NewPCG(w.seed, 3))
		for _, h := range w.histories {
			if h.newest == nil {
				continue
			}
			if err := w.look(p.ctx, a, h, random); err != nil {
				w.readFailed(fmt.Errorf("%s: at the end: %w", h.log.part, err))
			}
		}
	}()
	w.serve(done)
}

// look verifies an archive, collects its garbage, and reads it.
func (w *simWorld) look(ctx context.Context, a *archive.Archive, h *simHistory, random *rand.Rand) error {
	writer, err := a.Writer(ctx, h.newest.Log)
	if err != nil {
		return err
	}
	sleepFor(ctx, simDelay+2*simGrace) // what is still under way arrives, and its grace ends
	if _, err := writer.Collect(ctx, archive.CollectConfig{Grace: simGrace}); err != nil {
		return err
	}
	m, err := writer.Manifest(ctx)
	if err != nil {
		return err
	}
	v, err := a.Verify(ctx, m, archive.VerifyConfig{Deep: true})
	if err != nil || len(v.Damage)+len(v.Orphans)+len(m.Dropped) > 0 {
		return fmt.Errorf("damage %v, orphans %v, dropped %v, %w", v.Damage, v.Orphans, m.Dropped, err)
	}
	return w.read(ctx, a, h, random)
}
