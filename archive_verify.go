package kappa

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/archiver"
)

// verifiedLog is what "archive verify" says of a partition.
type verifiedLog struct {
	Topic     string   `json:"topic"`
	TopicID   string   `json:"topic_id"`
	Partition int32    `json:"partition"`
	Segments  int64    `json:"segments"`
	Records   int64    `json:"records"`
	Bytes     int64    `json:"bytes"`
	Orphans   int      `json:"orphans"`            // objects that do not count; gc removes them in time
	Compared  *int64   `json:"compared,omitempty"` // batches that Kafka has, too
	Damage    []string `json:"damage,omitempty"`
}

// damagedError says that a verification has found something.
type damagedError struct{ n int }

func (e *damagedError) Error() string {
	if e.n == 1 {
		return "the archive is damaged in 1 place"
	}
	return fmt.Sprintf("the archive is damaged in %d places", e.n)
}

func archiveVerifyCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [TOPIC[:PARTITION]...]",
		Short: "Check that the archive is what was written",
		Long: `Check the archive: manifests, and each segment's size and footer. With --deep all
data is read, and each batch checked by its checksum. With --against-kafka the
archive is compared with what Kafka still has of the same offsets, batch by batch;
on compacted topics, whose batches Kafka rewrites, the surviving records.

The exit code is 1 where something is wrong.`,
		Example: fmt.Sprintf("  %[1]s archive verify --deep --bucket file:///var/lib/kappa/archive\n  %[1]s archive verify clicks --against-kafka --brokers 127.0.0.1:9092 --bucket s3://history", app.Name),
	}
	cmd.Flags().Bool("deep", false, "read and check all data")
	cmd.Flags().Bool("against-kafka", false, "compare with what the cluster still has")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := openStore(cmd)
		if err != nil {
			return err
		}
		defer s.close()
		logs, err := s.logs(cmd, args)
		if err != nil {
			return err
		}
		rows, damaged, err := s.verify(cmd, logs)
		if err != nil {
			return err
		}
		if err := printVerified(cmd, rows); err != nil || damaged == 0 {
			return err
		}
		return &damagedError{damaged}
	}
	return jsonFlag(selectionFlags(cmd))
}

func printVerified(cmd *cobra.Command, rows []verifiedLog) error {
	err := printRows(cmd, rows, "TOPIC PARTITION ID SEGMENTS RECORDS BYTES ORPHANS COMPARED DAMAGE", func(r verifiedLog) []any {
		return []any{r.Topic, r.Partition, r.TopicID[:8], r.Segments, r.Records, r.Bytes, r.Orphans, number(r.Compared), len(r.Damage)}
	})
	if err != nil || (flags{cmd.Flags()}).on("json") {
		return err
	}
	for _, r := range rows {
		for _, d := range r.Damage {
			fmt.Fprintf(cmd.OutOrStdout(), "%s/%d: %s\n", r.Topic, r.Partition, d)
		}
	}
	return nil
}

func (s *store) verify(cmd *cobra.Command, logs []archive.Log) (rows []verifiedLog, damaged int, err error) {
	f := flags{cmd.Flags()}
	compare := func(context.Context, *archive.Manifest, *verifiedLog) error { return nil }
	if f.on("against-kafka") {
		c, err := Connect(cmd)
		if err != nil {
			return nil, 0, err
		}
		defer c.Close()
		compare = s.comparison(c)
	}
	progress := s.progress("verified", len(logs))
	for _, l := range logs {
		row := verifiedLog{Topic: l.Topic, TopicID: l.TopicID.String(), Partition: l.Partition}
		m, err := s.latest(cmd.Context(), l)
		switch {
		case errors.Is(err, archive.ErrCorrupt):
			row.Damage = append(row.Damage, err.Error())
		case err != nil:
			return nil, 0, err
		case m == nil:
			continue
		default:
			if err := s.verifyLog(cmd.Context(), m, f.on("deep"), &row); err != nil {
				return nil, 0, err
			}
			if err := compare(cmd.Context(), m, &row); err != nil {
				return nil, 0, err
			}
		}
		progress(row.Bytes)
		damaged += len(row.Damage)
		rows = append(rows, row)
	}
	return rows, damaged, nil
}

func (s *store) verifyLog(ctx context.Context, m *archive.Manifest, deep bool, row *verifiedLog) error {
	v, err := s.Verify(ctx, m, archive.VerifyConfig{Deep: deep})
	if err != nil {
		return err
	}
	row.Segments, row.Records, row.Bytes, row.Orphans = v.Segments, v.Records, v.Bytes, len(v.Orphans)
	for _, d := range v.Damage {
		row.Damage = append(row.Damage, d.Error())
	}
	return nil
}

// comparison holds a log against Kafka; what Kafka does not have is not compared.
func (s *store) comparison(c *Client) func(context.Context, *archive.Manifest, *verifiedLog) error {
	return func(ctx context.Context, m *archive.Manifest, row *verifiedLog) error {
		if m.Log.Cluster != c.cluster.ID() {
			return nil
		}
		topics, err := c.cluster.Topics(ctx, m.Log.Topic)
		if err != nil {
			return err
		}
		if t, ok := topics[m.Log.Topic]; !ok || t.ID != m.Log.TopicID {
			return nil
		}
		compared, err := s.mender(c).Compare(ctx, m)
		if errors.Is(err, archiver.ErrDiverged) || errors.Is(err, archive.ErrCorrupt) {
			row.Damage = append(row.Damage, err.Error())
			err = nil
		}
		n := compared.Batches + compared.Rewritten
		row.Compared = &n
		return err
	}
}

// progressEvery is how often long work says how far it is.
const progressEvery = 5 * time.Second

// progress returns what to call after each of n partitions; it logs now and then how
// far the work is.
func (s *store) progress(what string, n int) func(bytes int64) {
	began := time.Now()
	said, done, total := began, 0, int64(0)
	return func(bytes int64) {
		done, total = done+1, total+bytes
		now := time.Now()
		if now.Sub(said) < progressEvery {
			return
		}
		said = now
		took := now.Sub(began)
		s.log.Info(what, "partitions", done, "of", n, "bytes", total, "bytes/s", int64(float64(total)/took.Seconds()),
			"left", (took / time.Duration(done) * time.Duration(n-done)).Round(time.Second))
	}
}

// healedRow is what "archive heal" says of one place.
type healedRow struct {
	Topic     string `json:"topic"`
	TopicID   string `json:"topic_id"`
	Partition int32  `json:"partition"`
	Start     int64  `json:"start"` // the offsets concerned; both -1: unknown
	End       int64  `json:"end"`
	Healed    bool   `json:"healed"`
	What      string `json:"what"`
	Error     string `json:"error,omitempty"`
}

func archiveHealCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "heal [TOPIC[:PARTITION]...]",
		Short: "Rebuild what is damaged",
		Long: `Look for damage, as verify --deep does, and rebuild it: segments from Kafka, as long as
it has their offsets, and manifests from older ones and from the segments. With
--truncate the archive also forgets what Kafka's log has lost in an unclean election.

The exit code is 1 where something cannot be mended.`,
		Example: fmt.Sprintf("  %s archive heal clicks --brokers 127.0.0.1:9092 --bucket file:///var/lib/kappa/archive", app.Name),
	}
	cmd.Flags().Bool("truncate", false, "remove from the archive what the log has lost")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
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
		rows, failed, err := s.heal(cmd, c, args)
		if err != nil {
			return err
		}
		err = printRows(cmd, rows, "TOPIC PARTITION ID START END HEALED WHAT", func(r healedRow) []any {
			return []any{r.Topic, r.Partition, r.TopicID[:8], r.Start, r.End, r.Healed, strings.Join(strings.Fields(r.What+" "+r.Error), " ")}
		})
		if err == nil && failed > 0 {
			err = fmt.Errorf("%d places cannot be mended", failed)
		}
		return err
	}
	return jsonFlag(selectionFlags(cmd))
}

func (s *store) heal(cmd *cobra.Command, c *Client, args []string) (rows []healedRow, failed int, err error) {
	logs, err := s.logs(cmd, args)
	if err != nil {
		return nil, 0, err
	}
	logs = inCluster(logs, c)
	progress := s.progress("looked at", len(logs))
	for _, l := range logs {
		healed, err := s.mender(c).Heal(cmd.Context(), l)
		if err != nil && !errors.Is(err, archive.ErrNotArchived) {
			return nil, 0, err
		}
		if (flags{cmd.Flags()}).on("truncate") && err == nil {
			was, is, err := s.mender(c).Truncate(cmd.Context(), l)
			if was != is || err != nil {
				healed = append(healed, archiver.Healed{Log: l, Start: is, End: was, What: "the log has lost what was archived; truncated", Err: err})
			}
		}
		for _, h := range healed {
			row := healedRow{l.Topic, l.TopicID.String(), l.Partition, h.Start, h.End, h.Err == nil, h.What, ""}
			if h.Err != nil {
				row.Error = h.Err.Error()
				failed++
			}
			rows = append(rows, row)
		}
		progress(0)
	}
	return rows, failed, nil
}

// collectedRow is what "archive gc" says of a partition.
type collectedRow struct {
	Topic     string   `json:"topic"`
	TopicID   string   `json:"topic_id"`
	Partition int32    `json:"partition"`
	Segments  int      `json:"segments"`
	Manifests int      `json:"manifests"`
	Bytes     int64    `json:"bytes"`
	Objects   []string `json:"objects,omitempty"`
}

func archiveCollectCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gc [TOPIC[:PARTITION]...]",
		Short: "Remove objects that no longer count",
		Long: `Remove objects that no longer count and are older than the grace: segments that were
merged or are beyond retention, what killed archivers left, old manifests. Running
archivers do so by themselves.`,
		Example: fmt.Sprintf("  %s archive gc --dry-run --bucket file:///var/lib/kappa/archive", app.Name),
	}
	cmd.Flags().Duration("grace", 24*time.Hour, "how long objects that no longer count are kept, for who still reads or writes them")
	cmd.Flags().Bool("dry-run", false, "only say what would be removed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := openStore(cmd)
		if err != nil {
			return err
		}
		defer s.close()
		rows, err := s.collect(cmd, args)
		if err != nil {
			return err
		}
		return printRows(cmd, rows, "TOPIC PARTITION ID SEGMENTS MANIFESTS BYTES", func(r collectedRow) []any {
			return []any{r.Topic, r.Partition, r.TopicID[:8], r.Segments, r.Manifests, r.Bytes}
		})
	}
	return jsonFlag(selectionFlags(cmd))
}

func (s *store) collect(cmd *cobra.Command, args []string) (rows []collectedRow, err error) {
	logs, err := s.logs(cmd, args)
	if err != nil {
		return nil, err
	}
	grace, _ := cmd.Flags().GetDuration("grace")
	if grace <= 0 {
		return nil, &usageError{fmt.Errorf("--grace %v: it must be positive; 1ns keeps nothing", grace)}
	}
	config := archive.CollectConfig{Grace: grace, DryRun: (flags{cmd.Flags()}).on("dry-run")}
	progress := s.progress("collected", len(logs))
	for _, l := range logs {
		w, err := s.Writer(cmd.Context(), l)
		if err != nil {
			return nil, err
		}
		got, err := w.Collect(cmd.Context(), config)
		if errors.Is(err, archive.ErrFenced) {
			s.log.Info("an archiver is at work; try again for it", "log", l.String())
			continue
		}
		if err != nil {
			return nil, err
		}
		progress(got.Bytes)
		rows = append(rows, collectedRow{l.Topic, l.TopicID.String(), l.Partition, len(got.Segments), len(got.Manifests), got.Bytes, append(got.Segments, got.Manifests...)})
	}
	return rows, nil
}
