package kafka_test

import (
	"errors"
	"os"
	"testing"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/sources"
	live "github.com/seed-73111be4/kappa/sources/kafka"
	"github.com/seed-73111be4/kappa/sources/sourcetest"
)

var clusters testenv.Shared

func TestMain(m *testing.M) { os.Exit(clusters.Run(m)) }

func TestTheBrokersAreASource(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		sourcetest.Run(t, func(t *testing.T) sourcetest.Bed {
			l := sourcetest.NewKafkaLog(t, env)
			s, err := live.Open(l.Cluster, kafka.FetchConfig{})
			if err != nil {
				t.Fatal(err)
			}
			return sourcetest.Bed{Log: l, Source: s}
		})
	})
}

func TestAClosedSourceSaysSo(t *testing.T) {
	l := sourcetest.NewKafkaLog(t, testenv.Fake(t))
	s, err := live.Open(l.Cluster, kafka.FetchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := s.Poll(t.Context()); !errors.Is(err, sources.ErrClosed) {
		t.Errorf("%v", err)
	}
}
