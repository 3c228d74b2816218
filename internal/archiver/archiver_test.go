package archiver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/archive/bucket"
	"github.com/seed-73111be4/kappa/archive/buckettest"
	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources/sourcetest"
)

// clusters have a cleaner that comes soon.
var clusters = testenv.Shared{Options: testenv.Options{Properties: map[string]string{"log.cleaner.backoff.ms": "1000"}}}

func TestMain(m *testing.M) { os.Exit(clusters.Run(m)) }

// rig is a cluster with an archive.
type rig struct {
	*sourcetest.KafkaLog
	t       testing.TB
	env     *testenv.Cluster
	url     string
	archive *archive.Archive
	log     *slog.Logger
}

func newRig(t testing.TB, env *testenv.Cluster) *rig {
	t.Helper()
	url := "file://" + t.TempDir()
	return &rig{KafkaLog: sourcetest.NewKafkaLog(t, env), t: t, env: env, url: url, archive: openArchive(t, url),
		log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

func openArchive(t testing.TB, url string) *archive.Archive {
	t.Helper()
	b, err := bucket.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return archive.New(b, archive.Config{Backoff: func(int) time.Duration { return time.Millisecond }})
}

// running is an archiver that runs.
type running struct {
	*archiver.Archiver
	stop func() // and wait
}

// start runs an archiver until the test ends or it is stopped.
func (r *rig) start(topics archiver.Patterns, change func(*archiver.Config)) *running {
	r.t.Helper()
	c := archiver.Config{
		Cluster: r.Cluster, Archive: r.archive, Topics: topics, Group: testenv.Name(r.t), Log: r.log,
		SegmentAge: 50 * time.Millisecond, ScanEvery: 20 * time.Millisecond, TopicsEvery: 100 * time.Millisecond, StopTimeout: 10 * time.Second,
	}
	if change != nil {
		change(&c)
	}
	a, err := archiver.New(c)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("the archiver ended: %v", err)
		}
	})
	r.t.Cleanup(stop)
	return &running{a, stop}
}

// onS3 puts the rig's archive on a real S3 server, and returns it.
func (r *rig) onS3() *buckettest.S3 {
	r.t.Helper()
	s3 := buckettest.Real(r.t)
	r.url = s3.URL()
	r.archive = openArchive(r.t, r.url)
	return s3
}

// of returns the log of a partition, as it is now.
func (r *rig) of(p record.Partition) archive.Log {
	return archive.Log{Cluster: r.Cluster.ID(), Topic: p.Topic, TopicID: r.Ends(p).TopicID, Partition: p.Partition}
}

// eventually polls until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// reaches waits until the archive of a partition ends where the log does, and returns
// its manifest.
func (r *rig) reaches(p record.Partition) (m *archive.Manifest) {
	r.t.Helper()
	l, end := r.of(p), r.Ends(p).LastStable
	eventually(r.t, fmt.Sprintf("%s is archived up to %d", p, end), func() bool {
		var err error
		m, err = r.archive.Latest(context.Background(), l)
		if err != nil && !errors.Is(err, archive.ErrNotArchived) {
			r.t.Fatal(err)
		}
		return err == nil && m.Next >= end
	})
	return m
}

// inArchive returns the bytes that the archive has from an offset on.
func (r *rig) inArchive(m *archive.Manifest, from int64) []byte {
	r.t.Helper()
	reader, err := r.archive.Read(m, archive.ReadConfig{From: from})
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	var all []byte
	for {
		c, err := reader.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, c.Raw...)
		c.Release()
	}
}

// inKafka returns the bytes that the broker has of [from, until).
func (r *rig) inKafka(p record.Partition, from, until int64) []byte {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reader := r.Cluster.OpenRaw(p, from)
	defer reader.Close()
	var all []byte
	for next := from; next < until; {
		raw, err := reader.Next(ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		for b, err := range archive.Batches(raw.Batches) {
			if err != nil || b.LastOffset() >= until {
				break
			}
			if b.LastOffset() >= next {
				all, next = append(all, b.Raw...), b.LastOffset()+1
			}
		}
	}
	return all
}

// same demands that the archive is what the log is, byte for byte, and sound.
func (r *rig) same(p record.Partition) *archive.Manifest {
	r.t.Helper()
	m := r.reaches(p)
	from := max(m.Start(), r.Ends(p).Start)
	if got, want := r.inArchive(m, from), r.inKafka(p, from, m.Next); !bytes.Equal(got, want) {
		r.t.Errorf("%s: the archive has %d bytes, Kafka %d, or others", p, len(got), len(want))
	}
	v, err := r.archive.Verify(context.Background(), m, archive.VerifyConfig{Deep: true})
	if err != nil || len(v.Damage) > 0 {
		r.t.Errorf("%s: %v, %v", p, v.Damage, err)
	}
	return m
}

func values(from, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("value-%06d", from+i)
	}
	return list
}

func TestTopicsAreArchivedByteForByte(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		if env.Kind() == testenv.KafkaTV2 {
			r.onS3()
		}
		one, three := r.Topic(1), r.Topic(3)
		r.Write(record.Partition{Topic: one}, true, values(0, 50)...)
		a := r.start(archiver.Patterns{one, three}, nil)
		for i := range 5 {
			for p := range int32(3) {
				r.Write(record.Partition{Topic: three, Partition: p}, i != 3, values(10*i, 10)...)
			}
		}
		r.same(record.Partition{Topic: one})
		for p := range int32(3) {
			r.same(record.Partition{Topic: three, Partition: p})
		}
		eventually(t, "the figures tell of four partitions without lag", func() bool {
			s := a.Stats()
			for _, p := range s.Partitions {
				if p.Lag != 0 || p.Err != nil || p.Segments == 0 {
					return false
				}
			}
			return len(s.Partitions) == 4 && s.Topics[three].Segments >= 3
		})
	})
}

// forever describes a topic that keeps its records, whose timestamps are of 1970.
func forever(name string, partitions int32) kafka.TopicSpec {
	return kafka.TopicSpec{Name: name, Partitions: partitions, Config: map[string]string{"retention.ms": "-1"}}
}

func TestNewTopicsAndPartitionsAreFound(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		first := r.Topic(1)
		r.start(archiver.Patterns{testenv.Name(t) + "*", first[:len(first)-1] + "*", first}, nil)
		r.Write(record.Partition{Topic: first}, true, "a")
		r.same(record.Partition{Topic: first})
		later := first + "-later"
		if _, err := r.Cluster.CreateTopics(t.Context(), forever(later, 2)); err != nil {
			t.Fatal(err)
		}
		r.Write(record.Partition{Topic: later, Partition: 1}, true, "b", "c")
		m := r.same(record.Partition{Topic: later, Partition: 1})
		if m.Partitions != 2 {
			t.Errorf("the manifest says %d partitions", m.Partitions)
		}
	})
}

func TestWhatKafkaDeletedBeforeIsNamedAndAcceptedOnlyWhenTold(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		p := record.Partition{Topic: r.Topic(1)}
		a := r.start(archiver.Patterns{p.Topic}, nil)
		r.Write(p, true, values(0, 10)...)
		end := r.same(p).Next
		a.stop()

		r.Write(p, true, values(10, 10)...)
		r.Cut(p, r.Ends(p).LastStable-3)
		start := r.Ends(p).Start
		a = r.start(archiver.Patterns{p.Topic}, nil)
		var lost *archiver.LostError
		eventually(t, "the gap is named", func() bool {
			return errors.As(a.Ready(), &lost)
		})
		if lost.From != end || lost.To != start || !errors.Is(lost, archive.ErrGap) {
			t.Errorf("%v; want [%d, %d)", lost, end, start)
		}
		if c := a.Stats().Topics[p.Topic]; c.Gaps != 1 || c.LostOffsets != start-end {
			t.Errorf("counted %+v", c)
		}
		a.stop()

		a = r.start(archiver.Patterns{p.Topic}, func(c *archiver.Config) { c.AcceptGaps = true })
		m := r.reaches(p)
		if len(m.Gaps) != 1 || m.Gaps[0].From != end || m.Gaps[0].To != start {
			t.Errorf("gaps %+v", m.Gaps)
		}
		if got, want := r.inArchive(m, start), r.inKafka(p, start, m.Next); !bytes.Equal(got, want) {
			t.Error("behind the gap the archive differs")
		}
		eventually(t, "the gap is counted", func() bool { return a.Stats().Topics[p.Topic].Gaps == 1 })
	})
}

func TestARecreatedTopicIsAnotherHistory(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		p := record.Partition{Topic: r.Topic(1)}
		r.start(archiver.Patterns{p.Topic}, nil)
		r.Write(p, true, values(0, 10)...)
		old := r.same(p)
		if err := r.Cluster.DeleteTopics(t.Context(), p.Topic); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the topic can be made anew", func() bool {
			made, err := r.Cluster.CreateTopics(t.Context(), forever(p.Topic, 1))
			return err == nil && len(made) == 1
		})
		again := sourcetest.NewKafkaLog(t, env) // a producer that knows nothing of the old topic
		again.Write(p, true, values(100, 25)...)
		r.KafkaLog = again
		m := r.same(p)
		if m.Log.TopicID == old.Log.TopicID {
			t.Fatal("the histories were mixed")
		}
		still, err := r.archive.Latest(t.Context(), old.Log)
		if err != nil || still.Next != old.Next {
			t.Errorf("the old history: %+v, %v", still, err)
		}
	})
}

func TestTwoArchiversShareAndOneOfOnePartitionWins(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		topic := r.Topic(4)
		// Two groups: each has all partitions, as a zombie would.
		a, b := r.start(archiver.Patterns{topic}, nil), r.start(archiver.Patterns{topic}, nil)
		group := testenv.Name(t)
		grouped := func(c *archiver.Config) { c.Group = group }
		c, d := r.start(archiver.Patterns{topic}, grouped), r.start(archiver.Patterns{topic}, grouped)
		for i := range 20 {
			for p := range int32(4) {
				r.Write(record.Partition{Topic: topic, Partition: p}, i%4 != 1, values(10*i, 5)...)
			}
		}
		eventually(t, "two members have two partitions each", func() bool {
			return len(c.Stats().Partitions) == 2 && len(d.Stats().Partitions) == 2
		})
		for p := range int32(4) {
			r.same(record.Partition{Topic: topic, Partition: p})
		}
		fences := a.Stats().Topics[topic].Fences + b.Stats().Topics[topic].Fences
		t.Logf("%d jobs were fenced", fences)
		c.stop()
		eventually(t, "the other one has all", func() bool { return len(d.Stats().Partitions) == 4 })
	})
}

func TestSmallSegmentsAreMerged(t *testing.T) {
	r := newRig(t, testenv.Fake(t))
	p := record.Partition{Topic: r.Topic(1)}
	a := r.start(archiver.Patterns{p.Topic}, func(c *archiver.Config) {
		c.SegmentAge, c.TendEvery, c.Grace = 10*time.Millisecond, 50*time.Millisecond, time.Millisecond
	})
	for i := range 40 {
		r.Write(p, i%3 != 0, values(10*i, 10)...)
		r.reaches(p)
	}
	eventually(t, "segments are merged", func() bool {
		s := a.Stats()
		return s.Topics[p.Topic].Merges > 0 && s.Partitions[0].Segments < 20
	})
	a.stop()
	r.same(p)
}

func TestRetentionRemovesWholeSegments(t *testing.T) {
	r := newRig(t, testenv.Fake(t))
	p := record.Partition{Topic: r.Topic(1)}
	a := r.start(archiver.Patterns{p.Topic}, func(c *archiver.Config) {
		c.SegmentBytes, c.TendEvery, c.Grace = 1000, 50*time.Millisecond, time.Millisecond
		c.Retention = []archiver.Retention{{Topics: archiver.Patterns{"*"}, Bytes: 3000}}
	})
	for i := range 30 {
		r.Write(p, true, values(10*i, 10)...)
	}
	m := r.reaches(p)
	eventually(t, "old segments go", func() bool {
		var err error
		if m, err = r.archive.Latest(t.Context(), m.Log); err != nil {
			t.Fatal(err)
		}
		return m.Start() > 0 && m.Bytes() < 6000
	})
	a.stop()
	r.same(p)
}
