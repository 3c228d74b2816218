package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/topology"
)

// childVariable says, in the environment, what a process that a test has started
// is to do: a childRun as JSON.
const childVariable = "KAPPA_TEST_CHILD"

// childRun is an instance in a process of its own, so that it can be stopped and
// killed.
type childRun struct {
	Brokers        []string
	Group, In, Out string
	Dir            string
	Dynamic        bool
	Session        time.Duration
	// DieAfterRevoke makes the process kill itself once it has given tasks up and
	// is about to join again.
	DieAfterRevoke bool
}

// child runs the instance until it is killed, as it is at the end of the test.
func child() int {
	var c childRun
	if err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	e, err := c.start(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := e.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (c *childRun) start(ctx context.Context) (*engine.Engine, error) {
	var dying atomic.Bool
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if c.DieAfterRevoke && a.Key == slog.MessageKey && a.Value.String() == "revoked" {
			dying.Store(true)
		}
		return a
	}}))
	k, err := kafka.Open(ctx, kafka.Config{Brokers: c.Brokers, Log: log, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &dyingConn{conn, &dying}, err
	}})
	if err != nil {
		return nil, err
	}
	plans, err := topology.Build(announcing(c.Group, c.In, c.Out))
	if err != nil {
		return nil, err
	}
	return engine.Start(ctx, plans, engine.Options{
		Cluster: k, App: "test", StateDir: c.Dir, Dynamic: c.Dynamic, SessionTimeout: c.Session,
		CommitInterval: 20 * time.Millisecond, Workers: 2, Log: log,
	})
}

// dyingConn kills the process in place of a request to join a group.
type dyingConn struct {
	net.Conn
	dying *atomic.Bool
}

func (c *dyingConn) Write(b []byte) (int, error) {
	if c.dying.Load() && len(b) > 6 && int16(b[4])<<8|int16(b[5]) == int16(kmsg.JoinGroup) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return c.Conn.Write(b)
}

// instance starts an instance in a process of its own.
func (r *rig) instance(c childRun) *process {
	r.t.Helper()
	c.Brokers = r.env.Brokers()
	cmd, err := testenv.Self(childVariable, c)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.spawn(cmd)
}
