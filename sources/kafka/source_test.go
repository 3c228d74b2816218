package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	live "github.com/seed-73111be4/kappa/sources/kafka"
	"github.com/seed-73111be4/kappa/sources/sourcetest"
)

var clusters testenv.Shared

func TestMain(m *testing.M) { os.Exit(clusters.Run(m)) }

// log writes to a cluster.
type log struct {
	t      *testing.T
	c      *kafka.Cluster
	p      *kafka.Producer
	topics int
}

func newLog(t *testing.T, env *testenv.Cluster) *log {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	c, err := kafka.Open(ctx, kafka.Config{Brokers: env.Brokers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	p, err := c.NewProducer(kafka.ProducerConfig{TransactionalID: testenv.Name(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if r := p.Init(ctx); r.Outcome != kafka.OK {
		t.Fatal(r)
	}
	return &log{t: t, c: c, p: p}
}

func (l *log) Topic(partitions int32) string {
	l.t.Helper()
	l.topics++
	name := fmt.Sprintf("%s-%d", testenv.Name(l.t), l.topics)
	if _, err := l.c.CreateTopics(l.t.Context(), kafka.TopicSpec{Name: name, Partitions: partitions}); err != nil {
		l.t.Fatal(err)
	}
	return name
}

func (l *log) Write(p record.Partition, commit bool, values ...string) {
	l.t.Helper()
	ctx := l.t.Context()
	for _, v := range values {
		l.p.Produce(&kafka.Out{Topic: p.Topic, Partition: p.Partition, Value: []byte(v)})
	}
	if _, r := l.p.Flush(ctx); r.Outcome != kafka.OK {
		l.t.Fatal(r)
	}
	if r := l.p.End(ctx, commit); r.Outcome != kafka.OK {
		l.t.Fatal(r)
	}
	for {
		e, err := l.c.Ends(ctx, p)
		if err != nil {
			l.t.Fatal(err)
		}
		if e.LastStable == e.HighWatermark {
			return
		}
	}
}

func TestTheBrokersAreASource(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		sourcetest.Run(t, func(t *testing.T) sourcetest.Bed {
			l := newLog(t, env)
			s, err := live.Open(l.c, kafka.FetchConfig{})
			if err != nil {
				t.Fatal(err)
			}
			return sourcetest.Bed{Log: l, Source: s}
		})
	})
}

func TestAClosedSourceSaysSo(t *testing.T) {
	l := newLog(t, testenv.Fake(t))
	s, err := live.Open(l.c, kafka.FetchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := s.Poll(t.Context()); !errors.Is(err, sources.ErrClosed) {
		t.Errorf("%v", err)
	}
}
