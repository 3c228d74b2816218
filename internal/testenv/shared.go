package testenv

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared keeps real clusters for all tests of a package, one a kind, each started by
// the first test that needs it. The zero value is ready; [Shared.Run] ends them.
//
// Tests that share a cluster name their topics and groups by [Name]. They may kill
// and stop nodes, if they do not run in parallel: what a test leaves killed or
// stopped is brought back when it ends.
type Shared struct {
	// Options are the clusters'; TransactionVersion is set by kind.
	Options Options

	mu       sync.Mutex // guards clusters, dir; held while a cluster starts
	clusters map[Kind]*sharedCluster
	dir      string // temporary, of all clusters' data
}

type sharedCluster struct {
	kafka *realKafka
	err   error // why it could not be started
}

// Run runs the package's tests, stops the clusters and returns the exit code: it is
// the body of TestMain.
func (s *Shared) Run(m *testing.M) int {
	defer s.close()
	return m.Run()
}

// Kafka returns the shared cluster of the kind, which must be a real one, as tb sees
// it. The test fails where Kafka is not installed and is skipped with -short.
func (s *Shared) Kafka(tb testing.TB, k Kind) *Cluster {
	tb.Helper()
	if testing.Short() {
		tb.Skip("real Kafka: not with -short")
	}
	kafka, err := s.cluster(k)
	if err != nil {
		tb.Fatalf("start Kafka: %v", err)
	}
	return (&Cluster{kind: k, b: kafka}).lend(tb)
}

// Each runs f as a subtest on a new kfake cluster and on both shared real ones, on
// kfake only with -short.
func (s *Shared) Each(t *testing.T, f func(t *testing.T, c *Cluster)) {
	t.Helper()
	for _, k := range []Kind{KFake, KafkaTV2, KafkaTV1} {
		if k.Real() && testing.Short() {
			continue
		}
		t.Run(string(k), func(t *testing.T) {
			if !k.Real() {
				f(t, Fake(t))
				return
			}
			f(t, s.Kafka(t, k))
		})
	}
}

// Each runs f as [Shared.Each] does, on clusters of the test's own.
func Each(t *testing.T, f func(t *testing.T, c *Cluster)) {
	t.Helper()
	var s Shared
	t.Cleanup(s.close)
	s.Each(t, f)
}

// cluster returns the running cluster of the kind; a failed start is not tried again.
func (s *Shared) cluster(k Kind) (*realKafka, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !k.Real() {
		return nil, fmt.Errorf("%s is no real Kafka", k)
	}
	if c := s.clusters[k]; c != nil {
		return c.kafka, c.err
	}
	if s.clusters == nil {
		s.clusters = map[Kind]*sharedCluster{}
	}
	kafka, err := s.startLocked(k)
	s.clusters[k] = &sharedCluster{kafka, err}
	return kafka, err
}

func (s *Shared) startLocked(k Kind) (*realKafka, error) {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "kappa-testenv-")
		if err != nil {
			return nil, err
		}
		s.dir = dir
	}
	dir, err := os.MkdirTemp(s.dir, string(k)+"-")
	if err != nil {
		return nil, err
	}
	o := s.Options
	o.TransactionVersion = int(k.TransactionVersion())
	// Not the test's context: the cluster outlives it.
	return startKafka(context.Background(), o, dir)
}

func (s *Shared) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clusters {
		if c.kafka != nil {
			c.kafka.close()
		}
	}
	s.clusters = nil
	if s.dir != "" {
		os.RemoveAll(s.dir) // best effort: it is in the temporary directory
	}
}
