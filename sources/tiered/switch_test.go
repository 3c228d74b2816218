package tiered_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	"github.com/seed-73111be4/kappa/sources/tiered"
)

// failure polls until a partition fails, and returns what came before.
func failure(t *testing.T, s *tiered.Source) (values []string, failed error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for failed == nil {
		fetched, err := s.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range fetched {
			for _, r := range fetched[i].Records {
				values = append(values, string(r.Value))
			}
			failed = fetched[i].Err
			fetched[i].Release()
		}
	}
	return values, failed
}

func fakeRig(t *testing.T) (*rig, record.Partition) {
	t.Helper()
	r := newRig(t, testenv.Fake(t))
	return r, record.Partition{Topic: r.Topic(1)}
}

// loseSegments deletes every segment, and no manifest.
func (r *rig) loseSegments() {
	r.t.Helper()
	ctx := context.Background()
	for it := r.bucket.List(nil); ; {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return
		}
		r.must(err)
		if strings.HasSuffix(o.Key, ".log") {
			r.must(r.bucket.Delete(ctx, o.Key))
		}
	}
}

func TestAGapBetweenArchiveAndKafkaIsNamed(t *testing.T) {
	r, p := fakeRig(t)
	r.Write(p, true, "a", "b")
	r.keep(p)
	r.Write(p, true, "lost")
	r.Write(p, true, "c")
	r.Cut(p, 5)
	s := r.open(nil)
	defer s.Close()
	s.Seek(sources.Seek{Partition: p})
	values, err := failure(t, s)
	var gap *tiered.GapError
	if !errors.As(err, &gap) || gap.From != 3 || gap.To != 5 || gap.Partition != p || !errors.Is(err, archive.ErrGap) {
		t.Errorf("%v", err)
	}
	if !slices.Equal(values, []string{"a", "b"}) {
		t.Errorf("before the gap: %q", values)
	}
	s.Seek(sources.Seek{Partition: p, Offset: 5})
	if got := collect(t, s, p, 7); !slices.Equal(got, []string{"c"}) {
		t.Errorf("after the gap: %q", got)
	}
}

func TestAPartitionThatRetentionOvertakesGoesBackToTheArchive(t *testing.T) {
	r, p := fakeRig(t)
	r.Write(p, true, "a")
	r.keep(p)
	s := r.open(nil)
	defer s.Close()
	s.Seek(sources.Seek{Partition: p})
	got := collect(t, s, p, 2)
	want := []string{"a"}
	for round := range 5 {
		s.Pause(p)
		for i := range 20 {
			v := fmt.Sprintf("v%d.%d", round, i)
			r.Write(p, true, v)
			want = append(want, v)
		}
		end := r.keep(p)
		r.Cut(p, end)
		s.Resume(p)
		got = append(got, collect(t, s, p, end)...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestAnArchiveOfOtherRecordsIsNotJoined(t *testing.T) {
	r, p := fakeRig(t)
	other := record.Partition{Topic: r.Topic(1)}
	r.Write(p, true, "a", "b")
	r.Write(other, true, "a", "not b")
	r.keepAs(other, p)
	s := r.open(nil)
	defer s.Close()
	s.Seek(sources.Seek{Partition: p})
	if _, err := failure(t, s); !errors.Is(err, tiered.ErrDiverged) || !strings.Contains(err.Error(), p.String()) {
		t.Errorf("%v", err)
	}
}

func TestALostSegmentIsNamed(t *testing.T) {
	r, p := fakeRig(t)
	r.Write(p, true, "a", "b")
	r.Cut(p, r.keep(p))
	r.loseSegments()
	s := r.open(nil)
	defer s.Close()
	s.Seek(sources.Seek{Partition: p})
	if _, err := failure(t, s); !errors.Is(err, archive.ErrMissing) || !strings.Contains(err.Error(), ".log") {
		t.Errorf("%v", err)
	}
}

func TestABucketThatIsAwayStopsNobodyWhomKafkaCanServe(t *testing.T) {
	r, p := fakeRig(t)
	r.Write(p, true, "a", "b")
	r.keep(p)
	r.bucket.Close()
	s := r.open(nil)
	defer s.Close()
	s.Seek(sources.Seek{Partition: p})
	if got := collect(t, s, p, 3); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
}

func TestARestartNearTheEndAsksKafkaAlone(t *testing.T) {
	r, p := fakeRig(t)
	r.Write(p, true, "a", "b")
	r.Write(p, true, "c")
	r.keep(p)
	r.loseSegments()
	s := r.open(func(c *tiered.Config) { c.Near = 5 })
	defer s.Close()
	s.Seek(sources.Seek{Partition: p, Offset: 1})
	if got := collect(t, s, p, 5); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("%q", got)
	}
}

// A partition whose history is late in time waits for one whose history is early; one
// that has come to its end, or has none, holds nobody back.
func TestHistoryIsMergedByTimeWithinTheSkew(t *testing.T) {
	r := newRig(t, testenv.Fake(t))
	topic := r.Topic(3)
	early, late := record.Partition{Topic: topic}, record.Partition{Topic: topic, Partition: 1}
	const hour = 3_600_000
	for i := range int64(10) {
		r.Shift = i * hour
		r.Write(early, true, fmt.Sprint("e", i))
		r.keep(early)
		r.Shift = (10 + i) * hour
		r.Write(late, true, fmt.Sprint("l", i))
		r.keep(late)
	}
	s := r.open(func(c *tiered.Config) { c.Skew = 2 * time.Hour })
	defer s.Close()
	for i := range int32(3) {
		s.Seek(sources.Seek{Partition: record.Partition{Topic: topic, Partition: i}, Epoch: uint64(i)})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var seen []string
	newest := int64(0)
	for len(seen) < 20 {
		fetched, err := s.Poll(ctx)
		if err != nil {
			t.Fatalf("%v; seen %q", err, seen)
		}
		for i := range fetched {
			for _, rec := range fetched[i].Records {
				if rec.Timestamp < newest-3*hour {
					t.Errorf("%s comes %v after a record of its future", rec.Value, time.Duration(newest-rec.Timestamp)*time.Millisecond)
				}
				newest = max(newest, rec.Timestamp)
				seen = append(seen, string(rec.Value))
			}
			fetched[i].Release()
		}
	}
	r.Write(early, true, "now")
	if got := collect(t, s, early, 22); !slices.Equal(got, []string{"now"}) {
		t.Errorf("%q", got)
	}
}

func TestTheArchivesBeginningIsTheSources(t *testing.T) {
	r, p := fakeRig(t)
	r.Write(p, true, "a", "b")
	r.Cut(p, r.keep(p))
	r.Write(p, true, "c")
	s := r.open(nil)
	defer s.Close()
	ends, err := s.Ends(t.Context(), p)
	if err != nil || ends[p].Start != 0 || ends[p].HighWatermark != 5 {
		t.Errorf("%+v, %v", ends[p], err)
	}
}
