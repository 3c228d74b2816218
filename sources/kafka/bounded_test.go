package kafka_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	live "github.com/seed-73111be4/kappa/sources/kafka"
	"github.com/seed-73111be4/kappa/sources/sourcetest"
)

func bounded(t *testing.T, env *testenv.Cluster) (*sourcetest.KafkaLog, *sources.Bounded) {
	l := sourcetest.NewKafkaLog(t, env)
	s, err := live.Open(l.Cluster, kafka.FetchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return l, sources.Bound(s)
}

// Without bounds it is the source that it was made of.
func TestASourceWithoutBoundsIsAsItWas(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		sourcetest.Run(t, func(t *testing.T) sourcetest.Bed {
			l, s := bounded(t, env)
			return sourcetest.Bed{Log: l, Source: s}
		})
	})
}

// ended polls until a partition ends, and returns what came before and where it ended.
func ended(t *testing.T, s *sources.Bounded, p record.Partition, epoch uint64) (values []string, next int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		fetched, err := s.Poll(ctx)
		if err != nil {
			t.Fatalf("%v after %q", err, values)
		}
		for i := range fetched {
			f := &fetched[i]
			if f.Partition != p || f.Epoch != epoch || f.Next < next {
				t.Fatalf("%+v", f)
			}
			next = f.Next
			for _, r := range f.Records {
				values = append(values, string(r.Value))
			}
			f.Release()
			if errors.Is(f.Err, sources.ErrEnd) {
				return values, next
			}
			if f.Err != nil {
				t.Fatal(f.Err)
			}
		}
	}
}

// A bound may lie at a record, at a marker, among aborted records; nothing beyond it
// comes, and the position is the bound.
func TestABoundedSourceEndsAtEachOffset(t *testing.T) {
	l, s := bounded(t, testenv.Fake(t))
	defer s.Close()
	topic := l.Topic(12)
	log := []string{"a", "b", "", "", "", "c", "d", "e", "f", ""} // markers and aborted records have no value
	for bound := range int64(11) {
		p := record.Partition{Topic: topic, Partition: int32(bound)}
		l.Write(p, true, "a", "b")
		l.Write(p, false, "x")
		l.Write(p, true, "c", "d", "e", "f")
		var want []string
		for _, v := range log[:bound] {
			if v != "" {
				want = append(want, v)
			}
		}
		s.Bound(map[record.Partition]int64{p: bound})
		s.Seek(sources.Seek{Partition: p, Epoch: 7})
		if got, next := ended(t, s, p, 7); !slices.Equal(got, want) || next != bound {
			t.Errorf("bound %d: %q up to %d, want %q", bound, got, next, want)
		}
	}
}

func TestABoundThatComesLateEndsThePartitionWhereItIs(t *testing.T) {
	l, s := bounded(t, testenv.Fake(t))
	defer s.Close()
	p := record.Partition{Topic: l.Topic(1)}
	l.Write(p, true, "a", "b", "c")
	s.Seek(sources.Seek{Partition: p, Epoch: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for next := int64(0); next < 4; {
		fetched, err := s.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range fetched {
			next = fetched[i].Next
			fetched[i].Release()
		}
	}
	late := time.AfterFunc(50*time.Millisecond, func() { s.Bound(map[record.Partition]int64{p: 2}) }) // a poll for news is under way
	defer late.Stop()
	if got, next := ended(t, s, p, 1); len(got) > 0 || next != 4 {
		t.Errorf("%q up to %d", got, next)
	}
	s.Seek(sources.Seek{Partition: p, Offset: 1, Epoch: 2}) // the bound still holds
	if got, next := ended(t, s, p, 2); !slices.Equal(got, []string{"b"}) || next != 2 {
		t.Errorf("%q up to %d", got, next)
	}
	s.Bound(map[record.Partition]int64{p: 1}) // also against an earlier one
	s.Seek(sources.Seek{Partition: p, Offset: 1, Epoch: 3})
	if got, next := ended(t, s, p, 3); !slices.Equal(got, []string{"b"}) || next != 2 {
		t.Errorf("%q up to %d", got, next)
	}
	s.Bound(map[record.Partition]int64{p: 4}) // a later one lets it go on
	if got, next := ended(t, s, p, 3); !slices.Equal(got, []string{"c"}) || next != 4 {
		t.Errorf("%q up to %d", got, next)
	}
}
