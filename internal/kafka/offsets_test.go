package kafka

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// A leader that has just died refuses connections until the others know of it. Who
// asks for the ends of a log then, such as a process that starts, has to wait.
func TestTheEndsOfALogAreWaitedForWhereItsLeaderIsGone(t *testing.T) {
	t.Parallel()
	env := testenv.Fake(t, kfake.NumBrokers(2))
	var refused atomic.Int32
	c, err := Open(testContext(t), Config{Brokers: env.Brokers(), Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			refused.Add(1)
		}
		return conn, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	topic := testTopic(t, c, 1)
	plainly(t, c, topic, 0, "a", "b")
	if err := env.Fake().MoveTopicPartition(topic, 0, 1); err != nil {
		t.Fatal(err)
	}

	env.Kill(2)
	type answer struct {
		ends record.Ends
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		ends, err := c.Ends(context.Background(), at(topic, 0))
		answered <- answer{ends, err}
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	const tries = 10 // more than the client makes by itself for one request
	for refused.Load() < tries {
		select {
		case a := <-answered:
			t.Fatalf("an answer after %d refused connections: %+v", refused.Load(), a)
		case <-tick.C:
		}
	}
	env.Restart(2)
	if a := <-answered; a.err != nil || a.ends.HighWatermark != 2 {
		t.Errorf("ends %+v, error %v", a.ends, a.err)
	}
}
