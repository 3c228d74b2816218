package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/seed-73111be4/kappa/archive/bucket"
	"github.com/seed-73111be4/kappa/archive/buckettest"
)

// counter is a source of ids that never repeats and always is the same.
type counter struct{ n uint64 }

func (c *counter) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 8 {
		c.n++
		var v [8]byte
		binary.BigEndian.PutUint64(v[:], c.n)
		copy(p[i:], v[:])
	}
	return len(p), nil
}

var testTime = time.UnixMilli(1_700_000_000_000)

// config is one without waits; ids are the same in every run.
func config(ids uint64) Config {
	return Config{
		Now:     func() time.Time { return testTime },
		Backoff: func(int) time.Duration { return 0 },
		Random:  &counter{n: ids},
	}
}

func inMemory(t *testing.T) *Archive {
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { b.Close() })
	return New(b, config(0))
}

// eachBucket runs a test on every kind of bucket that needs no account.
func eachBucket(t *testing.T, test func(t *testing.T, b *blob.Bucket)) {
	for name, url := range map[string]func(t *testing.T) string{
		"mem":  func(*testing.T) string { return "mem://" },
		"file": func(t *testing.T) string { return "file://" + t.TempDir() },
	} {
		t.Run(name, func(t *testing.T) { test(t, openBucket(t, url(t))) })
	}
	buckettest.Each(t, func(t *testing.T, s3 *buckettest.S3) { test(t, openBucket(t, s3.URL())) })
}

func openBucket(t testing.TB, url string) *blob.Bucket {
	t.Helper()
	b, err := bucket.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func writer(t testing.TB, a *Archive) *Writer {
	t.Helper()
	w, err := a.Writer(t.Context(), testLog)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// step archives one segment from where the archive ends.
func step(ctx context.Context, w *Writer, b *broker, c SegmentConfig, bytes int) (*Manifest, error) {
	sealed, err := seal(ctx, w, b, c, bytes)
	if err != nil {
		return nil, err
	}
	return w.Commit(ctx, Append(sealed))
}

// seal writes one segment: until it is full or the log ends.
func seal(ctx context.Context, w *Writer, b *broker, c SegmentConfig, bytes int) (*Sealed, error) {
	s, err := w.Segment(ctx, c)
	if err != nil {
		return nil, err
	}
	defer s.Abort()
	for !s.Full() && s.Next() < b.next {
		if _, err := s.Append(b.fetch(s.Next(), bytes)); err != nil {
			return nil, err
		}
	}
	return s.Seal()
}

// archiveAll archives the whole log in segments of about size bytes.
func archiveAll(t testing.TB, w *Writer, b *broker, size int64) *Manifest {
	t.Helper()
	m, err := w.Manifest(t.Context())
	for err == nil && m.Next < b.next {
		m, err = step(t.Context(), w, b, SegmentConfig{MaxBytes: size, BlockBytes: 1 << 10}, int(size/3)+1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// readBack returns what a reader gives, and checks its positions.
func readBack(t testing.TB, a *Archive, m *Manifest, c ReadConfig) []byte {
	t.Helper()
	raw, err := readSome(t.Context(), a, m, c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func readSome(ctx context.Context, a *Archive, m *Manifest, c ReadConfig) ([]byte, error) {
	r, err := a.Read(m, c)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var raw []byte
	next := c.From
	for {
		chunk, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return raw, nil
		}
		if err != nil {
			return raw, err
		}
		if chunk.From != next || chunk.Next.Offset <= next {
			return nil, fmt.Errorf("a chunk of [%d, %d) at %d", chunk.From, chunk.Next.Offset, next)
		}
		next = chunk.Next.Offset
		raw = append(raw, chunk.Raw...)
		chunk.Release()
	}
}

func TestWhatWasArchivedIsReadByteForByte(t *testing.T) {
	eachBucket(t, func(t *testing.T, b *blob.Bucket) {
		a := New(b, config(0))
		kafka := randomBroker(1, 300)
		m := archiveAll(t, writer(t, a), kafka, 5_000)
		if len(m.Segments) < 5 || m.Next != kafka.next || m.Number != uint64(len(m.Segments)) {
			t.Fatalf("%d segments up to %d, the log ends at %d", len(m.Segments), m.Next, kafka.next)
		}
		for _, c := range []ReadConfig{
			{}, {ChunkBytes: 1}, {ChunkBytes: 2_000}, {ChunkBytes: 2_000, Ahead: 1},
			{ChunkBytes: 3_000, Budget: NewBudget(BudgetConfig{MemoryBytes: 1})},
		} {
			if got := readBack(t, a, m, c); !bytes.Equal(got, kafka.raw(0, kafka.next)) {
				t.Errorf("%+v: read %d bytes, the log has %d", c, len(got), len(kafka.raw(0, kafka.next)))
			}
		}
	})
}

func TestAnyRangeIsRead(t *testing.T) {
	a := inMemory(t)
	kafka := randomBroker(2, 200)
	m := archiveAll(t, writer(t, a), kafka, 4_000)
	rnd := rand.New(rand.NewPCG(2, 2))
	for range 300 {
		from := rnd.Int64N(m.Next + 1)
		until := from + rnd.Int64N(m.Next+1-from)
		c := ReadConfig{From: from, Until: until, ChunkBytes: 1 + rnd.IntN(6_000), Ahead: 1 + rnd.IntN(4)}
		want := kafka.raw(from, until)
		if until == 0 {
			want = kafka.raw(from, m.Next)
		}
		if from == until && from > 0 {
			want = nil
		}
		if got := readBack(t, a, m, c); !bytes.Equal(got, want) {
			t.Fatalf("[%d, %d) by %d: %d bytes, want %d", from, until, c.ChunkBytes, len(got), len(want))
		}
	}
}

func TestPositionsNameTheLogAndTheLeaderEpoch(t *testing.T) {
	a := inMemory(t)
	kafka := &broker{}
	for i := range 10 {
		kafka.add(batchSpec{base: kafka.next, n: 2, epoch: int32(i / 3)}.batch())
	}
	m := archiveAll(t, writer(t, a), kafka, 1<<20)
	if m.End() != testLog.Position(20, 3) {
		t.Errorf("the archive ends at %+v", m.End())
	}
	r, err := a.Read(m, ReadConfig{From: 5, Until: 9, ChunkBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Next != testLog.Position(9, 1) {
		t.Errorf("the chunk ends at %+v, want offset 9 of epoch 1", c.Next)
	}
}

func TestOffsetsOutsideOfTheArchiveAreNamed(t *testing.T) {
	a := inMemory(t)
	w := writer(t, a)
	kafka := &broker{next: 100}
	for range 30 {
		kafka.add(batchSpec{base: kafka.next, n: 1, pad: 100}.batch())
	}
	if _, err := w.Commit(t.Context(), Skip(100, "")); err != nil {
		t.Fatal(err)
	}
	archiveAll(t, w, kafka, 1_000)
	m, err := w.Commit(t.Context(), DropBefore(110))
	if err != nil {
		t.Fatal(err)
	}
	start := m.Start()
	if start <= 100 || start > 110 {
		t.Fatalf("retention has left [%d, %d)", start, m.Next)
	}
	for offset, want := range map[int64]string{
		0: "it was never archived", 99: "it was never archived", 100: "retention removed it", start - 1: "retention removed it", 131: "holds",
	} {
		_, err := a.Read(m, ReadConfig{From: offset})
		var out *RangeError
		if !errors.As(err, &out) || !errors.Is(err, ErrOutOfRange) || !strings.Contains(err.Error(), want) ||
			out.Start != start || out.End != 130 {
			t.Errorf("read from %d: %v", offset, err)
		}
	}
	if got := readBack(t, a, m, ReadConfig{From: 130}); got != nil {
		t.Errorf("%d bytes from the end on", len(got))
	}
}

func TestAnAcceptedGapIsNamedToWhoReadsAcross(t *testing.T) {
	a := inMemory(t)
	w := writer(t, a)
	kafka := randomBroker(4, 20)
	first := archiveAll(t, w, kafka, 1<<20)
	kafka.next += 1000
	if _, err := w.Commit(t.Context(), Skip(kafka.next, "retention was faster")); err != nil {
		t.Fatal(err)
	}
	kafka.add(batchSpec{base: kafka.next, n: 3}.batch())
	m := archiveAll(t, w, kafka, 1<<20)
	_, err := readSome(t.Context(), a, m, ReadConfig{})
	var gap *GapError
	if !errors.As(err, &gap) || gap.Gap.From != first.Next || gap.Gap.To != first.Next+1000 || gap.Gap.At != testTime.UnixMilli() {
		t.Fatalf("read across the gap: %v", err)
	}
	if !strings.Contains(err.Error(), "retention was faster") {
		t.Errorf("the reason is missing: %v", err)
	}
	if _, err := a.Read(m, ReadConfig{From: first.Next + 5}); !errors.Is(err, ErrGap) {
		t.Errorf("read from inside of the gap: %v", err)
	}
	if got := readBack(t, a, m, ReadConfig{From: gap.Gap.To}); !bytes.Equal(got, kafka.raw(gap.Gap.To, kafka.next)) {
		t.Error("behind the gap is something else")
	}
	if m, err = w.Commit(t.Context(), DropBefore(kafka.next)); err != nil || len(m.Gaps) != 0 || m.Start() != kafka.next {
		t.Errorf("after retention: %+v, %v", m, err)
	}
}

func TestTimesAreFoundByTheDataNotByMarkers(t *testing.T) {
	a := inMemory(t)
	kafka := &broker{}
	for i := range int64(100) {
		kafka.add(batchSpec{base: kafka.next, n: 2, time: 1000 + 10*i, producer: 1, txn: true, pad: 50}.batch())
		kafka.add(batchSpec{base: kafka.next, time: 1_700_000_000_000, producer: 1}.marker(Commit))
	}
	m := archiveAll(t, writer(t, a), kafka, 3_000)
	for _, c := range []struct{ time, want int64 }{
		{0, 0}, {1000, 0}, {1001, 0}, {1002, 3}, {1011, 3}, {1012, 6}, {1500, 150}, {1991, 297}, {1992, m.Next}, {1_600_000_000_000, m.Next},
	} {
		if got, err := a.OffsetAfter(t.Context(), m, c.time); got != c.want || err != nil {
			t.Errorf("time %d is at offset %d, %v; want %d", c.time, got, err, c.want)
		}
	}
}

func TestNothingIsArchivedFromTheLastStableOffsetOn(t *testing.T) {
	a := inMemory(t)
	w := writer(t, a)
	kafka := randomBroker(5, 30)
	s, err := w.Segment(t.Context(), SegmentConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Abort()
	f := kafka.fetch(0, 1<<20)
	f.Stable = kafka.next / 2
	next, err := s.Append(f)
	if err != nil || next > f.Stable {
		t.Errorf("archived up to %d, %v; stable up to %d", next, err, f.Stable)
	}
	if again, err := s.Append(f); again != next || err != nil {
		t.Errorf("the same again: %d, %v", again, err)
	}
}

func TestLogsAreListed(t *testing.T) {
	eachBucket(t, func(t *testing.T, b *blob.Bucket) {
		a := New(b, config(0))
		kafka := randomBroker(6, 3)
		again := testLog
		again.TopicID[0]++
		other := testLog
		other.Topic, other.Partition = "flights.2", 11
		want := []Log{testLog, again, other}
		for _, l := range want {
			w, err := a.Writer(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			archiveAll(t, w, kafka, 1<<20)
		}
		got, err := a.Logs(t.Context())
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("logs %v, %v; want %v", got, err, want)
		}
		got, err = a.LogsOf(t.Context(), testLog.Cluster, testLog.Topic)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want[:2]) {
			t.Errorf("logs of the topic %v, %v; want %v", got, err, want[:2])
		}
		if _, err := a.Latest(t.Context(), Log{Cluster: "c", Topic: "t", TopicID: testLog.TopicID}); !errors.Is(err, ErrNotArchived) {
			t.Errorf("a log that is not there: %v", err)
		}
	})
}

// keysOf lists keys below a prefix.
func keysOf(t testing.TB, a *Archive, prefix string) []string {
	t.Helper()
	var keys []string
	if err := a.list(t.Context(), prefix, "", func(o *blob.ListObject) { keys = append(keys, o.Key) }); err != nil {
		t.Fatal(err)
	}
	return keys
}
