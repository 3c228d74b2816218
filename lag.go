package kappa

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// Lag says how far a group is in one partition of an input.
type Lag struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // the next offset to read, -1 before the first commit
	End       int64  `json:"end"`       // the high watermark
	Lag       int64  `json:"lag"`
}

// Lag returns how far a group is in each partition of the topics that it has
// committed, sorted.
func (c *Client) Lag(ctx context.Context, group string) ([]Lag, error) {
	committed, err := c.cluster.Committed(ctx, group)
	if err != nil {
		return nil, err
	}
	if len(committed) == 0 {
		return nil, fmt.Errorf("group %s has committed nothing: %w", group, errNoGroup)
	}
	parts, err := c.siblings(ctx, committed)
	if err != nil {
		return nil, fmt.Errorf("lag of group %s: %w", group, err)
	}
	ends, err := c.cluster.EndsOf(ctx, parts...)
	if err != nil {
		return nil, fmt.Errorf("lag of group %s: %w", group, err)
	}
	list := make([]Lag, len(parts))
	for i, p := range parts {
		at, ok := committed[p]
		from := at
		if !ok {
			at, from = -1, ends[p].Start
		}
		end := ends[p].HighWatermark
		list[i] = Lag{group, p.Topic, p.Partition, at, end, max(0, end-from)}
	}
	return list, nil
}

// siblings returns all partitions of the topics of some, sorted.
func (c *Client) siblings(ctx context.Context, some map[record.Partition]int64) ([]record.Partition, error) {
	names := make(map[string]bool)
	for p := range some {
		names[p.Topic] = true
	}
	sorted := slices.Sorted(maps.Keys(names))
	topics, err := c.cluster.Topics(ctx, sorted...)
	if err != nil {
		return nil, err
	}
	var parts []record.Partition
	for _, name := range sorted {
		for i := range topics[name].Partitions {
			parts = append(parts, record.Partition{Topic: name, Partition: i})
		}
	}
	return parts, nil
}

var errNoGroup = errors.New("no such group, or it has not run yet")

func lagCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lag GROUP...",
		Short: "Show how far groups are behind their inputs",
		Long: `Show, for each partition of a group's inputs, the committed offset, the end of
the log and how many offsets lie between them. Offsets that hold no record, such
as the markers of transactions, count as well.`,
		Example: "  kappa lag clicks-per-user --json",
		Args:    cobra.MinimumNArgs(1),
	}
	if len(app.Groups) > 0 {
		cmd.Use, cmd.Args = "lag [GROUP...]", cobra.ArbitraryArgs
		cmd.Long += " Without names, all groups of the\nprogram are shown."
		cmd.Example = fmt.Sprintf("  %s lag\n  %s lag %s --json", app.Name, app.Name, app.Groups[0].Name())
	}
	cmd.RunE = func(cmd *cobra.Command, groups []string) error {
		c, err := Connect(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		if len(groups) == 0 {
			groups = groupNames(app.Groups)
		}
		return printLag(cmd, c, groups)
	}
	return jsonFlag(cmd)
}

func printLag(cmd *cobra.Command, c *Client, groups []string) error {
	var rows []Lag
	for _, g := range groups {
		lag, err := c.Lag(cmd.Context(), g)
		if err != nil {
			return err
		}
		rows = append(rows, lag...)
	}
	return printRows(cmd, rows, "GROUP TOPIC PARTITION COMMITTED END LAG", func(l Lag) []any {
		committed := any(l.Committed)
		if l.Committed < 0 {
			committed = "-"
		}
		return []any{l.Group, l.Topic, l.Partition, committed, l.End, l.Lag}
	})
}

func groupNames(groups []*topology.Def) []string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name()
	}
	return names
}
