package kappa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/archive/bucket"
	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/record"
)

func archiveCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "archive",
		Short: "Keep the history of topics in a bucket, and look into it",
		Long: `Keep the history of topics in a bucket: their record batches, byte for byte, with
offsets and transactions. A bucket is file:///DIRECTORY, s3://NAME?region=REGION,
gs://NAME or azblob://CONTAINER, each with ?prefix=FOLDER/ where wanted.`,
	}
	for _, verb := range []func(App) *cobra.Command{
		archiveRunCommand, archiveListCommand, archiveShowCommand, archiveCatCommand,
		archiveVerifyCommand, archiveHealCommand, archiveCollectCommand, archiveTrimCommand,
	} {
		c := verb(app)
		c.Flags().String("bucket", "", "URL of the archive's bucket")
		// It is there.
		_ = c.MarkFlagRequired("bucket")
		cmd.AddCommand(c)
	}
	return cmd
}

// store is an archive that a verb works on.
type store struct {
	*archive.Archive
	log   *slog.Logger
	close func() error
}

// openStore opens the bucket that a verb names. The caller closes it.
func openStore(cmd *cobra.Command) (*store, error) {
	log, err := logger(cmd)
	if err != nil {
		return nil, err
	}
	url := flags{cmd.Flags()}.text("bucket")
	b, err := bucket.Open(cmd.Context(), url)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", url, err)
	}
	return &store{archive.New(b, archive.Config{}), log, b.Close}, nil
}

// selection says which logs of an archive a verb is about.
type selection struct {
	topic     string // "" for all
	partition int32  // -1 for all
}

// selections reads TOPIC and TOPIC:PARTITION.
func selections(args []string) ([]selection, error) {
	var list []selection
	for _, arg := range args {
		topic, number, found := strings.Cut(arg, ":")
		s := selection{topic, -1}
		if found {
			n, err := strconv.ParseInt(number, 10, 32)
			if err != nil || n < 0 {
				return nil, &usageError{fmt.Errorf("%q: use TOPIC or TOPIC:PARTITION", arg)}
			}
			s.partition = int32(n)
		}
		if topic == "" {
			return nil, &usageError{fmt.Errorf("%q: use TOPIC or TOPIC:PARTITION", arg)}
		}
		list = append(list, s)
	}
	return list, nil
}

func (s selection) match(l archive.Log) bool {
	return (s.topic == "" || s.topic == l.Topic) && (s.partition < 0 || s.partition == l.Partition)
}

var errNotInArchive = errors.New("not in the archive")

// logs returns the logs that the arguments of a verb select, all without arguments,
// and of those the ones that the flags cluster and id leave.
func (s *store) logs(cmd *cobra.Command, args []string) ([]archive.Log, error) {
	wanted, err := selections(args)
	if err != nil {
		return nil, err
	}
	all, err := s.Logs(cmd.Context())
	if err != nil {
		return nil, err
	}
	f := flags{cmd.Flags()}
	all = slices.DeleteFunc(all, func(l archive.Log) bool {
		return f.text("cluster") != "" && f.text("cluster") != l.Cluster || !strings.HasPrefix(l.TopicID.String(), strings.ToLower(f.text("id")))
	})
	if len(wanted) == 0 {
		return all, nil
	}
	var logs []archive.Log
	for _, w := range wanted {
		n := len(logs)
		for _, l := range all {
			if w.match(l) {
				logs = append(logs, l)
			}
		}
		if len(logs) == n {
			return nil, fmt.Errorf("%s: %w", strings.Join(args, " "), errNotInArchive)
		}
	}
	return logs, nil
}

func selectionFlags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String("cluster", "", "id of the cluster, where the bucket has topics of several (default: all)")
	cmd.Flags().String("id", "", "how the topic's id begins, where a topic was deleted and created anew (default: all)")
	return cmd
}

// oneHistory refuses logs of several histories under one name: their offsets mean
// different records.
func oneHistory(logs []archive.Log) error {
	for _, l := range logs[1:] {
		if first := logs[0]; l.Topic == first.Topic && (l.TopicID != first.TopicID || l.Cluster != first.Cluster) {
			return &usageError{fmt.Errorf("topic %s has several histories in the archive: choose with --id %s or %s (cluster %s or %s)",
				l.Topic, first.TopicID.String()[:8], l.TopicID.String()[:8], first.Cluster, l.Cluster)}
		}
	}
	return nil
}

// latest returns a log's manifest, nil where nothing of it counts yet.
func (s *store) latest(ctx context.Context, l archive.Log) (*archive.Manifest, error) {
	m, err := s.Latest(ctx, l)
	if errors.Is(err, archive.ErrNotArchived) {
		return nil, nil
	}
	return m, err
}

// mender connects to the cluster of a verb, to mend or compare its archive.
func (s *store) mender(c *Client) archiver.Mender {
	return archiver.Mender{Cluster: c.cluster, Archive: s.Archive}
}

func partitionOf(l archive.Log) record.Partition {
	return record.Partition{Topic: l.Topic, Partition: l.Partition}
}

// inCluster leaves the logs that are of the cluster.
func inCluster(logs []archive.Log, c *Client) []archive.Log {
	return slices.DeleteFunc(slices.Clone(logs), func(l archive.Log) bool { return l.Cluster != c.cluster.ID() })
}
