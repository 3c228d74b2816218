package integration

import (
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/testenv"
)

// outage is a time without brokers.
type outage struct {
	begin, end func(c *testenv.Cluster)
	lasts      time.Duration
}

func mute(d time.Duration) outage {
	return outage{func(c *testenv.Cluster) { c.Stop(1) }, func(c *testenv.Cluster) { c.Cont(1) }, d}
}

func dead(d time.Duration) outage {
	return outage{func(c *testenv.Cluster) { c.Kill(1) }, func(c *testenv.Cluster) { c.Restart(1) }, d}
}

// Brokers are silent, or one is gone, for longer than sessions and transactions may
// last, while records are in flight: nobody exits, and the result is exact.
//
// A cluster of one node is frozen, but never killed, and its controller is told not
// to miss it: a Kafka that comes up has no leaders for a moment, and its transaction
// coordinator then takes partitions without leader for deleted and drops the commit
// markers that it owes them. No client can mend that.
func TestABrokerThatGoesAndComesBackCostsNothing(t *testing.T) {
	t.Parallel()
	frozen := testenv.Options{Properties: map[string]string{"broker.session.timeout.ms": "120000"}}
	older := frozen
	older.TransactionVersion = 1
	three := testenv.Options{Nodes: 3}
	for name, c := range map[string]struct {
		cluster testenv.Options
		txn     time.Duration
		session time.Duration
		outages []outage
	}{
		"tv2 frozen":                         {frozen, 5 * time.Second, 6 * time.Second, []outage{mute(9 * time.Second), mute(500 * time.Millisecond)}},
		"tv1 frozen":                         {older, 5 * time.Second, 6 * time.Second, []outage{mute(9 * time.Second), mute(500 * time.Millisecond)}},
		"tv2 frozen for a minute":            {frozen, 10 * time.Second, 10 * time.Second, []outage{mute(time.Minute)}},
		"tv2 one of three killed for a time": {three, 5 * time.Second, 6 * time.Second, []outage{dead(12 * time.Second), dead(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, testenv.Kafka(t, c.cluster))
			in, out, group := r.topic("in", 4), r.topic("out", 2), r.name("g")
			o := r.fast(t.TempDir())
			o.TransactionTimeout, o.SessionTimeout = c.txn, c.session
			e := r.start(o, announcing(group, in, out))
			const keys = 50
			n := 0
			more := func() {
				r.emit(sent(in, n, 2000, keys)...)
				n += 2000
			}
			more()
			r.processed(int64(n), group, e)
			for _, x := range c.outages {
				more()
				r.goneFor(e, x)
				more()
				r.processed(int64(n), group, e)
				if err := e.Ready(); err != nil {
					t.Errorf("after the outage: %v", err)
				}
			}
			r.stop(e)
			r.equal("table", r.table(group+"-table"), countsOf(n, keys))
			r.equal("output", r.announced(out), announcedBy(n, keys))
			r.settled(out, group+"-table", group+"-state")
		})
	}
}

// goneFor takes the broker away for a while. The engine must not end.
func (r *rig) goneFor(e *engine.Engine, x outage) {
	r.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- e.Wait() }()
	x.begin(r.env)
	select {
	case err := <-ended:
		r.t.Fatalf("the engine has ended for want of a broker: %v", err)
	case <-time.After(x.lasts):
	}
	x.end(r.env)
}
