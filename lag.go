package kappa

import (
	"cmp"
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
	Committed int64  `json:"committed"` // the next offset to read
	End       int64  `json:"end"`       // the high watermark
	Lag       int64  `json:"lag"`
}

// Lag returns how far a group is in each partition that it has committed, sorted.
func (c *Client) Lag(ctx context.Context, group string) ([]Lag, error) {
	committed, err := c.cluster.Committed(ctx, group)
	if err != nil {
		return nil, err
	}
	if len(committed) == 0 {
		return nil, fmt.Errorf("group %s has committed nothing: %w", group, errNoGroup)
	}
	parts := slices.SortedFunc(maps.Keys(committed), func(a, b record.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	ends, err := c.cluster.EndsOf(ctx, parts...)
	if err != nil {
		return nil, fmt.Errorf("lag of group %s: %w", group, err)
	}
	list := make([]Lag, len(parts))
	for i, p := range parts {
		end, at := ends[p].HighWatermark, committed[p]
		list[i] = Lag{group, p.Topic, p.Partition, at, end, max(0, end-at)}
	}
	return list, nil
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
		return []any{l.Group, l.Topic, l.Partition, l.Committed, l.End, l.Lag}
	})
}

func groupNames(groups []*topology.Def) []string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name()
	}
	return names
}
