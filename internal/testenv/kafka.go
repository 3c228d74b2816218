package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// startLimit bounds how long the nodes of a cluster may take to answer: 2 s on an
// idle machine, many times that beside a full test run.
const startLimit = 90 * time.Second

// Options say what cluster [Kafka] starts. The zero value is one node with
// transaction.version 2.
type Options struct {
	Nodes              int               // 1 (default) or 3: replication factor 3, min.insync.replicas 2
	TransactionVersion int               // 2 (default) or 1
	Properties         map[string]string // broker properties, over the defaults

	// Users, by name with their passwords, reach the cluster by SASL PLAIN at
	// [Cluster.SASLBrokers] and are allowed nothing until an ACL says so. SCRAM, once
	// credentials have been made, and OAUTHBEARER with unsigned tokens are offered
	// there too. At Brokers, who is anonymous and may do everything.
	Users map[string]string
}

func (o Options) withDefaults() Options {
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.TransactionVersion == 0 {
		o.TransactionVersion = 2
	}
	o.Properties = maps.Clone(o.Properties)
	return o
}

func (o Options) validate() error {
	if o.Nodes != 1 && o.Nodes != 3 {
		return fmt.Errorf("%d nodes: 1 or 3", o.Nodes)
	}
	if o.TransactionVersion != 1 && o.TransactionVersion != 2 {
		return fmt.Errorf("transaction.version %d: 1 or 2", o.TransactionVersion)
	}
	return nil
}

func (o Options) kind() Kind {
	if o.TransactionVersion == 1 {
		return KafkaTV1
	}
	return KafkaTV2
}

// Kafka starts a real Kafka of the test's own and stops it when the test ends. The
// test fails where Kafka is not installed and is skipped with -short. Topics are not
// created by themselves.
func Kafka(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	if testing.Short() {
		tb.Skip("real Kafka: not with -short")
	}
	k, err := startKafka(tb.Context(), o, tb.TempDir())
	if err != nil {
		tb.Fatalf("start Kafka: %v", err)
	}
	c := &Cluster{tb: tb, kind: o.withDefaults().kind(), b: k}
	tb.Cleanup(func() { k.close(); c.showLogs() })
	return c
}

// realKafka is the backend of processes.
type realKafka struct {
	nodes []*node

	mu sync.Mutex // serialises kill, restart, stop, cont; guards the nodes' process and state
}

// startKafka starts a cluster with its data below dir. Where another process took one
// of the chosen ports, it chooses again.
func startKafka(ctx context.Context, o Options, dir string) (*realKafka, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	inst, err := findInstallation()
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		k, err := tryStart(ctx, inst, o, filepath.Join(dir, fmt.Sprint(attempt)))
		if err == nil || attempt == 3 || !errors.Is(err, errPortTaken) {
			return k, err
		}
	}
}

func tryStart(ctx context.Context, inst installation, o Options, dir string) (*realKafka, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	layouts, err := layOut(o, dir)
	if err != nil {
		return nil, err
	}
	k := &realKafka{}
	for _, l := range layouts {
		if err := l.write(inst, o); err != nil {
			return nil, err
		}
		n := &node{inst: inst, layout: l}
		k.nodes = append(k.nodes, n)
		if err := n.start(); err != nil {
			k.close()
			return nil, err
		}
	}
	if err := k.awaitAll(ctx); err != nil {
		log := k.logs()
		k.close()
		return nil, fmt.Errorf("%w\n%s", err, log)
	}
	return k, nil
}

func (k *realKafka) awaitAll(ctx context.Context) error {
	for _, n := range k.nodes {
		if err := n.await(ctx, len(k.nodes)); err != nil {
			return fmt.Errorf("node %d: %w", n.layout.id, err)
		}
	}
	return nil
}

func (k *realKafka) addrs() []string {
	var out []string
	for _, n := range k.nodes {
		out = append(out, n.layout.addr())
	}
	return out
}

func (k *realKafka) saslAddrs() []string {
	var out []string
	for _, n := range k.nodes {
		if n.layout.saslPort != 0 {
			out = append(out, n.layout.saslAddr())
		}
	}
	return out
}

// with calls f on a node with the lock held.
func (k *realKafka) with(id int, f func(*node) error) error {
	if id < 1 || id > len(k.nodes) {
		return fmt.Errorf("no such node: the cluster has 1 to %d", len(k.nodes))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return f(k.nodes[id-1])
}

func (k *realKafka) kill(id int) error { return k.with(id, (*node).kill) }
func (k *realKafka) stop(id int) error { return k.with(id, (*node).stop) }
func (k *realKafka) cont(id int) error { return k.with(id, (*node).cont) }

func (k *realKafka) restart(id int) error {
	return k.with(id, func(n *node) error {
		if err := n.kill(); err != nil {
			return err
		}
		return n.restart()
	})
}

func (k *realKafka) heal() error {
	var errs []error
	for id := range k.nodes {
		errs = append(errs, k.with(id+1, (*node).heal))
	}
	return errors.Join(errs...)
}

func (k *realKafka) logs() string {
	var out string
	for _, n := range k.nodes {
		if s := n.newLog(); s != "" {
			out += fmt.Sprintf("--- node %d (%s)\n%s", n.layout.id, n.layout.addr(), s)
		}
	}
	return out
}

// close kills all nodes; their data goes with its directory.
func (k *realKafka) close() {
	for id := range k.nodes {
		_ = k.with(id+1, (*node).kill) // its process may be gone already
	}
	for _, n := range k.nodes {
		os.RemoveAll(n.layout.data) // early: a package's tests would fill the disk
	}
}
