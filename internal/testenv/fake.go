package testenv

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// minSession is the shortest session that a member of a group may ask for: less than
// a broker's default of 6 s, so that tests need not wait long for the dead.
const minSession = time.Second

// Fake starts a kfake cluster, of one node unless opts say otherwise, and closes it
// when the test ends. Its nodes can be killed and stopped as real ones can: that is
// played at their listeners, so they forget nothing.
func Fake(tb testing.TB, opts ...kfake.Opt) *Cluster {
	tb.Helper()
	f := &fakeCluster{}
	opts = append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(minSession), kfake.ListenFn(f.listen)}, opts...)
	k, err := kfake.NewCluster(opts...)
	if err != nil {
		tb.Fatalf("start kfake: %v", err)
	}
	f.cluster = k
	tb.Cleanup(f.close)
	return &Cluster{tb: tb, kind: KFake, b: f, fake: k}
}

// fakeCluster is the backend of kfake: each node behind a gate.
type fakeCluster struct {
	cluster *kfake.Cluster

	mu    sync.Mutex // guards gates: kfake listens while it starts and when it adds nodes
	gates []*gate
}

func (f *fakeCluster) listen(network, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	open := func() (*gate, error) { return newGate(network, address) }
	if port == "0" {
		open = func() (*gate, error) { return gateAnywhere(network, host) }
	}
	g, err := open()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gates = append(f.gates, g)
	return g, nil
}

// gateAnywhere opens a gate on a port that stays free for it when it is shut. A
// port that somebody took between its choice and its use is chosen anew.
func gateAnywhere(network, host string) (g *gate, err error) {
	for range portTries {
		ports, err := freePorts(1)
		if err != nil {
			return nil, err
		}
		if g, err = newGate(network, net.JoinHostPort(host, fmt.Sprint(ports[0]))); !errors.Is(err, syscall.EADDRINUSE) {
			return g, err
		}
	}
	return nil, errPortTaken
}

func (f *fakeCluster) addrs() []string { return f.cluster.ListenAddrs() }

func (f *fakeCluster) saslAddrs() []string { return nil }

func (f *fakeCluster) with(node int, do func(*gate) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if node < 1 || node > len(f.gates) {
		return fmt.Errorf("no such node: the cluster has 1 to %d", len(f.gates))
	}
	return do(f.gates[node-1])
}

func (f *fakeCluster) kill(node int) error { return f.with(node, (*gate).shut) }
func (f *fakeCluster) stop(node int) error { return f.with(node, (*gate).freeze) }
func (f *fakeCluster) cont(node int) error { return f.with(node, (*gate).thaw) }

func (f *fakeCluster) restart(node int) error {
	return f.with(node, func(g *gate) error { return errors.Join(g.shut(), g.open()) })
}

func (f *fakeCluster) heal() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, g := range f.gates {
		errs = append(errs, g.thaw(), g.open())
	}
	return errors.Join(errs...)
}

func (f *fakeCluster) logs() string { return "" }
func (f *fakeCluster) close()       { f.cluster.Close() }
