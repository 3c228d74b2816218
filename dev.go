package kappa

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/dev"
	"github.com/seed-73111be4/kappa/topology"
)

func devCommand(app App) *cobra.Command {
	return newDevCommand(app.Name, len(app.Groups) > 0, func(*cobra.Command) ([]*topology.Def, error) { return app.Groups, nil })
}

// DevCommand returns a verb dev whose groups depend on flags of the verb, which the
// caller adds, as [RunCommand] does for run. The name is that of the program.
func DevCommand(name string, groups func(cmd *cobra.Command) ([]*topology.Def, error)) *cobra.Command {
	return newDevCommand(name, true, groups)
}

func newDevCommand(name string, some bool, groups func(cmd *cobra.Command) ([]*topology.Def, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a Kafka broker in this process, for development only",
		Long: `Run a Kafka broker in this process, for development only: one node, no
replication, no authentication, loopback only. Any Kafka client can connect.
Topics are not created by use: create them with "topics create".

With --dir all of it is kept, and what is written to topics and tables is archived
within seconds, as by "archive run".`,
		Example: fmt.Sprintf("  %s dev --dir dev\n  kcat -b 127.0.0.1:9092 -L", name),
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.String("dir", "", "directory for topics, records, state and archive (default: in memory, gone with the process)")
	f.String("listen", "127.0.0.1:9092", "loopback address of the broker; port 0 takes a free one")
	f.String("http", "127.0.0.1:8080", "address for metrics, health and views; empty for none")
	f.String("bucket", "", "URL of the archive; none turns it off (default: file://DIR/archive, none without --dir)")
	if some {
		cmd.Short = "Run a Kafka broker and the groups in this process, for development only"
		cmd.Long += "\n\nWhat the groups read and write is created, and the groups run, unless\n--broker-only. They read from the archive what Kafka has no more."
		f.Int32("partitions", 4, "number of partitions of the topics that are created")
		f.Bool("broker-only", false, "run the broker without the groups")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		defs, err := groups(cmd)
		if err != nil {
			return err
		}
		return runDev(cmd, name, defs)
	}
	return cmd
}

func runDev(cmd *cobra.Command, name string, groups []*topology.Def) (err error) {
	log, err := logger(cmd)
	if err != nil {
		return err
	}
	f := flags{cmd.Flags()}
	bucket, err := devBucket(f)
	if err != nil {
		return err
	}
	broker, err := dev.Start(dev.Config{Dir: f.text("dir"), Listen: f.text("listen"), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	c, err := Open(cmd.Context(), Connection{Brokers: []string{broker.Addr()}, ClientID: name, Log: log})
	if err != nil {
		return err
	}
	defer c.Close()
	o := Options{App: name, HTTP: f.text("http"), Bucket: bucket}
	if bucket != "" {
		if o.Archiver, err = c.devArchiver(cmd.Context(), bucket); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, o.Archiver.Stop()) }()
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "development broker on %s; not for production\n", broker.Addr())
	if len(groups) > 0 && !f.on("broker-only") {
		return c.devGroups(cmd, groups, o)
	}
	return c.devIdle(cmd.Context(), o)
}

// devBucket returns the URL of the archive, or "" where there is none: what is in memory
// is whole as long as it is there.
func devBucket(f flags) (string, error) {
	switch b := f.text("bucket"); {
	case b == "none" || b == "" && f.text("dir") == "":
		return "", nil
	case b != "":
		return b, nil
	}
	dir, err := filepath.Abs(f.text("dir"))
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(dir, "archive"))}).String(), nil
}

// devTopics are all but those that nobody reads again: the groups' state and loops, and
// what is internal to Kafka and kappa.
var devTopics = archiver.Patterns{"*", "!*-state", "!*-loop", "!kappa-control", "!__*"}

// devArchiver starts an archiver that keeps up with what somebody does by hand.
func (c *Client) devArchiver(ctx context.Context, bucket string) (*Archiver, error) {
	a, err := c.archive(ctx, bucket, archiver.Config{
		Topics: devTopics, SegmentAge: time.Second, ScanEvery: 250 * time.Millisecond, TopicsEvery: time.Second,
		MemoryBytes: 128 << 20, SessionTimeout: 6 * time.Second, StopTimeout: time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	c.log.Info("archiving", "bucket", bucket)
	return a, nil
}

// devGroups makes the topics that the groups need and runs the groups.
func (c *Client) devGroups(cmd *cobra.Command, groups []*topology.Def, o Options) error {
	f := flags{cmd.Flags()}
	plans, err := topology.Build(groups...)
	if err != nil {
		return err
	}
	partitions, _ := f.GetInt32("partitions")
	if err := c.createMissing(cmd.Context(), UserTopics(partitions, plans...)); err != nil {
		return err
	}
	if dir := f.text("dir"); dir != "" {
		o.StateDir = filepath.Join(dir, "state")
	}
	return c.run(cmd.Context(), groups, o, false)
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
func (c *Client) devIdle(ctx context.Context, o Options) error {
	if o.HTTP != "" {
		f, err := c.serve(ctx, o.HTTP, o.Archiver, true)
		if err != nil {
			return err
		}
		defer f.close()
	}
	<-ctx.Done()
	return nil
}
