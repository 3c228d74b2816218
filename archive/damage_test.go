package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// overwrite changes an object in place, as no writer ever does.
func overwrite(t *testing.T, a *Archive, key string, p []byte) {
	t.Helper()
	if err := a.bucket.WriteAll(t.Context(), key, p, nil); err != nil {
		t.Fatal(err)
	}
}

func TestEachFlippedBitOfAnArchiveIsNoticedByReaders(t *testing.T) {
	a := inMemory(t)
	kafka := goldenLog()
	m := archiveAll(t, writer(t, a), kafka, 300)
	all := kafka.raw(0, kafka.next)
	for _, chunk := range []int{1, 1 << 20} {
		for i := range m.Segments {
			key := m.Segments[i].Key(testLog)
			good, err := a.bucket.ReadAll(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			for bit := range len(good) * 8 {
				bad := bytes.Clone(good)
				bad[bit/8] ^= 1 << (bit % 8)
				overwrite(t, a, key, bad)
				got, err := readSome(t.Context(), a, m, ReadConfig{ChunkBytes: chunk})
				var c *CorruptError
				if !errors.As(err, &c) || c.Object != key || c.Start != m.Segments[i].Start || !bytes.HasPrefix(all, got) {
					t.Fatalf("bit %d of %s: %v after %d bytes", bit, key, err, len(got))
				}
			}
			overwrite(t, a, key, good)
		}
	}
	if got := readBack(t, a, m, ReadConfig{}); !bytes.Equal(got, all) {
		t.Error("the archive is not what it was")
	}
}

func TestDamagedObjectsAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(t *testing.T, a *Archive, key string, p []byte, other string)
		want string
	}{
		"missing":   {func(t *testing.T, a *Archive, key string, _ []byte, _ string) { a.delete(t.Context(), key) }, "missing"},
		"truncated": {func(t *testing.T, a *Archive, key string, p []byte, _ string) { overwrite(t, a, key, p[:len(p)-40]) }, "too early"},
		"empty":     {func(t *testing.T, a *Archive, key string, _ []byte, _ string) { overwrite(t, a, key, nil) }, "too early"},
		"swapped": {func(t *testing.T, a *Archive, key string, _ []byte, other string) {
			p, err := a.bucket.ReadAll(t.Context(), other)
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, a, key, p)
		}, ""},
		"zeroed": {func(t *testing.T, a *Archive, key string, p []byte, _ string) {
			overwrite(t, a, key, make([]byte, len(p)))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := inMemory(t)
			kafka := randomBroker(20, 60)
			m := archiveAll(t, writer(t, a), kafka, 1_500)
			s := m.Segments[2]
			key := s.Key(testLog)
			p, err := a.bucket.ReadAll(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			c.harm(t, a, key, p, m.Segments[1].Key(testLog))
			for _, chunk := range []int{500, 1 << 20} {
				got, err := readSome(t.Context(), a, m, ReadConfig{ChunkBytes: chunk})
				var bad *CorruptError
				if !errors.As(err, &bad) || bad.Object != key || bad.Start != s.Start || bad.End != s.End || !strings.Contains(err.Error(), c.want) {
					t.Errorf("read: %v", err)
				}
				if errors.Is(err, ErrMissing) != (name == "missing") {
					t.Errorf("missing? %v", err)
				}
				if !bytes.Equal(got, kafka.raw(0, s.Start)) {
					t.Errorf("%d bytes are read before it", len(got))
				}
			}
			v, err := a.Verify(t.Context(), m, VerifyConfig{})
			if err != nil || len(v.Damage) != 1 || !strings.Contains(v.Damage[0].Error(), key) {
				t.Errorf("verification: %+v, %v", v, err)
			}
		})
	}
}

func TestDeepVerificationFindsWhatFootersDoNotTell(t *testing.T) {
	a := inMemory(t)
	kafka := randomBroker(21, 60)
	m := archiveAll(t, writer(t, a), kafka, 1_500)
	key := m.Segments[1].Key(testLog)
	p, err := a.bucket.ReadAll(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	p[100]++
	overwrite(t, a, key, p)
	if v, err := a.Verify(t.Context(), m, VerifyConfig{}); err != nil || len(v.Damage) != 0 {
		t.Errorf("shallow: %+v, %v", v, err)
	}
	v, err := a.Verify(t.Context(), m, VerifyConfig{Deep: true})
	if err != nil || len(v.Damage) != 1 || !errors.Is(v.Damage[0], ErrCorrupt) || v.Segments != int64(len(m.Segments)) {
		t.Errorf("deep: %+v, %v", v, err)
	}
}

func TestADamagedSegmentIsHealed(t *testing.T) {
	a := inMemory(t)
	kafka := randomBroker(22, 60)
	w := writer(t, a)
	m := archiveAll(t, w, kafka, 1_500)
	for _, i := range []int{0, 3} {
		old := m.Segments[i]
		overwrite(t, a, old.Key(testLog), []byte("x"))
		s, err := w.SegmentAt(t.Context(), old.Start, SegmentConfig{})
		if err != nil {
			t.Fatal(err)
		}
		f := kafka.fetch(old.Start, 1<<20)
		f.Stable = old.End
		if _, err := s.Append(f); err != nil {
			t.Fatal(err)
		}
		sealed, err := s.Seal()
		if err != nil {
			t.Fatal(err)
		}
		if m, err = w.Commit(t.Context(), Replace([]Segment{old}, sealed)); err != nil {
			t.Fatal(err)
		}
	}
	if got := readBack(t, a, m, ReadConfig{}); !bytes.Equal(got, kafka.raw(0, kafka.next)) {
		t.Errorf("read %d bytes", len(got))
	}
	if v, err := a.Verify(t.Context(), m, VerifyConfig{Deep: true}); err != nil || len(v.Damage) > 0 {
		t.Errorf("verification: %+v, %v", v, err)
	}
}

func TestADamagedManifestIsNamedAndRecovered(t *testing.T) {
	for name, n := range map[string]int{"the newest": 1, "all since the merge": 3, "all": 1000} {
		t.Run(name, func(t *testing.T) {
			a := inMemory(t)
			kafka := randomBroker(23, 80)
			w := writer(t, a)
			m := archiveAll(t, w, kafka, 1_500)
			sealed, err := w.Merge(t.Context(), m.Segments[2:5], SegmentConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Commit(t.Context(), Replace(m.Segments[2:5], sealed)); err != nil {
				t.Fatal(err)
			}
			kafka.add(batchSpec{base: kafka.next, n: 2, epoch: 99, producer: -1}.batch())
			m = archiveAll(t, w, kafka, 1_500)
			for i := range min(uint64(n), m.Number) {
				overwrite(t, a, testLog.manifestKey(m.Number-i), []byte("kappaManifest?"))
			}
			_, err = a.Latest(t.Context(), testLog)
			var c *CorruptError
			if !errors.As(err, &c) || c.Object != testLog.manifestKey(m.Number) {
				t.Fatalf("latest: %v", err)
			}
			got, err := a.Recover(t.Context(), testLog)
			if err != nil {
				t.Fatal(err)
			}
			if got.Number != m.Number+1 || got.Next != kafka.next || got.NextEpoch != 99 {
				t.Errorf("recovered %+v", got)
			}
			latest, err := a.Latest(t.Context(), testLog)
			if err != nil || latest.Number != got.Number {
				t.Fatalf("latest: %+v, %v", latest, err)
			}
			if raw := readBack(t, a, latest, ReadConfig{}); !bytes.Equal(raw, kafka.raw(0, kafka.next)) {
				t.Errorf("read %d bytes", len(raw))
			}
			if again, err := a.Recover(t.Context(), testLog); err != nil || again.Number != got.Number {
				t.Errorf("recovered again: %+v, %v", again, err)
			}
			kafka.add(batchSpec{base: kafka.next, n: 2, epoch: 99}.batch())
			archiveAll(t, writer(t, a), kafka, 1_500)
		})
	}
}

func TestWhatCannotBeRecoveredIsNamed(t *testing.T) {
	a := inMemory(t)
	kafka := randomBroker(24, 60)
	m := archiveAll(t, writer(t, a), kafka, 1_500)
	overwrite(t, a, testLog.manifestKey(m.Number), nil)
	a.delete(t.Context(), m.Segments[2].Key(testLog))
	_, err := a.Recover(t.Context(), testLog)
	var c *CorruptError
	if !errors.As(err, &c) || c.Start != m.Segments[2].Start || !errors.Is(err, ErrMissing) {
		t.Errorf("recovered: %v", err)
	}
}

func TestReadersFindMergedSegmentsByThemselves(t *testing.T) {
	a := inMemory(t)
	a.c.Now = func() time.Time { return time.Now().Add(1000 * time.Hour) }
	kafka := randomBroker(25, 100)
	w := writer(t, a)
	m := archiveAll(t, w, kafka, 1_000)
	r, err := a.Read(m, ReadConfig{Ahead: 1, ChunkBytes: 700})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []byte
	for i := 0; ; i++ {
		chunk, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, chunk.Raw...)
		chunk.Release()
		if i == 3 {
			sealed, err := w.Merge(t.Context(), m.Segments, SegmentConfig{BlockBytes: 900})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Commit(t.Context(), Replace(m.Segments, sealed)); err != nil {
				t.Fatal(err)
			}
			a.c.Now = func() time.Time { return time.Now().Add(9000 * time.Hour) }
			if c, err := w.Collect(t.Context(), CollectConfig{}); err != nil || len(c.Segments) != len(m.Segments) {
				t.Fatalf("collected %+v, %v", c, err)
			}
		}
	}
	if !bytes.Equal(got, kafka.raw(0, kafka.next)) {
		t.Errorf("read %d bytes, want %d", len(got), len(kafka.raw(0, kafka.next)))
	}
	if r.Manifest().Number == m.Number {
		t.Error("the reader has not moved to the new manifest")
	}
}

func TestGarbageIsCollectedWhenItsGraceIsOver(t *testing.T) {
	dir := t.TempDir()
	a := New(openBucket(t, "file://"+dir), config(0))
	now := time.Now()
	a.c.Now = func() time.Time { return now }
	kafka := randomBroker(26, 100)
	w := writer(t, a)
	orphan, err := seal(t.Context(), w, kafka, SegmentConfig{MaxBytes: 500}, 500)
	if err != nil {
		t.Fatal(err)
	}
	m := archiveAll(t, w, kafka, 400)
	if m, err = w.Commit(t.Context(), DropBefore(m.Segments[4].Start)); err != nil {
		t.Fatal(err)
	}
	temp := filepath.Join(dir, ".kappa-tmp", "LEFTOVER")
	if err := os.WriteFile(temp, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	early, err := w.Collect(t.Context(), CollectConfig{Grace: time.Hour})
	if err != nil || len(early.Segments)+len(early.Manifests) != 0 {
		t.Fatalf("collected at once: %+v, %v", early, err)
	}
	now = now.Add(2 * time.Hour)
	dry, err := w.Collect(t.Context(), CollectConfig{Grace: time.Hour, DryRun: true})
	if err != nil || len(dry.Segments) != 5 || len(dry.Manifests) != int(m.Number)-16 {
		t.Fatalf("a dry run: %+v of manifest %d, %v", dry, m.Number, err)
	}
	sleeper := writer(t, a)
	late, err := seal(t.Context(), sleeper, &broker{batches: [][]byte{batchSpec{base: m.Next, n: 1}.batch()}, next: m.Next + 1}, SegmentConfig{}, 500)
	if err != nil {
		t.Fatal(err)
	}
	// The sleeper's segment is as old as the store's clock says: an orphan, too.
	done, err := w.Collect(t.Context(), CollectConfig{Grace: time.Hour})
	if want := dry.Bytes + 5 + late.Segment.Bytes(); err != nil || done.Bytes != want {
		t.Errorf("collected %d bytes, %v; want %d", done.Bytes, err, want)
	}
	if found, _ := a.bucket.Exists(t.Context(), orphan.Segment.Key(testLog)); found {
		t.Error("the orphan is still there")
	}
	if _, err := os.Stat(temp); err == nil {
		t.Error("the leftover is still there")
	}
	if _, err := sleeper.Commit(t.Context(), Append(late)); !errors.Is(err, ErrFenced) {
		t.Errorf("who slept through the collection commits: %v", err)
	}
	m, err = w.Manifest(t.Context())
	if err != nil || len(m.Dropped) != 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	if got := readBack(t, a, m, ReadConfig{From: m.Start()}); !bytes.Equal(got, kafka.raw(m.Start(), kafka.next)) {
		t.Errorf("read %d bytes", len(got))
	}
}
