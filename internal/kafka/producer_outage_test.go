package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// outageBed is a producer with an open transaction at a broker that can be away.
type outageBed struct {
	env     *testenv.Cluster
	p       *Producer
	out, in string
	fence   Fence
}

// outages are the ways of a broker to be away.
var outages = map[string]func(*testenv.Cluster){
	"dead":   func(c *testenv.Cluster) { c.Kill(1) },
	"frozen": func(c *testenv.Cluster) { c.Stop(1) },
}

// outageSteps are the producer's calls, and what they say while the broker is away.
var outageSteps = []struct {
	name string
	call func(*outageBed, context.Context) Result
	want Outcome
}{
	{"flush", func(b *outageBed, ctx context.Context) Result {
		produceValues(b.p, b.out, 0, "y")
		_, r := b.p.Flush(ctx)
		return r
	}, Aborted},
	{"commit offsets", func(b *outageBed, ctx context.Context) Result {
		return b.p.CommitOffsets(ctx, b.fence, []record.Position{{Topic: b.in, Offset: 1, LeaderEpoch: -1}})
	}, Aborted},
	{"commit", func(b *outageBed, ctx context.Context) Result { return b.p.End(ctx, true) }, Unknown},
	{"abort", func(b *outageBed, ctx context.Context) Result { return b.p.End(ctx, false) }, Unknown},
	{"abort what is in flight", func(b *outageBed, ctx context.Context) Result {
		produceValues(b.p, b.out, 0, "y")
		return b.p.End(ctx, false)
	}, Unknown},
	{"init", func(b *outageBed, ctx context.Context) Result {
		if err := b.p.Rebuild(); err != nil {
			return Result{Fatal, err}
		}
		return b.p.Init(ctx)
	}, Retry},
	{"produce beyond the buffer", func(b *outageBed, ctx context.Context) Result {
		big := make([]byte, 900<<10)
		for range 3 {
			b.p.Produce(&Out{Topic: b.out, Value: big, Timestamp: 1})
		}
		_, r := b.p.Flush(ctx)
		return r
	}, Aborted},
}

func newOutageBed(t *testing.T, timeout time.Duration) *outageBed {
	t.Helper()
	if realBrokers() != nil {
		t.Skip("needs a broker of its own")
	}
	t.Parallel()
	b := &outageBed{env: testenv.Fake(t)}
	c := openCluster(t, b.env.Brokers())
	b.out, b.in = testTopic(t, c, 1), testTopic(t, c, 1)
	b.fence = joinGroup(t, c, testName(t), "", b.in)
	b.p = testProducer(t, c, ProducerConfig{Timeout: timeout, MaxBufferedBytes: 1 << 20})
	produceValues(b.p, b.out, 0, "x")
	_, r := b.p.Flush(testContext(t))
	wantOutcome(t, OK, r)
	t.Cleanup(func() { b.env.Restart(1) }) // before the topics are deleted
	return b
}

// The engine gives its calls no deadline, and a rebalance waits for them.
func TestNoCallOutlivesABrokerThatIsAway(t *testing.T) {
	for how, away := range outages {
		for _, step := range outageSteps {
			if step.name == "init" {
				continue // it has a patience of its own, and takes all of it
			}
			t.Run(how+"/"+step.name, func(t *testing.T) {
				const timeout = time.Second
				b := newOutageBed(t, timeout)
				away(b.env)
				began := time.Now()
				wantOutcome(t, step.want, step.call(b, context.Background()))
				if took := time.Since(began); took > 3*timeout {
					t.Errorf("took %s with a timeout of %s", took, timeout)
				}
				b.env.Restart(1)
				if err := b.p.Rebuild(); err != nil {
					t.Fatal(err)
				}
				wantOutcome(t, OK, b.p.Init(testContext(t)))
				transact(t, b.p, true, b.out, 0, "z")
			})
		}
	}
}

// An engine that must stop while the broker is away closes the producer under its
// worker.
func TestCloseBreaksEveryCall(t *testing.T) {
	for how, away := range outages {
		for _, step := range outageSteps {
			t.Run(how+"/"+step.name, func(t *testing.T) {
				b := newOutageBed(t, time.Minute)
				away(b.env)
				done := make(chan Result, 1)
				go func() { done <- step.call(b, context.Background()) }()
				select {
				case r := <-done: // some find out by themselves
					if r.Outcome == OK {
						t.Error("it worked without a broker")
					}
					return
				case <-time.After(300 * time.Millisecond):
				}
				began := time.Now()
				closed := make(chan struct{})
				go func() { b.p.Close(); close(closed) }()
				r := <-done
				if took := time.Since(began); took > time.Second || r.Outcome == OK {
					t.Errorf("the call returned %v, %s after Close began", r, took)
				}
				<-closed
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("Close took %s", took)
				}
			})
		}
	}
}
