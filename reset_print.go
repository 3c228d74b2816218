package kappa

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/internal/reset"
)

// resetRow is a partition of a plan as the verb prints it.
type resetRow struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	From      int64     `json:"from"` // -1: the group had none
	To        int64     `json:"to"`
	Archive   *[2]int64 `json:"archive,omitempty"` // from, and the end
	Kafka     *[2]int64 `json:"kafka,omitempty"`
	Records   int64     `json:"records"`
	Bytes     int64     `json:"bytes"` // -1: unknown
}

func resetRows(p *ResetPlan) []resetRow {
	rows := make([]resetRow, len(p.Moves))
	for i, m := range p.Moves {
		rows[i] = resetRow{Topic: m.Partition.Topic, Partition: m.Partition.Partition, From: m.From, To: m.To, Records: m.Records, Bytes: m.Bytes}
		if m.ArchiveFrom < m.ArchiveTo {
			rows[i].Archive = &[2]int64{m.ArchiveFrom, m.ArchiveTo}
		}
		if m.KafkaFrom < m.End {
			rows[i].Kafka = &[2]int64{m.KafkaFrom, m.End}
		}
	}
	return rows
}

// resetJSON is a plan as the verb prints it for programs.
type resetJSON struct {
	Group           string     `json:"group"`
	Made            bool       `json:"made"`
	Partitions      []resetRow `json:"partitions"`
	Records         int64      `json:"records"`
	Bytes           int64      `json:"bytes"`
	ExpectedSeconds float64    `json:"expected_seconds"`
	Generation      uint64     `json:"generation"`
	KeepState       bool       `json:"keep_state"`
	Mute            bool       `json:"mute"`
	AtOnce          bool       `json:"at_once"`
	Table           string     `json:"table,omitempty"`
	OldTable        string     `json:"old_table,omitempty"`
	Outputs         []string   `json:"outputs,omitempty"`
	Old             []string   `json:"old,omitempty"`
	Members         []string   `json:"members,omitempty"`
}

func printReset(cmd *cobra.Command, p *ResetPlan, made bool) error {
	rows, out := resetRows(p), cmd.OutOrStdout()
	bytes, known := p.Bytes()
	if !known {
		bytes = -1
	}
	if (flags{cmd.Flags()}).on("json") {
		j := resetJSON{
			p.Group, made, rows, p.Records(), bytes, p.Expected().Seconds(), p.Generation, p.KeepState, p.Mute, p.AtOnce,
			p.Table, p.OldTable, p.Outputs, p.Old, nil,
		}
		for _, m := range p.Members {
			j.Members = append(j.Members, m.Member)
		}
		return printJSON(out, []resetJSON{j})
	}
	err := printRows(cmd, rows, "TOPIC PARTITION FROM TO ARCHIVE KAFKA RECORDS BYTES", func(r resetRow) []any {
		from := any(r.From)
		if r.From < 0 {
			from = "-"
		}
		return []any{r.Topic, r.Partition, from, r.To, span(r.Archive), span(r.Kafka), r.Records, roughSize(r.Bytes)}
	})
	if err == nil {
		_, err = io.WriteString(out, "\n"+resetText(p, bytes, made))
	}
	return err
}

// resetText says what a plan does beside moving positions.
func resetText(p *ResetPlan, bytes int64, made bool) string {
	var b strings.Builder
	size := roughSize(bytes)
	if bytes < 0 {
		size = "bytes unknown"
	}
	fmt.Fprintf(&b, "about %d records, %s to read: %v at %d records a second\n", p.Records(), size, p.Expected(), reset.Rate)
	switch {
	case p.KeepState:
		b.WriteString("state: kept, what is read again is processed on top of it\n")
	case p.Table == "":
		b.WriteString("state: cleared\n")
	case p.AtOnce || p.OldTable == "":
		fmt.Fprintf(&b, "state: cleared; the table is %s, which readers see at once\n", p.Table)
	default:
		fmt.Fprintf(&b, "state: cleared; the table is %s, readers keep %s until the old position is reached\n", p.Table, p.OldTable)
	}
	switch {
	case len(p.Outputs) == 0:
		b.WriteString("outputs: none\n")
	case p.Mute:
		fmt.Fprintf(&b, "outputs: silent until the old position is reached: %s\n", strings.Join(p.Outputs, ", "))
	default:
		fmt.Fprintf(&b, "outputs: written again: %s\n", strings.Join(p.Outputs, ", "))
	}
	if len(p.Old) > 0 {
		fmt.Fprintf(&b, "deleted later, when nobody reads them: %s\n", strings.Join(p.Old, ", "))
	}
	switch {
	case made:
		fmt.Fprintf(&b, "group %s is reset; run it\n", p.Group)
	case len(p.Members) > 0:
		fmt.Fprintf(&b, "not possible yet: %v\n", &reset.BusyError{Group: p.Group, Members: p.Members})
		b.WriteString("nothing was changed\n")
	default:
		b.WriteString("nothing was changed; add --yes\n")
	}
	return b.String()
}

func span(r *[2]int64) string {
	if r == nil {
		return "-"
	}
	return fmt.Sprintf("%d-%d", r[0], r[1])
}

// roughSize is a number of bytes for people, -1 stands for unknown.
func roughSize(n int64) string {
	if n < 0 {
		return "unknown"
	}
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	v, u := float64(n), 0
	for v >= 999.5 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	if u == 0 || v >= 99.5 {
		return fmt.Sprintf("%.0f%s", v, units[u])
	}
	return fmt.Sprintf("%.1f%s", v, units[u])
}
