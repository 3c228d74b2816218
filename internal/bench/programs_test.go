package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

// programs are what this binary can be: each runs until ctx ends.
var programs = map[string]func(ctx context.Context, c childRun) error{
	"raw": runRaw, "sink": runSink, "decode": runDecode, "memory": runMemory, "goka": runGoka, "view": runView,
	"count": func(ctx context.Context, c childRun) error { return runKappa(ctx, c, counting(c)) },
	"pass":  func(ctx context.Context, c childRun) error { return runKappa(ctx, c, passing(c)) },
	"keep":  func(ctx context.Context, c childRun) error { return runKappa(ctx, c, keeping(c)) },
}

// child is this binary as another program. It returns the exit code.
func child(text string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c childRun
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		run := programs[c.Program]
		if run == nil {
			err = fmt.Errorf("no program %q", c.Program)
		} else {
			err = run(ctx, c)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// counting is the group of examples/count, for runs of which only the engine itself
// can tell the figures; either goes on where the other has stopped.
func counting(c childRun) *topology.Def {
	return topology.Group(goka.Group(c.Group),
		topology.Input(goka.Stream(c.In), schema.Boxed(schema.Nothing()), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Persist(new(codec.Int64)))
}

// passing looks at each record and keeps nothing: what is left is the way of a record
// to its callback, and the commits.
func passing(c childRun) *topology.Def {
	return topology.Group(goka.Group(c.Group),
		topology.InputOf(goka.Stream(c.In), schema.Nothing(), nil, func(*processors.Typed[struct{}], struct{}) {}))
}

// keeping keeps the last value of each key: state as large as the values.
func keeping(c childRun) *topology.Def {
	return topology.Group(goka.Group(c.Group),
		topology.Input(goka.Stream(c.In), new(codec.Bytes), func(ctx goka.Context, msg any) { ctx.SetValue(msg) }),
		topology.Persist(new(codec.Bytes)))
}

// commitEvery is the time between the baselines' commits, kappa's default.
const commitEvery = 100 * time.Millisecond
