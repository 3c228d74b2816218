package archive

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/seed-73111be4/kappa/archive/buckettest"
)

func TestAManifestWhoseFateIsUnknownIsToldByReload(t *testing.T) {
	for name, f := range map[string]buckettest.Fault{
		"created":     {Method: http.MethodPut, Serve: createAndForbid},
		"not created": buckettest.Status(http.MethodPut, "", 1, 403, "AccessDenied"),
	} {
		t.Run(name, func(t *testing.T) {
			s3, a := onS3(t)
			w := writer(t, a)
			kafka := randomBroker(8, 20)
			sealed, err := seal(t.Context(), w, kafka, SegmentConfig{}, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			f.Times, f.Key = 1, manifestFolder
			s3.Fault(f)
			s3.Fault(buckettest.Status(http.MethodGet, manifestFolder, 1000, 403, "AccessDenied"))
			if _, err := w.Commit(t.Context(), Append(sealed)); !errors.Is(err, ErrUnknownOutcome) {
				t.Fatalf("commit: %v", err)
			}
			if _, err := w.Commit(t.Context(), Append(sealed)); !errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("a commit before the reload: %v", err)
			}
			s3.Clear()
			m, err := w.Reload(t.Context())
			if err != nil || (m.Next == kafka.next) != (name == "created") {
				t.Fatalf("after the reload: %+v, %v", m, err)
			}
			m = archiveAll(t, w, kafka, 1<<20)
			if got := readBack(t, a, m, ReadConfig{}); !bytes.Equal(got, kafka.raw(0, kafka.next)) {
				t.Errorf("read %d bytes", len(got))
			}
		})
	}
}

// createAndForbid does what is asked and says that it has not.
func createAndForbid(w http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	buckettest.Status("", "", 1, 403, "AccessDenied").Serve(w, r, next)
}

// TestCrashesAtEveryWrite stops a writer at each of its writes, before and after it is
// done, and lets another one go on.
func TestCrashesAtEveryWrite(t *testing.T) {
	kafka := randomBroker(9, 60)
	for _, done := range []bool{false, true} {
		for writes := 0; ; writes++ {
			s3, a := onS3(t)
			crash(s3, writes, done)
			err := archiveMergeCollect(t.Context(), a, kafka)
			if err == nil {
				if writes < 20 {
					t.Fatalf("only %d writes", writes)
				}
				break // it never came to that many
			}
			s3.Clear()
			restarted := New(a.bucket, config(1<<32))
			if err := archiveMergeCollect(t.Context(), restarted, kafka); err != nil {
				t.Fatalf("after a crash at write %d (done %v): %v", writes, done, err)
			}
			m, err := restarted.Latest(t.Context(), testLog)
			if err != nil {
				t.Fatal(err)
			}
			if got := readBack(t, restarted, m, ReadConfig{ChunkBytes: 1_000}); !bytes.Equal(got, kafka.raw(0, kafka.next)) {
				t.Fatalf("after a crash at write %d (done %v) %d bytes are read, want %d", writes, done, len(got), len(kafka.raw(0, kafka.next)))
			}
			v, err := restarted.Verify(t.Context(), m, VerifyConfig{Deep: true})
			if err != nil || len(v.Damage)+len(v.Orphans) > 0 || len(m.Dropped) > 0 {
				t.Fatalf("after a crash at write %d (done %v): %+v, dropped %v, %v", writes, done, v, m.Dropped, err)
			}
		}
	}
}

// crash lets a number of writes pass; then nothing is answered any more. With done the
// last one is carried out, and its answer lost.
func crash(s3 *buckettest.S3, writes int, done bool) {
	var n atomic.Int64
	s3.Fault(buckettest.Fault{Times: 1 << 30, Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		write := r.Method != http.MethodGet && r.Method != http.MethodHead
		k := n.Load()
		if write {
			k = n.Add(1) - 1
		}
		if k < int64(writes) || !write && k == int64(writes) {
			next.ServeHTTP(w, r)
			return
		}
		if write && done && k == int64(writes) {
			next.ServeHTTP(httptest.NewRecorder(), r)
		}
		buckettest.Status("", "", 1, 403, "AccessDenied").Serve(w, r, next)
	}})
}

// archiveMergeCollect is an archiver's life: archive all, merge, drop, remove.
func archiveMergeCollect(ctx context.Context, a *Archive, kafka *broker) error {
	w, err := a.Writer(ctx, testLog)
	if err != nil {
		return err
	}
	m, err := w.Manifest(ctx)
	for err == nil && m.Next < kafka.next {
		m, err = step(ctx, w, kafka, SegmentConfig{MaxBytes: 2_000}, 1_000)
	}
	if err != nil {
		return err
	}
	policy := MergePolicy{TargetBytes: 8_000, Fan: 2}
	for runs := policy.Plan(m); len(runs) > 0; runs = policy.Plan(m) {
		sealed, err := w.Merge(ctx, runs[0], SegmentConfig{})
		if err != nil {
			return err
		}
		if m, err = w.Commit(ctx, Replace(runs[0], sealed)); err != nil {
			return err
		}
	}
	a.c.Now = func() time.Time { return time.Now().Add(1000 * time.Hour) }
	_, err = w.Collect(ctx, CollectConfig{Manifests: 1})
	return err
}

// Two archivers of one partition, at the same time, on every kind of bucket: each
// manifest has one winner, and nothing is there twice.
func TestTwoWritersNeverBothExtendAnArchive(t *testing.T) {
	eachBucket(t, func(t *testing.T, b *blob.Bucket) {
		kafka := randomBroker(10, 150)
		var commits atomic.Int64
		var wg sync.WaitGroup
		for i := range uint64(3) {
			wg.Go(func() {
				if err := compete(t.Context(), New(b, config(i<<40)), kafka, &commits); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		a := New(b, config(9<<40))
		m, err := a.Latest(t.Context(), testLog)
		if err != nil {
			t.Fatal(err)
		}
		if m.Number != uint64(commits.Load()) {
			t.Errorf("%d commits have succeeded, the newest manifest is number %d", commits.Load(), m.Number)
		}
		if got := readBack(t, a, m, ReadConfig{ChunkBytes: 3_000}); !bytes.Equal(got, kafka.raw(0, kafka.next)) {
			t.Errorf("read %d bytes, want %d", len(got), len(kafka.raw(0, kafka.next)))
		}
		if v, err := a.Verify(t.Context(), m, VerifyConfig{}); err != nil || len(v.Damage) > 0 {
			t.Errorf("verification: %+v, %v", v, err)
		}
	})
}

// compete archives to the end beside others.
func compete(ctx context.Context, a *Archive, kafka *broker, commits *atomic.Int64) error {
	w, err := a.Writer(ctx, testLog)
	if err != nil {
		return err
	}
	m, err := w.Manifest(ctx)
	for err == nil && m.Next < kafka.next {
		m, err = step(ctx, w, kafka, SegmentConfig{MaxBytes: 1_500}, 700)
		if err == nil {
			commits.Add(1)
			continue
		}
		if !errors.Is(err, ErrFenced) {
			return err
		}
		m, err = w.Reload(ctx)
	}
	return err
}

func TestAWriterThatSleptIsFencedAndNamesTheOther(t *testing.T) {
	a := inMemory(t)
	kafka := randomBroker(11, 60)
	sleeper, other := writer(t, a), writer(t, a)
	sealed, err := seal(t.Context(), sleeper, kafka, SegmentConfig{MaxBytes: 1_000}, 500)
	if err != nil {
		t.Fatal(err)
	}
	archiveAll(t, other, kafka, 1_500)
	_, err = sleeper.Commit(t.Context(), Append(sealed))
	var fenced *FencedError
	if !errors.As(err, &fenced) || fenced.By != other.ID() || fenced.Number != 1 || !strings.Contains(err.Error(), other.ID().String()) {
		t.Fatalf("commit: %v", err)
	}
	if _, err := sleeper.Segment(t.Context(), SegmentConfig{}); !errors.Is(err, ErrFenced) {
		t.Errorf("a segment before the reload: %v", err)
	}
	if _, err := sleeper.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := sleeper.Commit(t.Context(), Append(sealed)); !errors.Is(err, ErrContradiction) {
		t.Errorf("the old segment after the reload: %v", err)
	}
}

// A zombie finds its number free again, because it was removed as too old.
func TestAWriterThatSleptThroughTheRemovalOfManifestsIsFenced(t *testing.T) {
	a := inMemory(t)
	a.c.Now = func() time.Time { return time.Now().Add(1000 * time.Hour) }
	kafka := randomBroker(12, 60)
	first := writer(t, a)
	if _, err := step(t.Context(), first, kafka, SegmentConfig{MaxBytes: 500}, 500); err != nil {
		t.Fatal(err)
	}
	zombie, reader := writer(t, a), writer(t, a)
	sealed, err := seal(t.Context(), zombie, kafka, SegmentConfig{MaxBytes: 500}, 500)
	if err != nil {
		t.Fatal(err)
	}
	m := archiveAll(t, first, kafka, 700)
	if _, err := first.Collect(t.Context(), CollectConfig{Manifests: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := zombie.Commit(t.Context(), Append(sealed)); !errors.Is(err, ErrFenced) {
		t.Fatalf("the zombie's commit: %v", err)
	}
	old, err := reader.Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if now, err := a.Refresh(t.Context(), old); err != nil || now.Number < m.Number {
		t.Errorf("who had read manifest %d refreshes to %d, %v; the newest is at least %d", old.Number, now.Number, err, m.Number)
	}
	if now, err := a.Latest(t.Context(), testLog); err != nil || now.Next != kafka.next {
		t.Errorf("the newest manifest: %+v, %v", now, err)
	}
}

// What one sleeper has put under a number that was removed, and did not live to take
// back, must not make another believe that its own manifest follows it.
func TestWritersThatSleptDoNotFollowEachOther(t *testing.T) {
	a := inMemory(t)
	a.c.Now = func() time.Time { return time.Now().Add(1000 * time.Hour) }
	kafka := randomBroker(12, 60)
	first := writer(t, a)
	archive := func() *Manifest {
		t.Helper()
		m, err := step(t.Context(), first, kafka, SegmentConfig{MaxBytes: 500}, 500)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	archive()
	dies := writer(t, a)
	archive()
	sleeps, reader := writer(t, a), writer(t, a)
	known, err := reader.Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal(t.Context(), sleeps, kafka, SegmentConfig{MaxBytes: 500}, 500)
	if err != nil {
		t.Fatal(err)
	}
	m := archiveAll(t, first, kafka, 700)
	if _, err := first.Collect(t.Context(), CollectConfig{Manifests: 1}); err != nil {
		t.Fatal(err)
	}

	stray, err := dies.next(nil)
	if err != nil || stray.Number != known.Number {
		t.Fatalf("the one that dies makes manifest %d, %v; the sleeper knows %d", stray.Number, err, known.Number)
	}
	if err := a.create(t.Context(), testLog.manifestKey(stray.Number), stray.encode()); err != nil {
		t.Fatal(err)
	}
	if _, err := sleeps.Commit(t.Context(), Append(sealed)); !errors.Is(err, ErrFenced) {
		t.Errorf("the sleeper's commit: %v", err)
	}
	if now, err := a.Refresh(t.Context(), known); err != nil || now.Number < m.Number {
		t.Errorf("who had read manifest %d refreshes to %d, %v; the newest is at least %d", known.Number, now.Number, err, m.Number)
	}
}

func TestAListingThatLagsBehindIsCaughtUpWith(t *testing.T) {
	s3, a := onS3(t)
	kafka := randomBroker(13, 40)
	w := writer(t, a)
	if _, err := step(t.Context(), w, kafka, SegmentConfig{MaxBytes: 500}, 500); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var old *httptest.ResponseRecorder
	s3.Fault(buckettest.Fault{Times: 1 << 30, Method: http.MethodGet, Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !r.URL.Query().Has("list-type") {
			next.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if old == nil {
			old = httptest.NewRecorder()
			next.ServeHTTP(old, r)
		}
		w.Header().Set("Content-Type", "application/xml")
		w.Write(old.Body.Bytes())
	}})
	first, err := a.Latest(t.Context(), testLog)
	if err != nil {
		t.Fatal(err)
	}
	m := archiveAll(t, w, kafka, 500)
	if m.Number < farBehind+3 {
		t.Fatalf("only %d manifests", m.Number)
	}
	if got, err := a.Latest(t.Context(), testLog); err != nil || got.Number != m.Number {
		t.Errorf("latest: %+v, %v; want number %d", got, err, m.Number)
	}
	if got, err := a.Refresh(t.Context(), first); err != nil || got.Number != m.Number {
		t.Errorf("refresh: %+v, %v; want number %d", got, err, m.Number)
	}
}

func TestHowManyRequestsItTakes(t *testing.T) {
	s3, a := onS3(t)
	kafka := randomBroker(14, 100)
	w := writer(t, a)
	m := archiveAll(t, w, kafka, 2_000)
	count := func(what string, want int, f func() error) {
		t.Helper()
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead} {
			s3.Requests(method)
		}
		if err := f(); err != nil {
			t.Fatal(err)
		}
		if n := s3.Requests(http.MethodGet) + s3.Requests(http.MethodPut) + s3.Requests(http.MethodHead); n != want {
			t.Errorf("%s takes %d requests, want %d", what, n, want)
		}
	}
	count("a refresh without news", 2, func() error { _, err := a.Refresh(t.Context(), m); return err })
	count("the newest manifest", 3, func() error { _, err := a.Latest(t.Context(), testLog); return err })
	count("reading small segments", len(m.Segments), func() error { _, err := readSome(t.Context(), a, m, ReadConfig{}); return err })
	one := m.Segments[3]
	count("reading from the middle of a large segment", 2, func() error {
		_, err := readSome(t.Context(), a, m, ReadConfig{From: one.Start + 1, Until: one.Start + 2, ChunkBytes: 1_500})
		return err
	})
	kafka.add(batchSpec{base: kafka.next, n: 1}.batch())
	count("a segment and its commit", 3, func() error { _, err := step(t.Context(), w, kafka, SegmentConfig{}, 1<<20); return err })
}

func TestSegmentsInPartsAreStreamedAndAbandonedWhole(t *testing.T) {
	s3, a := onS3(t)
	w := writer(t, a)
	kafka := &broker{}
	for range 45 { // the client of S3 uses parts from 16 MiB on
		kafka.add(batchSpec{base: kafka.next, n: 500, pad: 1_000}.batch())
	}
	s, err := w.Segment(t.Context(), SegmentConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(kafka.fetch(0, 18<<20)); err != nil {
		t.Fatal(err)
	}
	s.Abort()
	if got := keysOf(t, a, ""); len(got) != 0 {
		t.Fatalf("an abandoned segment has left %q", got)
	}
	s3.Requests(http.MethodPut)
	m := archiveAll(t, w, kafka, 100<<20)
	if n := s3.Requests(http.MethodPut); n < 4 {
		t.Errorf("%d puts for %d bytes: it was not sent in parts", n, m.Bytes())
	}
	if got := readBack(t, a, m, ReadConfig{ChunkBytes: 1 << 20}); !bytes.Equal(got, kafka.raw(0, kafka.next)) {
		t.Errorf("read %d bytes", len(got))
	}
}

func TestMergesRunBesideAppends(t *testing.T) {
	a := inMemory(t)
	kafka := randomBroker(15, 300)
	w := writer(t, a)
	done := make(chan error, 1)
	go func() {
		m, err := w.Manifest(t.Context())
		for err == nil && m.Next < kafka.next {
			m, err = step(t.Context(), w, kafka, SegmentConfig{MaxBytes: 700}, 300)
		}
		done <- err
	}()
	merges := 0
	for archived := false; ; {
		m, err := w.Manifest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		runs := MergePolicy{TargetBytes: 1 << 20, Fan: 3}.Plan(m)
		if len(runs) == 0 && archived {
			break
		}
		if len(runs) > 0 {
			sealed, err := w.Merge(t.Context(), runs[0], SegmentConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Commit(t.Context(), Replace(runs[0], sealed)); err != nil {
				t.Fatal(err)
			}
			merges++
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			archived = true
		default:
		}
	}
	m, err := a.Latest(t.Context(), testLog)
	if err != nil || merges == 0 {
		t.Fatal(merges, err)
	}
	if got := readBack(t, a, m, ReadConfig{}); !bytes.Equal(got, kafka.raw(0, kafka.next)) {
		t.Errorf("read %d bytes after %d merges", len(got), merges)
	}
}
