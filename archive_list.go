package kappa

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// archivedLog is a partition's archive as "archive ls" shows it.
type archivedLog struct {
	Cluster   string `json:"cluster"`
	Topic     string `json:"topic"`
	TopicID   string `json:"topic_id"`
	Partition int32  `json:"partition"`
	Start     int64  `json:"start"` // the first offset archived
	End       int64  `json:"end"`   // the next offset to archive
	Records   int64  `json:"records"`
	Segments  int    `json:"segments"`
	Bytes     int64  `json:"bytes"`
	Gaps      int    `json:"gaps"`
	Newest    string `json:"newest,omitempty"` // time of the newest record
	Lag       *int64 `json:"lag,omitempty"`    // offsets that Kafka has beyond
}

func archiveListCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls [TOPIC[:PARTITION]...]",
		Short: "List what the archive has",
		Long: `List what the archive has: for each partition the offsets from START to before END,
and how many segments hold them. With --brokers, LAG is how many offsets Kafka has
beyond; without, no cluster is asked.`,
		Example: fmt.Sprintf("  %[1]s archive ls --bucket file:///var/lib/kappa/archive\n  %[1]s archive ls clicks --bucket s3://history --brokers 127.0.0.1:9092 --json", app.Name),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := openStore(cmd)
		if err != nil {
			return err
		}
		defer s.close()
		rows, err := s.list(cmd, args)
		if err != nil {
			return err
		}
		return printRows(cmd, rows, "TOPIC PARTITION ID START END RECORDS SEGMENTS BYTES GAPS NEWEST LAG", func(r archivedLog) []any {
			return []any{r.Topic, r.Partition, r.TopicID[:8], r.Start, r.End, r.Records, r.Segments, r.Bytes, r.Gaps, dash(r.Newest), number(r.Lag)}
		})
	}
	return jsonFlag(selectionFlags(cmd))
}

func (s *store) list(cmd *cobra.Command, args []string) ([]archivedLog, error) {
	logs, err := s.logs(cmd, args)
	if err != nil {
		return nil, err
	}
	lag := func(*archivedLog, archive.Log) error { return nil }
	if cmd.Flags().Changed("brokers") {
		c, err := Connect(cmd)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if lag, err = c.lagOf(cmd, logs); err != nil {
			return nil, err
		}
	}
	var rows []archivedLog
	for _, l := range logs {
		m, err := s.latest(cmd.Context(), l)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue // orphans only
		}
		row := listed(m)
		if err := lag(&row, l); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func listed(m *archive.Manifest) archivedLog {
	row := archivedLog{
		Cluster: m.Log.Cluster, Topic: m.Log.Topic, TopicID: m.Log.TopicID.String(), Partition: m.Log.Partition,
		Start: m.Start(), End: m.Next, Records: m.Records(), Segments: len(m.Segments), Bytes: m.Bytes(), Gaps: len(m.Gaps),
	}
	newest := int64(archive.NoTimestamp)
	for i := range m.Segments {
		newest = max(newest, m.Segments[i].MaxTimestamp)
	}
	row.Newest = when(newest)
	return row
}

// lagOf asks the cluster how far the logs go, and returns what fills it in. A topic
// that Kafka no longer has, or has anew, has no lag.
func (c *Client) lagOf(cmd *cobra.Command, logs []archive.Log) (func(*archivedLog, archive.Log) error, error) {
	names := map[string]bool{}
	var list []string
	for _, l := range inCluster(logs, c) {
		if !names[l.Topic] {
			names[l.Topic], list = true, append(list, l.Topic)
		}
	}
	topics, err := c.cluster.Topics(cmd.Context(), list...)
	if err != nil {
		return nil, err
	}
	var parts []record.Partition
	for _, l := range inCluster(logs, c) {
		if t, ok := topics[l.Topic]; ok && t.ID == l.TopicID {
			parts = append(parts, partitionOf(l))
		}
	}
	ends, err := c.cluster.EndsOf(cmd.Context(), parts...)
	if err != nil {
		return nil, err
	}
	return func(row *archivedLog, l archive.Log) error {
		if e, ok := ends[partitionOf(l)]; ok && l.Cluster == c.cluster.ID() && e.TopicID == l.TopicID {
			n := max(0, e.LastStable-max(row.End, e.Start))
			row.Lag = &n
		}
		return nil
	}, nil
}

// when writes a timestamp for people, nothing for none.
func when(ms int64) string {
	if ms == archive.NoTimestamp {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func number(n *int64) any {
	if n == nil {
		return "-"
	}
	return *n
}

// archivedPart is a segment or a gap as "archive show" shows it.
type archivedPart struct {
	Topic     string `json:"topic"`
	TopicID   string `json:"topic_id"`
	Partition int32  `json:"partition"`
	Kind      string `json:"kind"` // segment or gap
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	Records   int64  `json:"records"`
	Batches   int64  `json:"batches"`
	Bytes     int64  `json:"bytes"`
	First     string `json:"first,omitempty"` // time of the first record
	Newest    string `json:"newest,omitempty"`
	Epoch     int32  `json:"leader_epoch"`     // of the last batch
	Object    string `json:"object,omitempty"` // key in the bucket
	Reason    string `json:"reason,omitempty"` // of a gap
}

func archiveShowCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show TOPIC[:PARTITION]...",
		Short: "Show the segments of a topic's archive",
		Long: `Show the segments of a topic's archive, and the gaps between them: offsets that Kafka
had deleted before they were archived, and that were accepted as lost.`,
		Example: fmt.Sprintf("  %s archive show clicks:0 --bucket file:///var/lib/kappa/archive", app.Name),
		Args:    cobra.MinimumNArgs(1),
	}
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
		var rows []archivedPart
		for _, l := range logs {
			m, err := s.latest(cmd.Context(), l)
			if err != nil {
				return err
			}
			if m != nil {
				rows = append(rows, partsOf(m)...)
			}
		}
		return printRows(cmd, rows, "TOPIC PARTITION ID KIND START END RECORDS BYTES FIRST NEWEST OBJECT", func(r archivedPart) []any {
			return []any{r.Topic, r.Partition, r.TopicID[:8], r.Kind, r.Start, r.End, r.Records, r.Bytes, dash(r.First), dash(r.Newest), dash(r.Object + r.Reason)}
		})
	}
	return jsonFlag(selectionFlags(cmd))
}

// partsOf returns the segments and gaps of an archive, by offset.
func partsOf(m *archive.Manifest) []archivedPart {
	var rows []archivedPart
	gaps := m.Gaps
	gap := func(before int64) {
		for len(gaps) > 0 && gaps[0].From < before {
			g := gaps[0]
			rows = append(rows, archivedPart{Kind: "gap", Start: g.From, End: g.To, Epoch: -1, Reason: g.Reason})
			gaps = gaps[1:]
		}
	}
	for i := range m.Segments {
		s := &m.Segments[i]
		gap(s.Start)
		rows = append(rows, archivedPart{
			Kind: "segment", Start: s.Start, End: s.End, Records: s.Records, Batches: s.Batches, Bytes: s.Bytes(),
			First: when(s.FirstTimestamp), Newest: when(s.MaxTimestamp), Epoch: s.LastEpoch, Object: s.Key(m.Log),
		})
	}
	gap(m.Next)
	for i := range rows {
		rows[i].Topic, rows[i].TopicID, rows[i].Partition = m.Log.Topic, m.Log.TopicID.String(), m.Log.Partition
	}
	return rows
}
