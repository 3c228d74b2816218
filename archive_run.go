package kappa

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/metrics"
	"github.com/seed-73111be4/kappa/internal/web"
)

func archiveRunCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Copy topics into the archive, as long as it runs",
		Long: `Copy topics into the archive until SIGINT or SIGTERM. Several processes share the
partitions: run the same command again. Whoever is killed at whatever point, nothing
is lost and nothing is there twice.

Topics are named, or matched: * stands for any characters, ? for one, and a pattern
that begins with ! excludes. Topics and partitions that come later are found.`,
		Example: fmt.Sprintf("  %[1]s archive run --bucket file:///var/lib/kappa/archive --topics 'clicks*,!clicks-test'\n  %[1]s archive run --bucket s3://history?region=eu-central-1 --topics '*' --retain-age 'debug-*=720h' --http :8081", app.Name),
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringSlice("topics", nil, "topics to archive: names or patterns, separated by commas")
	f.String("group", "kappa-archiver", "group by which processes share the partitions")
	size, memory := byteSize(128<<20), byteSize(256<<20)
	f.Var(&size, "segment-size", "size at which a segment ends, and that small ones are merged to")
	f.Duration("segment-age", 5*time.Minute, "how long a record may wait for being archived")
	f.Var(&memory, "memory", "bound for what all copies under way hold, about 40MiB each")
	f.Bool("accept-gaps", false, "go on behind records that were deleted before they were archived, and note the gap")
	f.StringSlice("retain-age", nil, "how long the archive keeps segments, TOPICS=AGE such as 'debug-*=720h' (default: for ever)")
	f.StringSlice("retain-bytes", nil, "how much the archive keeps of each partition, TOPICS=SIZE such as 'debug-*=10GiB' (default: all)")
	f.Duration("grace", 24*time.Hour, "how long objects that no longer count are kept, for who still reads them")
	f.Duration("session-timeout", 10*time.Second, "silence after which the partitions go to other processes")
	f.String("http", "", "address for metrics and health, on loopback where it has no host (default: none)")
	// It is there.
	_ = cmd.MarkFlagRequired("topics")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return archiveRun(cmd) }
	return cmd
}

// archiverConfig reads the flags of "archive run".
func archiverConfig(cmd *cobra.Command) (archiver.Config, error) {
	f := flags{cmd.Flags()}
	c := archiver.Config{
		Group: f.text("group"), AcceptGaps: f.on("accept-gaps"),
		SegmentBytes: int64(*f.Lookup("segment-size").Value.(*byteSize)),
		MemoryBytes:  int64(*f.Lookup("memory").Value.(*byteSize)),
	}
	topics, _ := f.GetStringSlice("topics")
	c.Topics = topics
	c.SegmentAge, _ = f.GetDuration("segment-age")
	c.Grace, _ = f.GetDuration("grace")
	c.SessionTimeout, _ = f.GetDuration("session-timeout")
	for _, name := range []string{"segment-age", "grace"} {
		if d, _ := f.GetDuration(name); d <= 0 {
			return c, &usageError{fmt.Errorf("--%s %v: it must be positive", name, d)}
		}
	}
	if c.SegmentBytes < 1<<10 {
		return c, &usageError{fmt.Errorf("--segment-size %v: at least 1KiB is needed", byteSize(c.SegmentBytes))}
	}
	var err error
	if c.Retention, err = retentions(f); err == nil {
		err = c.Validate()
	}
	if err != nil {
		return c, &usageError{err}
	}
	return c, nil
}

// retentions reads rules; those for the same pattern belong together.
func retentions(f flags) ([]archiver.Retention, error) {
	var rules []archiver.Retention
	rule := func(text string) (*archiver.Retention, string, error) {
		pattern, value, found := strings.Cut(text, "=")
		if !found {
			return nil, "", fmt.Errorf("%q: use TOPICS=BOUND", text)
		}
		for i := range rules {
			if rules[i].Topics[0] == pattern {
				return &rules[i], value, nil
			}
		}
		rules = append(rules, archiver.Retention{Topics: archiver.Patterns{pattern}})
		return &rules[len(rules)-1], value, nil
	}
	ages, _ := f.GetStringSlice("retain-age")
	for _, text := range ages {
		r, value, err := rule(text)
		if err == nil {
			r.Age, err = time.ParseDuration(value)
		}
		if err != nil {
			return nil, fmt.Errorf("--retain-age: %w", err)
		}
	}
	sizes, _ := f.GetStringSlice("retain-bytes")
	for _, text := range sizes {
		r, value, err := rule(text)
		if err == nil {
			err = (*byteSize)(&r.Bytes).Set(value)
		}
		if err != nil {
			return nil, fmt.Errorf("--retain-bytes: %w", err)
		}
	}
	return rules, nil
}

func archiveRun(cmd *cobra.Command) error {
	config, err := archiverConfig(cmd)
	if err != nil {
		return err
	}
	s, err := openStore(cmd)
	if err != nil {
		return err
	}
	defer s.close()
	c, err := Connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	config.Cluster, config.Archive, config.Log = c.cluster, s.Archive, c.log
	a, err := archiver.New(config)
	if err != nil {
		return err
	}
	if addr := (flags{cmd.Flags()}).text("http"); addr != "" {
		stop, err := serveArchiver(cmd.Context(), addr, a, c)
		if err != nil {
			return err
		}
		defer stop()
	}
	c.log.Info("archiving", "topics", strings.Join(config.Topics, ","), "group", config.Group)
	if err := a.Run(cmd.Context()); err != nil {
		return err
	}
	c.log.Info("stopped")
	return nil
}

// serveArchiver opens the HTTP face of an archiver.
func serveArchiver(ctx context.Context, addr string, a *archiver.Archiver, c *Client) (stop func(), err error) {
	server, err := web.Listen(ctx, addr, web.NewHandler(web.Config{
		Ready: a.Ready, Metrics: metrics.New(metrics.Sources{Archiver: a.Stats}).Handler(), Log: c.log,
	}), c.log)
	if err != nil {
		return nil, err
	}
	c.log.Info("serving metrics and health", "url", server.URL())
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			c.log.Debug("close the HTTP face", "err", err)
		}
	}, nil
}
