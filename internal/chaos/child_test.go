package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/metrics"
	"github.com/seed-73111be4/kappa/topology"
)

// childVariable says, in the environment, what a process that a test has started
// is to do: a childRun as JSON.
const childVariable = "KAPPA_CHAOS_CHILD"

// childRun is an instance in a process of its own. It serves its metrics on the
// listener that it inherits as file 3.
type childRun struct {
	Brokers        []string
	Group, In, Out string
	Instance, Dir  string
	Workers        int
	Commit         time.Duration
	Session        time.Duration
	Flush          time.Duration
}

// childDrain is how long an instance that is asked to end may take.
const childDrain = 5 * time.Second

// child runs the instance until SIGTERM, or SIGINT, which means to leave for good.
func child() int {
	var c childRun
	if err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (c *childRun) run() error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	var running atomic.Pointer[engine.Engine]
	if err := serveMetrics(&running); err != nil {
		return err
	}
	e, err := c.start(context.Background())
	if err != nil {
		return err
	}
	running.Store(e)
	go func() {
		end := e.Stop
		if <-signals == syscall.SIGINT {
			end = e.Leave
		}
		ctx, cancel := context.WithTimeout(context.Background(), childDrain)
		defer cancel()
		if err := end(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return e.Wait()
}

func serveMetrics(running *atomic.Pointer[engine.Engine]) error {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	figures := metrics.New(metrics.Sources{Engine: func() engine.Stats {
		if e := running.Load(); e != nil {
			return e.Stats()
		}
		return engine.Stats{}
	}})
	go http.Serve(l, figures.Handler())
	return nil
}

func (c *childRun) start(ctx context.Context) (*engine.Engine, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	k, err := kafka.Open(ctx, kafka.Config{Brokers: c.Brokers, Log: log})
	if err != nil {
		return nil, err
	}
	plans, err := topology.Build(folding(c.Group, c.In, c.Out))
	if err != nil {
		return nil, err
	}
	return engine.Start(ctx, plans, engine.Options{
		Cluster: k, App: "chaos", StateDir: c.Dir, Instance: c.Instance, Workers: c.Workers,
		CommitInterval: c.Commit, SessionTimeout: c.Session, FlushInterval: c.Flush,
		RebalanceTimeout: 15 * time.Second, // a member that is killed in a rebalance is waited for so long
		Log:              log,
	})
}
