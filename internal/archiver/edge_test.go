package archiver_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// Segments that end amid a transaction still tell of its abort, whichever part is read.
func TestAbortedTransactionsAcrossSegments(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		p := record.Partition{Topic: r.Topic(1)}
		for i := range 6 { // each transaction has several batches
			r.Write(p, i%2 == 0, values(1000*i, 3000)...)
		}
		r.start(archiver.Patterns{p.Topic}, func(c *archiver.Config) { c.SegmentBytes = 20 << 10 })
		m := r.same(p)
		if len(m.Segments) < 6 {
			t.Fatalf("only %d segments", len(m.Segments))
		}
		decoder, n := kafka.NewDecoder(), 0
		for i := range m.Segments {
			s := &m.Segments[i]
			reader, err := r.archive.Read(m, archive.ReadConfig{From: s.Start, Until: s.End})
			if err != nil {
				t.Fatal(err)
			}
			for at := s.Start; at < s.End; {
				c, err := reader.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var aborted []kafka.AbortedTransaction
				for _, a := range c.Aborted {
					aborted = append(aborted, kafka.AbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.First})
				}
				f, err := decoder.Decode(p, at, s.End, c.Raw, aborted)
				if err != nil {
					t.Fatal(err)
				}
				for _, rec := range f.Records {
					var number int
					if _, err := fmt.Sscanf(string(rec.Value), "value-%d", &number); err != nil {
						t.Fatal(err)
					}
					n++
				}
				at = c.Next.Offset
				f.Release()
				c.Release()
			}
			reader.Close()
		}
		if n != 3*3000 {
			t.Errorf("%d committed records, want %d", n, 3*3000)
		}
	})
}

// An archive that has another record where the log has one is found out, and one that
// has what the log has not.
func TestWhatDiffersFromKafkaIsNamed(t *testing.T) {
	r := newRig(t, testenv.Fake(t))
	p, other := record.Partition{Topic: r.Topic(1)}, record.Partition{Topic: r.Topic(1)}
	r.Write(p, true, "a", "b")
	r.Write(other, true, "a", "B")
	a := r.start(archiver.Patterns{p.Topic}, nil)
	m := r.reaches(p)
	a.stop()
	mender := archiver.Mender{Cluster: r.Cluster, Archive: r.archive}
	got, err := mender.Compare(t.Context(), m)
	if err != nil || got.Batches != 2 || got.To != m.Next {
		t.Fatalf("%+v, %v", got, err)
	}
	if was, is, err := mender.Truncate(t.Context(), m.Log); err != nil || was != is {
		t.Errorf("truncated from %d to %d, %v", was, is, err)
	}

	forged := r.of(other) // the archive of one topic under the name of another
	w, err := r.archive.Writer(t.Context(), forged)
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Segment(t.Context(), archive.SegmentConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(archive.Fetched{Raw: r.inKafka(p, 0, m.Next), Stable: -1}); err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal()
	if err != nil {
		t.Fatal(err)
	}
	m, err = w.Commit(t.Context(), archive.Append(sealed))
	if err != nil {
		t.Fatal(err)
	}
	var diverged *archiver.DivergedError
	if _, err := mender.Compare(t.Context(), m); !errors.As(err, &diverged) || diverged.Offset != 0 {
		t.Errorf("%v", err)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		patterns archiver.Patterns
		topic    string
		want     bool
	}{
		{archiver.Patterns{"clicks"}, "clicks", true},
		{archiver.Patterns{"clicks"}, "clicks-2", false},
		{archiver.Patterns{"clicks*", "!clicks-test"}, "clicks-2", true},
		{archiver.Patterns{"!clicks-test", "clicks*"}, "clicks-test", false},
		{archiver.Patterns{"user-?", "*.[ab]"}, "x.b", true},
	} {
		if got := c.patterns.Match(c.topic); got != c.want {
			t.Errorf("%v and %s: %v", c.patterns, c.topic, got)
		}
	}
	for _, wrong := range []archiver.Patterns{nil, {"["}, {""}, {"!x"}} {
		if wrong.Validate() == nil {
			t.Errorf("%q is valid", wrong)
		}
	}
}
