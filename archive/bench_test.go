package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/seed-73111be4/kappa/archive/buckettest"
)

// benchLog is a log of about size bytes: batches of 150 records of 100 bytes, as a busy
// producer makes them.
func benchLog(size int) (*broker, []byte) {
	kafka := &broker{}
	var raw []byte
	for i := int64(0); len(raw) < size; i++ {
		p := batchSpec{base: kafka.next, n: 150, pad: 84, time: i, producer: -1}.batch()
		kafka.add(p)
		raw = append(raw, p...)
	}
	return kafka, raw
}

// cpu returns the CPU time that the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report adds what the process's CPU has done since start.
func report(b *testing.B, start time.Duration, bytes, records int64) {
	used := cpu() - start
	b.ReportMetric(float64(bytes)*float64(b.N)/1e6/used.Seconds(), "MB/cpu-s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(records)/float64(b.N), "cpu-ns/record")
}

func benchBuckets(b *testing.B, bench func(b *testing.B, bucket *blob.Bucket)) {
	b.Run("file", func(b *testing.B) { bench(b, openBucket(b, "file://"+b.TempDir())) })
	b.Run("s3", func(b *testing.B) { bench(b, openBucket(b, buckettest.Start(b).URL())) }) // the server's CPU is counted in
}

const benchBytes = 64 << 20

func BenchmarkWrite(b *testing.B) {
	kafka, raw := benchLog(benchBytes)
	benchBuckets(b, func(b *testing.B, bucket *blob.Bucket) {
		a := New(bucket, Config{})
		b.SetBytes(int64(len(raw)))
		start := cpu()
		for i := 0; b.Loop(); i++ {
			l := testLog
			l.Partition = int32(i)
			w, err := a.Writer(b.Context(), l)
			if err != nil {
				b.Fatal(err)
			}
			if err := writeRaw(b.Context(), w, raw, kafka.next); err != nil {
				b.Fatal(err)
			}
		}
		report(b, start, int64(len(raw)), kafka.next)
	})
}

// writeRaw archives raw in fetches of about 1 MiB, as one segment.
func writeRaw(ctx context.Context, w *Writer, raw []byte, end int64) error {
	s, err := w.Segment(ctx, SegmentConfig{})
	if err != nil {
		return err
	}
	defer s.Abort()
	at := 0
	for s.Next() < end {
		if _, err := s.Append(Fetched{Raw: raw[at:min(len(raw), at+1<<20)], Stable: -1}); err != nil {
			return err
		}
		at = int(s.Bytes())
	}
	sealed, err := s.Seal()
	if err != nil {
		return err
	}
	_, err = w.Commit(ctx, Append(sealed))
	return err
}

func BenchmarkRead(b *testing.B) {
	kafka, raw := benchLog(benchBytes)
	benchBuckets(b, func(b *testing.B, bucket *blob.Bucket) {
		a := New(bucket, Config{})
		w := writer(b, a)
		if err := writeRaw(b.Context(), w, raw, kafka.next); err != nil {
			b.Fatal(err)
		}
		m, err := w.Manifest(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(raw)))
		start := cpu()
		for b.Loop() {
			if n := drain(b, a, m); n != len(raw) {
				b.Fatalf("read %d of %d bytes", n, len(raw))
			}
		}
		report(b, start, int64(len(raw)), kafka.next)
	})
}

// drain reads all and returns how much it was.
func drain(b *testing.B, a *Archive, m *Manifest) int {
	r, err := a.Read(m, ReadConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	n := 0
	for {
		c, err := r.Next(b.Context())
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			b.Fatal(err)
		}
		n += len(c.Raw)
		c.Release()
	}
}

// BenchmarkVerify is the ceiling of both: checksums of what is in memory.
func BenchmarkVerify(b *testing.B) {
	kafka, raw := benchLog(benchBytes)
	b.SetBytes(int64(len(raw)))
	start := cpu()
	for b.Loop() {
		for batch, err := range Batches(raw) {
			if err == nil {
				err = batch.Check()
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	report(b, start, int64(len(raw)), kafka.next)
}

// BenchmarkManifest is what an archive of many segments costs: to append to, to open
// and to find an offset in.
func BenchmarkManifest(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("segments=%d", n), func(b *testing.B) {
			m := manySegments(n)
			p := m.encode()
			b.Run("encode", func(b *testing.B) {
				for b.Loop() {
					m.encode()
				}
				b.ReportMetric(float64(len(p)), "bytes")
			})
			b.Run("decode", func(b *testing.B) {
				for b.Loop() {
					if _, err := DecodeManifest(p); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("find", func(b *testing.B) {
				for b.Loop() {
					if _, err := m.Find(m.Next / 3); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// manySegments returns a manifest of n segments of 128 MiB.
func manySegments(n int) *Manifest {
	m := &Manifest{Log: testLog, Number: 7, Partitions: 12, Created: testTime.UnixMilli()}
	for i := range int64(n) {
		m.Segments = append(m.Segments, Segment{
			ID: SegmentID(i * 0x9e3779b97f4a7c), Start: i * 1e6, End: (i + 1) * 1e6, Base: i * 1e6,
			Records: 1e6, Batches: 7000, DataBytes: 128 << 20, FooterBytes: 30_000, FooterCRC: uint32(i * 2654435761),
			FirstTimestamp: testTime.UnixMilli() + i*60_000, MaxTimestamp: testTime.UnixMilli() + i*60_000 + 59_999,
			FirstEpoch: 3, LastEpoch: 3, Created: testTime.UnixMilli() + i*60_000,
		})
	}
	m.Next, m.NextEpoch = int64(n)*1e6, 3
	return m
}

// A manifest of 10,000 segments is opened, and the segment of an offset found, long
// before a second is over: what is asked of a reset.
func TestAnArchiveOfManySegmentsIsOpenedWithFewRequests(t *testing.T) {
	s3, a := onS3(t)
	m := manySegments(10_000)
	if err := a.create(t.Context(), testLog.manifestKey(7), m.encode()); err != nil {
		t.Fatal(err)
	}
	s3.Requests(http.MethodGet)
	got, err := a.Latest(t.Context(), testLog)
	if err != nil || len(got.Segments) != 10_000 {
		t.Fatalf("%d segments, %v", len(got.Segments), err)
	}
	if n := s3.Requests(http.MethodGet); n != 3 {
		t.Errorf("%d requests", n)
	}
	if i, err := got.Find(5_000_123); i != 5 || err != nil {
		t.Errorf("offset 5000123 is in segment %d, %v", i, err)
	}
}

// Memory does not grow with what is read, only with what is read ahead.
func TestReadersStayWithinTheirBudget(t *testing.T) {
	kafka, _ := benchLog(8 << 20)
	a := New(openBucket(t, "file://"+t.TempDir()), config(0))
	m := archiveAll(t, writer(t, a), kafka, 2<<20)
	budget := NewBudget(BudgetConfig{MemoryBytes: 300 << 10})
	r, err := a.Read(m, ReadConfig{ChunkBytes: 100 << 10, Ahead: 8, Budget: budget})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		c, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if used := budget.Used(); used > 300<<10 {
			t.Fatalf("%d bytes are held", used)
		}
		runtime.Gosched()
		c.Release()
		c.Release()
	}
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes are held at the end", used)
	}
}

// A reader that waits for memory which another one holds gets its next chunk all the
// same: who merges readers must be able to go on with the one that is behind.
func TestReadersOfOneBudgetDoNotStarveEachOther(t *testing.T) {
	kafka := randomBroker(31, 200)
	a := inMemory(t)
	m := archiveAll(t, writer(t, a), kafka, 3_000)
	budget := NewBudget(BudgetConfig{MemoryBytes: 1_000})
	var readers []*Reader
	for range 5 {
		r, err := a.Read(m, ReadConfig{ChunkBytes: 900, Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		readers = append(readers, r)
		c, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
	}
	c, err := func() (*Chunk, error) { // all hold one: the next one must wait
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		return readers[0].Next(ctx)
	}()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a chunk beyond the budget: %v, %v", c, err)
	}
	last := readers[4]
	for _, r := range readers[:4] {
		r.Close()
	}
	if budget.Used() == 0 {
		t.Error("closing a reader takes the caller's chunks away")
	}
	last.Close()
	if _, err := last.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a closed reader: %v", err)
	}
}

func TestBandwidthIsBounded(t *testing.T) {
	now := testTime
	b := NewBudget(BudgetConfig{BytesPerSecond: 1000, Now: func() time.Time { return now }})
	for i, want := range []time.Duration{0, time.Second / 2, time.Second} {
		if got := b.charge(500); got != want {
			t.Errorf("charge %d waits %v, want %v", i, got, want)
		}
	}
	now = now.Add(10 * time.Second)
	if got := b.charge(500); got != 0 {
		t.Errorf("after a pause the next one waits %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.pay(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled wait: %v", err)
	}
}
