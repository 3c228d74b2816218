package bench

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/topology"
)

// recovery is what an engine says of its start.
type recovery struct {
	Replayed, Wipes int64
	Seconds         float64 // from the engine's start until all tasks ran
	CPU             float64 // seconds, of the process in that time
}

// tasksRun is logged once all tasks run.
const tasksRun = "all tasks run"

// runKappa runs a group and prints, once it has stopped, how it has started.
func runKappa(ctx context.Context, c childRun, def *topology.Def) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	client, err := kappa.Open(ctx, kappa.Connection{Brokers: c.Brokers, Log: log})
	if err != nil {
		return err
	}
	defer client.Close()
	begun, cpu := time.Now(), cpuTime(os.Getpid())
	e, err := client.Start(ctx, []*topology.Def{def}, kappa.Options{StateDir: c.Dir, MemoryBytes: c.Memory, Instance: "bench", Bucket: c.Bucket})
	if err != nil {
		return err
	}
	var r recovery
	var wg sync.WaitGroup
	wg.Go(func() {
		if stats := awaitTasks(ctx, e, c.Tasks); ctx.Err() == nil {
			r = recovery{stats.ReplayedRecords, stats.Wipes, time.Since(begun).Seconds(), (cpuTime(os.Getpid()) - cpu).Seconds()}
			log.Info(tasksRun)
		}
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime/2)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			log.Warn("stop", "err", err)
		}
	})
	if err := e.Wait(); err != nil {
		return err
	}
	wg.Wait()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// awaitTasks waits until all tasks of the only group run here, or ctx ends.
func awaitTasks(ctx context.Context, e *kappa.Engine, tasks int) engine.GroupStats {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		stats := e.Stats().Groups[0]
		running := 0
		for _, t := range stats.Tasks {
			if t.Phase == engine.Running {
				running++
			}
		}
		if running >= tasks {
			return stats
		}
		select {
		case <-ctx.Done():
			return stats
		case <-tick.C:
		}
	}
}
