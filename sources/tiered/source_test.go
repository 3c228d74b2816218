package tiered_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	live "github.com/seed-73111be4/kappa/sources/kafka"
	"github.com/seed-73111be4/kappa/sources/sourcetest"
	"github.com/seed-73111be4/kappa/sources/tiered"
)

// Cleaner and retention of the brokers look at the logs all the time, for tests of what
// they do to them.
var clusters = testenv.Shared{Options: testenv.Options{Properties: map[string]string{
	"log.retention.check.interval.ms": "200", "log.initial.task.delay.ms": "500", "log.cleaner.backoff.ms": "200",
}}}

func TestMain(m *testing.M) { os.Exit(clusters.Run(m)) }

// rig is a log with an archive.
type rig struct {
	*sourcetest.KafkaLog
	t       *testing.T
	env     *testenv.Cluster
	bucket  *blob.Bucket
	archive *archive.Archive
	after   func(r *rig, p record.Partition) // what follows each write

	compacted bool // the topics are
}

func newRig(t *testing.T, env *testenv.Cluster) *rig {
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { b.Close() })
	return &rig{KafkaLog: sourcetest.NewKafkaLog(t, env), t: t, env: env, bucket: b, archive: archive.New(b, archive.Config{})}
}

func (r *rig) Write(p record.Partition, commit bool, values ...string) {
	r.t.Helper()
	r.KafkaLog.Write(p, commit, values...)
	if r.after != nil {
		r.after(r, p)
	}
}

// keep archives what the archive lacks, as one segment, and returns where it ends.
func (r *rig) keep(p record.Partition) int64 { return r.keepAs(p, p) }

// keepAs archives one partition under the name of another.
func (r *rig) keepAs(p, name record.Partition) int64 { return r.keepIn(p, name, 0) }

// keepIn archives in segments of about the given size; 0: in one.
func (r *rig) keepIn(p, name record.Partition, segmentBytes int64) int64 {
	r.t.Helper()
	ctx := context.Background()
	end := r.Ends(p).LastStable
	w, err := r.archive.Writer(ctx, r.log(name))
	r.must(err)
	for {
		m, err := w.Manifest(ctx)
		r.must(err)
		start := m.Next
		if m.Number == 0 {
			start = r.Ends(p).Start
		}
		s, err := w.SegmentAt(ctx, start, archive.SegmentConfig{MaxBytes: segmentBytes, Compacted: r.compacted})
		r.must(err)
		r.fill(s, p, end)
		sealed, err := s.Seal()
		r.must(err)
		m, err = w.Commit(ctx, archive.Append(sealed))
		r.must(err)
		if m.Next >= end {
			return m.Next
		}
	}
}

// fill copies what Kafka has up to an offset, or until the segment is full.
func (r *rig) fill(s *archive.SegmentWriter, p record.Partition, end int64) {
	r.t.Helper()
	raw := r.Cluster.OpenRaw(p, s.Next())
	defer raw.Close()
	for s.Next() < end && !s.Full() {
		b, err := raw.Next(context.Background())
		r.must(err)
		f := archive.Fetched{Raw: b.Batches, Stable: b.LastStable}
		for _, a := range b.Aborted {
			f.Aborted = append(f.Aborted, archive.AbortedTxn{ProducerID: a.ProducerID, First: a.FirstOffset, Last: archive.OpenEnd})
		}
		_, err = s.Append(f)
		r.must(err)
	}
}

// log names a partition's archive.
func (r *rig) log(p record.Partition) archive.Log {
	return archive.Log{Cluster: r.Cluster.ID(), Topic: p.Topic, TopicID: r.Ends(p).TopicID, Partition: p.Partition}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) open(change func(*tiered.Config)) *tiered.Source {
	r.t.Helper()
	l, err := live.Open(r.Cluster, kafka.FetchConfig{})
	r.must(err)
	c := tiered.Config{Archive: r.archive, Live: l, Cluster: r.Cluster, Near: -1}
	if change != nil {
		change(&c)
	}
	return tiered.Open(c)
}

// Whatever part of the log is in the archive, and whatever is left in Kafka, the
// source is as good as Kafka alone.
func TestArchiveAndKafkaAreOneSource(t *testing.T) {
	for name, after := range map[string]func(*rig, record.Partition){
		"nothing is archived":           nil,
		"everything is, Kafka has it":   func(r *rig, p record.Partition) { r.keep(p) },
		"everything is, Kafka forgets":  func(r *rig, p record.Partition) { r.Cut(p, r.keep(p)) },
		"the first write, Kafka has it": func(r *rig, p record.Partition) { r.keepFirst(p, false) },
		"the first write, Kafka cut it": func(r *rig, p record.Partition) { r.keepFirst(p, true) },
	} {
		t.Run(name, func(t *testing.T) {
			clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
				sourcetest.Run(t, func(t *testing.T) sourcetest.Bed {
					r := newRig(t, env)
					r.after = after
					return sourcetest.Bed{Log: r, Source: r.open(nil)}
				})
			})
		})
	}
}

// keepFirst archives what there is, unless something is archived.
func (r *rig) keepFirst(p record.Partition, cut bool) {
	_, err := r.archive.Latest(context.Background(), archive.Log{Cluster: r.Cluster.ID(), Topic: p.Topic, TopicID: r.Ends(p).TopicID, Partition: p.Partition})
	if !errors.Is(err, archive.ErrNotArchived) {
		r.must(err)
		return
	}
	if end := r.keep(p); cut {
		r.Cut(p, end)
	}
}

// collect polls until a partition has reached an offset, and returns the values.
func collect(t *testing.T, s *tiered.Source, p record.Partition, to int64) (values []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		fetched, err := s.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range fetched {
			f := &fetched[i]
			if f.Partition != p {
				t.Fatalf("of %s", f.Partition)
			}
			if f.Err != nil {
				t.Fatal(f.Err)
			}
			for _, r := range f.Records {
				values = append(values, string(r.Value))
			}
			next := f.Next
			f.Release()
			if next >= to {
				return values
			}
		}
	}
}

// In one segment there may be aborted and committed transactions of one producer; what
// an abort ended before the offset asked for says nothing about what follows.
func TestAnArchiveIsReadFromEachOfItsOffsets(t *testing.T) {
	r := newRig(t, testenv.Fake(t))
	p := record.Partition{Topic: r.Topic(1)}
	r.Write(p, false, "x", "y")
	r.Write(p, true, "a")
	r.Write(p, false, "z")
	r.Write(p, true, "b", "c")
	end := r.keep(p)
	r.Cut(p, end)
	s := r.open(nil)
	defer s.Close()
	for from := range end {
		s.Seek(sources.Seek{Partition: p, Offset: from, Epoch: uint64(from)})
		var want []string
		for i, v := range []string{"", "", "", "a", "", "", "", "b", "c", ""} {
			if v != "" && int64(i) >= from {
				want = append(want, v)
			}
		}
		if got := collect(t, s, p, end); !slices.Equal(got, want) {
			t.Errorf("from %d: %q, want %q", from, got, want)
		}
	}
}
