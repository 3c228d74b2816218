package kappa

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-73111be4/kappa/topology"
)

// drainTime is how long an engine that is asked to stop may take.
const drainTime = 2 * time.Second

// minMemory catches units that were forgotten.
const minMemory = 1 << 20

func runCommand(app App) *cobra.Command {
	return RunCommand(app.Name, func(*cobra.Command) ([]*topology.Def, error) { return app.Groups, nil })
}

// RunCommand returns a verb run whose groups depend on flags of the verb, which
// the caller adds. A program whose groups are fixed names them in [App] and has
// the verb without it. The name is that of the program.
func RunCommand(name string, groups func(cmd *cobra.Command) ([]*topology.Def, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the groups, exactly once",
		Long: `Run the program's groups until SIGINT or SIGTERM. Several processes share the
work: run the same command again, with a state directory of its own.

The groups' own topics (tables, loops, state) are created; a missing input is an
error. A process that was killed goes on where its last commit stands.

With --until the run ends by itself, with exit code 0, once the groups, all their
processes together, have processed everything up to there.`,
		Example: fmt.Sprintf("  %s run --brokers 127.0.0.1:9092 --state-dir state", name),
		Args:    cobra.NoArgs,
	}
	runFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		defs, err := groups(cmd)
		if err != nil {
			return err
		}
		o, err := runOptions(name, cmd)
		if err != nil {
			return err
		}
		c, err := Connect(cmd)
		if stoppedEarly(cmd.Context(), err) {
			return nil
		}
		if err != nil {
			return err
		}
		defer c.Close()
		return c.run(cmd.Context(), defs, o, flags{cmd.Flags()}.on("leave"))
	}
	return cmd
}

func runFlags(f *pflag.FlagSet) {
	f.String("state-dir", "", "directory for local copies of the state, one a process (default: in memory, read from Kafka at every start)")
	f.String("instance", "", "name of this process among the groups' members (default: a random one, kept in the state directory)")
	f.Duration("commit-interval", 100*time.Millisecond, "time between commits")
	batch := byteSize(32 << 20)
	f.Var(&batch, "batch", "input after which a transaction commits before the interval is over, such as 8MiB")
	f.Duration("watchdog", time.Minute, "how long a callback may run before the process ends and names its record; negative: for ever")
	f.Int("workers", 0, "tasks of a group that run at once (default: the number of cores)")
	memory := byteSize(512 << 20)
	f.Var(&memory, "memory", "bound for the memory of the process, such as 2GiB")
	f.Duration("session-timeout", 10*time.Second, "silence after which the tasks go to other processes")
	f.Int("standbys", 0, "other processes that follow the state of each task, to take it over at once")
	f.String("bucket", "", "URL of an archive to read input from that Kafka has forgotten, such as file:///archive or s3://name")
	var rate byteSize
	f.Var(&rate, "replay-rate", "most that is read from the archive in a second, such as 50MB; 0B: no bound")
	f.String("on-task-failure", "exit", "what follows when a record cannot be processed: exit, or pause that task alone")
	f.String("start", "", "where a group that has not run before starts: earliest or latest (default: as its definition says)")
	f.String("until", "", "end when the inputs are processed up to there: now, a time, or TOPIC:PARTITION=OFFSET,…,TOPIC=now (default: run until stopped)")
	f.Bool("leave", false, "when stopped, give the tasks to the others at once: this process will not come back soon")
	f.String("http", "", "address for metrics, health and views, on loopback where it has no host (default: none)")
}

func runOptions(app string, cmd *cobra.Command) (Options, error) {
	f := flags{cmd.Flags()}
	o := Options{
		App: app, StateDir: f.text("state-dir"), Instance: f.text("instance"), HTTP: f.text("http"), Start: f.text("start"), Until: f.text("until"), Bucket: f.text("bucket"),
		MemoryBytes:          int64(*f.Lookup("memory").Value.(*byteSize)),
		ReplayBytesPerSecond: int64(*f.Lookup("replay-rate").Value.(*byteSize)),
		BatchBytes:           int64(*f.Lookup("batch").Value.(*byteSize)),
	}
	o.Watchdog, _ = f.GetDuration("watchdog")
	o.CommitInterval, _ = f.GetDuration("commit-interval")
	o.SessionTimeout, _ = f.GetDuration("session-timeout")
	o.Workers, _ = f.GetInt("workers")
	o.Standbys, _ = f.GetInt("standbys")
	if o.MemoryBytes < minMemory {
		return o, &usageError{fmt.Errorf("--memory %v: at least %v is needed", f.Lookup("memory").Value, byteSize(minMemory))}
	}
	if o.Standbys < 0 {
		return o, &usageError{fmt.Errorf("--standbys %d: 0 or more", o.Standbys)}
	}
	switch v := f.text("on-task-failure"); v {
	case "exit":
	case "pause":
		o.PauseFailed = true
	default:
		return o, &usageError{fmt.Errorf("--on-task-failure %s: use exit or pause", v)}
	}
	if _, err := parseUntil(o.Until); err != nil {
		return o, err
	}
	return o, nil
}

// stoppedEarly reports whether err is that a run was asked to stop before it ran: an end
// in order.
func stoppedEarly(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled)
}

// run runs the groups until ctx ends or they fail.
func (c *Client) run(ctx context.Context, defs []*topology.Def, o Options, leave bool) error {
	e, err := c.Start(ctx, defs, o)
	if stoppedEarly(ctx, err) {
		return nil
	}
	if err != nil {
		return err
	}
	stop := e.Stop
	if leave {
		stop = e.Leave
	}
	if o.StateDir != "" { // else state grows as it must
		defer bound(o.MemoryBytes)()
	}
	defer context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		if err := stop(ctx); err != nil {
			c.log.Warn("stopped with work open; a restart does it again", "err", err)
		}
	})()
	c.log.Info("running", "groups", groupNames(defs), "instance", e.Instance())
	if err := e.Wait(); err != nil {
		return err
	}
	c.log.Info("stopped")
	return nil
}
