package kappa

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/internal/dev"
	"github.com/seed-73111be4/kappa/topology"
)

func devCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a Kafka broker in this process, for development only",
		Long: `Run a Kafka broker in this process, for development only: one node, no
replication, no authentication, loopback only. Any Kafka client can connect.
Topics are not created by use: create them with "topics create".`,
		Example: fmt.Sprintf("  %s dev --dir dev\n  kcat -b 127.0.0.1:9092 -L", app.Name),
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.String("dir", "", "directory for topics, records and state (default: in memory, gone with the process)")
	f.String("listen", "127.0.0.1:9092", "loopback address of the broker; port 0 takes a free one")
	f.String("http", "127.0.0.1:8080", "address for metrics, health and views; empty for none")
	if len(app.Groups) > 0 {
		cmd.Short = "Run a Kafka broker and the groups in this process, for development only"
		cmd.Long += " What the groups\nread and write is created, and the groups run, unless --broker-only."
		f.Int32("partitions", 4, "number of partitions of the topics that are created")
		f.Bool("broker-only", false, "run the broker without the groups")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runDev(cmd, app) }
	return cmd
}

func runDev(cmd *cobra.Command, app App) (err error) {
	log, err := logger(cmd)
	if err != nil {
		return err
	}
	f := flags{cmd.Flags()}
	broker, err := dev.Start(dev.Config{Dir: f.text("dir"), Listen: f.text("listen"), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	c, err := Open(cmd.Context(), Connection{Brokers: []string{broker.Addr()}, ClientID: app.Name, Log: log})
	if err != nil {
		return err
	}
	defer c.Close()
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "development broker on %s; not for production\n", broker.Addr())
	if len(app.Groups) > 0 && !f.on("broker-only") {
		return c.devGroups(cmd, app)
	}
	return c.devIdle(cmd)
}

// devGroups makes the topics that the groups need and runs the groups.
func (c *Client) devGroups(cmd *cobra.Command, app App) error {
	f := flags{cmd.Flags()}
	plans, err := topology.Build(app.Groups...)
	if err != nil {
		return err
	}
	partitions, _ := f.GetInt32("partitions")
	if err := c.createMissing(cmd.Context(), UserTopics(partitions, plans...)); err != nil {
		return err
	}
	o := Options{App: app.Name, HTTP: f.text("http")}
	if dir := f.text("dir"); dir != "" {
		o.StateDir = filepath.Join(dir, "state")
	}
	return c.run(cmd.Context(), app.Groups, o, false)
}

// createMissing leaves what exists as it is, whatever its number of partitions.
func (c *Client) createMissing(ctx context.Context, topics []Topic) error {
	for _, t := range topics {
		there, err := c.cluster.Topics(ctx, t.Name)
		if err != nil {
			return err
		}
		if _, ok := there[t.Name]; ok {
			continue
		}
		if !t.Table { // events may be of any age
			t.Config = map[string]string{"retention.ms": "-1"}
		}
		if _, err := c.CreateTopics(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// devIdle serves until the process is asked to end.
func (c *Client) devIdle(cmd *cobra.Command) error {
	if addr := (flags{cmd.Flags()}).text("http"); addr != "" {
		f, err := c.serve(cmd.Context(), addr, true)
		if err != nil {
			return err
		}
		defer f.close()
	}
	<-cmd.Context().Done()
	return nil
}
