package kappa

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// trimmedRow is what "archive trim" says of a partition.
type trimmedRow struct {
	Topic     string `json:"topic"`
	TopicID   string `json:"topic_id"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"` // offsets, the last not included
	To        int64  `json:"to"`
	Deleted   bool   `json:"deleted"`
}

func archiveTrimCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trim TOPIC[:PARTITION]...",
		Short: "Delete from Kafka what the archive has",
		Long: `Delete from Kafka what the archive has of topics, as retention would in time, but for
the last batch of each partition. Both are first compared, batch by batch; where they
differ, nothing is deleted. Compacted topics are refused. Without --yes it says what
it would delete.

Who reads these offsets from then on needs the archive: give run --bucket.`,
		Example: fmt.Sprintf("  %s archive trim clicks --brokers 127.0.0.1:9092 --bucket file:///var/lib/kappa/archive", app.Name),
		Args:    cobra.MinimumNArgs(1),
	}
	cmd.Flags().Bool("yes", false, "do it")
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
		rows, err := s.trim(cmd, c, args)
		if err != nil {
			return err
		}
		err = printRows(cmd, rows, "TOPIC PARTITION ID FROM TO DELETED", func(r trimmedRow) []any {
			return []any{r.Topic, r.Partition, r.TopicID[:8], r.From, r.To, r.Deleted}
		})
		if f := (flags{cmd.Flags()}); err == nil && !f.on("yes") && !f.on("json") {
			fmt.Fprintln(cmd.OutOrStdout(), "nothing was deleted; add --yes")
		}
		return err
	}
	return jsonFlag(cmd)
}

// trim compares all before it deletes anything. Topics that were deleted, or created
// anew, are passed over.
func (s *store) trim(cmd *cobra.Command, c *Client, args []string) (rows []trimmedRow, err error) {
	logs, err := s.logs(cmd, args)
	if err != nil {
		return nil, err
	}
	var there []*archive.Manifest
	for _, l := range inCluster(logs, c) {
		m, err := s.latest(cmd.Context(), l)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		from, to, err := s.mender(c).Trim(cmd.Context(), m, true)
		if errors.Is(err, record.ErrUnknownTopic) || errors.Is(err, record.ErrRecreated) {
			continue
		}
		if err != nil {
			return nil, err
		}
		there = append(there, m)
		rows = append(rows, trimmedRow{l.Topic, l.TopicID.String(), l.Partition, from, to, false})
	}
	if !(flags{cmd.Flags()}).on("yes") {
		return rows, nil
	}
	for i, m := range there {
		from, to, err := s.mender(c).Trim(cmd.Context(), m, false)
		if err != nil {
			return nil, err
		}
		rows[i].From, rows[i].To, rows[i].Deleted = from, to, from < to
	}
	return rows, nil
}
