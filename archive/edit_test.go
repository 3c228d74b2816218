package archive

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sealedOf makes a segment of [start, end) without an object.
func sealedOf(w *Writer, start, end int64) *Sealed {
	id, _ := w.a.newSegmentID()
	return &Sealed{session: w.session, Segment: Segment{
		ID: id, Start: start, End: end, Base: start, Records: 1, Batches: 1, DataBytes: 100, FooterBytes: 200,
		FirstTimestamp: NoTimestamp, MaxTimestamp: NoTimestamp, FirstEpoch: 1, LastEpoch: int32(end),
	}}
}

func TestEditsThatCannotBeAreRefusedAndChangeNothing(t *testing.T) {
	a := inMemory(t)
	w := writer(t, a)
	m, err := w.Commit(t.Context(), Append(sealedOf(w, 0, 10)), Append(sealedOf(w, 10, 20)), Append(sealedOf(w, 20, 30)))
	if err != nil {
		t.Fatal(err)
	}
	stranger := sealedOf(w, 0, 10).Segment
	for name, e := range map[string][]Edit{
		"append with a hole":             {Append(sealedOf(w, 31, 40))},
		"append with an overlap":         {Append(sealedOf(w, 29, 40))},
		"a good edit and a bad one":      {Append(sealedOf(w, 30, 40)), Append(sealedOf(w, 30, 40))},
		"replace nothing":                {Replace(nil, sealedOf(w, 0, 10))},
		"replace what is not there":      {Replace([]Segment{stranger}, sealedOf(w, 0, 10))},
		"replace by less":                {Replace(m.Segments[:2], sealedOf(w, 0, 19))},
		"replace what are no neighbours": {Replace([]Segment{m.Segments[0], m.Segments[2]}, sealedOf(w, 0, 30))},
		"truncate inside of a segment":   {Truncate(15, 1)},
		"truncate beyond the end":        {Truncate(31, 1)},
		"skip back":                      {Skip(29, "")},
	} {
		if _, err := w.Commit(t.Context(), e...); !errors.Is(err, ErrContradiction) {
			t.Errorf("%s: %v", name, err)
		}
	}
	now, err := w.Manifest(t.Context())
	if err != nil || now != m || len(keysOf(t, a, "")) != 1 {
		t.Errorf("after all that: %+v, %v", now, err)
	}
	if _, err := w.Commit(t.Context(), Append(sealedOf(w, 30, 40))); err != nil {
		t.Errorf("a good edit after bad ones: %v", err)
	}
}

func TestTruncationDropsWhatTheLogHasLost(t *testing.T) {
	a := inMemory(t)
	kafka := &broker{}
	for i := range 40 {
		kafka.add(batchSpec{base: kafka.next, n: 2, epoch: int32(i / 10), pad: 50, producer: -1}.batch())
	}
	w := writer(t, a)
	m := archiveAll(t, w, kafka, 1_500)
	for _, offset := range []int64{m.Next, m.Segments[len(m.Segments)-1].Start, 42, 20, 0} {
		cut, err := w.Cut(t.Context(), offset, SegmentConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if m, err = w.Commit(t.Context(), cut); err != nil {
			t.Fatal(err)
		}
		want := int32(-1)
		if offset > 0 {
			want = int32((offset - 1) / 20)
		}
		if m.End() != testLog.Position(offset, want) {
			t.Errorf("cut at %d, the archive ends at %+v, want epoch %d", offset, m.End(), want)
		}
		if got := readBack(t, a, m, ReadConfig{}); !bytes.Equal(got, kafka.raw(0, offset)) {
			t.Errorf("cut at %d, %d bytes are read", offset, len(got))
		}
	}
	if _, err := w.Cut(t.Context(), 1, SegmentConfig{}); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("cut beyond the end: %v", err)
	}
}

func TestACutInsideOfABatchIsRefused(t *testing.T) {
	a := inMemory(t)
	kafka := &broker{}
	kafka.add(batchSpec{base: 0, n: 10}.batch())
	w := writer(t, a)
	archiveAll(t, w, kafka, 1_500)
	if _, err := w.Cut(t.Context(), 5, SegmentConfig{}); !errors.Is(err, ErrContradiction) {
		t.Errorf("cut: %v", err)
	}
	if n := len(keysOf(t, a, testLog.folder()+segmentFolder)); n != 1 {
		t.Errorf("%d segments", n)
	}
}

func TestBatchesThatCannotFollowAreRefused(t *testing.T) {
	bad := batchSpec{base: 4, n: 1}.batch()
	bad[len(bad)-1]++
	old := batchSpec{base: 4, n: 1}.batch()
	old[16] = 1
	for name, c := range map[string]struct {
		then Fetched
		want error
	}{
		"an overlap":                        {Fetched{Raw: batchSpec{base: 3, n: 2}.batch(), Stable: -1}, ErrContradiction},
		"a wrong checksum":                  {Fetched{Raw: bad, Stable: -1}, ErrCorrupt},
		"an old format":                     {Fetched{Raw: old, Stable: -1}, ErrCorrupt},
		"an aborted transaction's commit":   {Fetched{Raw: batchSpec{base: 4, producer: 5}.marker(Commit), Aborted: []AbortedTxn{{5, 1, OpenEnd}}, Stable: -1}, ErrContradiction},
		"batches in the wrong order":        {Fetched{Raw: slices.Concat(batchSpec{base: 9, n: 1}.batch(), batchSpec{base: 4, n: 1}.batch()), Stable: -1}, ErrContradiction},
		"nothing after all that came later": {Fetched{Raw: batchSpec{base: 0, n: 1}.batch(), Stable: -1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := writer(t, inMemory(t))
			s, err := w.Segment(t.Context(), SegmentConfig{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Abort()
			if next, err := s.Append(Fetched{Raw: batchSpec{base: 0, n: 4}.batch(), Stable: -1}); next != 4 || err != nil {
				t.Fatal(next, err)
			}
			if _, err := s.Append(c.then); !errors.Is(err, c.want) {
				t.Fatalf("append: %v, want %v", err, c.want)
			}
			if _, err := s.Seal(); !errors.Is(err, c.want) {
				t.Errorf("seal: %v, want %v", err, c.want)
			}
			if n := len(keysOf(t, w.a, "")); c.want != nil && n != 0 {
				t.Errorf("%d objects", n)
			}
		})
	}
}

func TestASegmentWithoutABatchIsRefused(t *testing.T) {
	s, err := writer(t, inMemory(t)).Segment(t.Context(), SegmentConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(Fetched{Raw: batchSpec{base: 0, n: 4}.batch()[:40], Stable: -1}); err != nil {
		t.Error(err) // cut off: nothing yet
	}
	if _, err := s.Seal(); !errors.Is(err, ErrContradiction) {
		t.Errorf("seal: %v", err)
	}
}

func TestAnArchiveMayBeginInsideOfABatch(t *testing.T) {
	a := inMemory(t)
	kafka := randomBroker(40, 60)
	start := kafka.next / 2
	for _, p := range kafka.batches {
		if h := headerOf(p); h.BaseOffset < start && h.LastOffset() > h.BaseOffset {
			start = h.BaseOffset + 1
		}
	}
	w := writer(t, a)
	s, err := w.SegmentAt(t.Context(), start, SegmentConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(kafka.fetch(start, 1<<20)); err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal()
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Commit(t.Context(), Append(sealed))
	if err != nil {
		t.Fatal(err)
	}
	if m.Start() != start || m.Origin != start || sealed.Segment.Base >= start {
		t.Errorf("the archive begins at %d of %d, its first batch at %d, want %d", m.Start(), m.Origin, sealed.Segment.Base, start)
	}
	if got := readBack(t, a, m, ReadConfig{From: start}); !bytes.Equal(got, kafka.raw(start, kafka.next)) {
		t.Errorf("read %d bytes", len(got))
	}
}

func TestPlansMergeSmallNeighboursOnly(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		sizes []int64 // in MiB; 0 is a gap
		want  string  // sizes of the runs
	}{
		"nothing":              {nil, ""},
		"large ones":           {[]int64{100, 128, 70}, ""},
		"too little":           {[]int64{1, 2, 3}, ""},
		"enough bytes":         {[]int64{30, 40}, "30+40"},
		"enough of them":       {slices.Repeat([]int64{1}, 16), strings.Repeat("+1", 16)[1:]},
		"not beyond the size":  {[]int64{60, 60, 60, 60}, "60+60 60+60"},
		"not over a large one": {[]int64{1, 40, 100, 40, 1}, ""},
		"not over a gap":       {[]int64{40, 30, 0, 30, 40}, "40+30 30+40"},
	} {
		m := &Manifest{}
		for i, size := range c.sizes {
			m.Next += 10
			if size > 0 {
				m.Segments = append(m.Segments, Segment{ID: SegmentID(i), Start: m.Next - 10, End: m.Next, DataBytes: size * mib})
			}
		}
		var got []string
		for _, run := range (MergePolicy{}).Plan(m) {
			var sizes []string
			for _, s := range run {
				sizes = append(sizes, strconv.FormatInt(s.DataBytes/mib, 10))
			}
			got = append(got, strings.Join(sizes, "+"))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestACanceledNextLosesNothing(t *testing.T) {
	a := inMemory(t)
	kafka := randomBroker(41, 100)
	m := archiveAll(t, writer(t, a), kafka, 2_000)
	r, err := a.Read(m, ReadConfig{ChunkBytes: 500})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var got []byte
	for int64(len(got)) < int64(len(kafka.raw(0, kafka.next))) {
		if c, err := r.Next(ended); err == nil {
			got = append(got, c.Raw...)
			c.Release()
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		c, err := r.Next(t.Context())
		if err != nil {
			break // the end
		}
		got = append(got, c.Raw...)
		c.Release()
	}
	if !bytes.Equal(got, kafka.raw(0, kafka.next)) {
		t.Errorf("read %d bytes", len(got))
	}
}
