package testenv

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Kind names a sort of cluster; it is the subtest's name in [Each].
type Kind string

const (
	KFake    Kind = "kfake"     // in process, transaction.version 2, no replication
	KafkaTV2 Kind = "kafka-tv2" // real Kafka, KIP-890's transactions
	KafkaTV1 Kind = "kafka-tv1" // real Kafka, the transactions before KIP-890
)

// Real reports whether the kind is a real Kafka.
func (k Kind) Real() bool { return k != KFake }

// TransactionVersion returns the feature level that clusters of the kind have.
func (k Kind) TransactionVersion() int16 {
	if k == KafkaTV1 {
		return 1
	}
	return 2
}

// backend is what fake and real clusters implement. Nodes count from 1.
type backend interface {
	addrs() []string
	saslAddrs() []string
	kill(node int) error
	restart(node int) error
	stop(node int) error
	cont(node int) error
	heal() error
	logs() string // what the nodes have printed since the last call
	close()
}

// Cluster is a running cluster as one test sees it: what goes wrong with it is that
// test's error. Nodes are numbered from 1.
type Cluster struct {
	tb   testing.TB
	kind Kind
	b    backend
	fake *kfake.Cluster
}

// Kind returns the cluster's kind.
func (c *Cluster) Kind() Kind { return c.kind }

// Brokers returns the nodes' addresses, host:port, in the order of the nodes.
func (c *Cluster) Brokers() []string { return c.b.addrs() }

// Bootstrap returns the nodes' addresses separated by commas.
func (c *Cluster) Bootstrap() string { return strings.Join(c.b.addrs(), ",") }

// SASLBrokers returns the addresses for the users of [Options]; none without users,
// and none of a kfake cluster.
func (c *Cluster) SASLBrokers() []string { return c.b.saslAddrs() }

// Fake returns the kfake cluster, for faults and controls; nil for a real Kafka.
func (c *Cluster) Fake() *kfake.Cluster { return c.fake }

// Kill ends a node as kill -9 does: what it had not flushed to the operating system
// is lost, its port refuses connections. A kfake node keeps its memory.
func (c *Cluster) Kill(node int) { c.tb.Helper(); c.report("kill", node, c.b.kill(node)) }

// Restart starts a killed node again on its data and its port, and returns when it
// answers. A node that runs is killed first.
func (c *Cluster) Restart(node int) { c.tb.Helper(); c.report("restart", node, c.b.restart(node)) }

// Stop freezes a node (SIGSTOP): its connections stay open, nothing answers.
func (c *Cluster) Stop(node int) { c.tb.Helper(); c.report("stop", node, c.b.stop(node)) }

// Cont lets a stopped node go on.
func (c *Cluster) Cont(node int) { c.tb.Helper(); c.report("continue", node, c.b.cont(node)) }

func (c *Cluster) report(verb string, node int, err error) {
	c.tb.Helper()
	if err != nil {
		c.tb.Errorf("%s node %d of %s: %v", verb, node, c.kind, err)
	}
}

// lend returns the cluster as tb sees it. When tb ends, nodes that it left killed or
// stopped are brought back, and where it failed the nodes' logs are shown.
func (c *Cluster) lend(tb testing.TB) *Cluster {
	c.b.logs()
	l := &Cluster{tb: tb, kind: c.kind, b: c.b, fake: c.fake}
	tb.Cleanup(func() {
		if err := c.b.heal(); err != nil {
			tb.Errorf("heal %s: %v", c.kind, err)
		}
		l.showLogs()
	})
	return l
}

func (c *Cluster) showLogs() {
	if !c.tb.Failed() {
		return
	}
	if s := c.b.logs(); s != "" {
		c.tb.Logf("log of %s:\n%s", c.kind, s)
	}
}
