package kappa

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/topology"
)

// UserTopics returns the topics that the groups need and that are not their own:
// inputs, outputs, joined and looked-up tables, dead letters. Those that a group
// makes itself are left out. They are sorted by name.
func UserTopics(partitions int32, plans ...*topology.Plan) []Topic {
	topics := make(map[string]Topic)
	add := func(name string, table bool) {
		if name != "" {
			topics[name] = Topic{Name: name, Partitions: partitions, Table: table || topics[name].Table}
		}
	}
	for _, p := range plans {
		for _, in := range p.Inputs {
			add(in.Topic, in.Kind == topology.JoinInput)
		}
		for _, l := range p.Lookups {
			add(l.Topic, true)
		}
		for _, o := range p.Outputs {
			add(o.Topic, false)
		}
		add(p.DeadLetter, false)
	}
	for _, p := range plans {
		delete(topics, p.StateTopic)
		if p.Table != nil {
			delete(topics, p.Table.Topic)
		}
		if p.Loop != nil {
			delete(topics, p.Loop.Topic)
		}
	}
	return slices.SortedFunc(maps.Values(topics), func(a, b Topic) int { return cmp.Compare(a.Name, b.Name) })
}

func topicsCommand(app App) *cobra.Command {
	cmd := &cobra.Command{Use: "topics", Short: "Create and list topics"}
	cmd.AddCommand(topicsCreateCommand(app), topicsListCommand(app))
	return cmd
}

func topicsCreateCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create TOPIC...",
		Short: "Create topics that do not exist yet",
		Long: `Create topics that do not exist yet. One that exists is left as it is; where it
has another number of partitions, nothing is created.`,
		Example: fmt.Sprintf("  %s topics create clicks --partitions 8 --config retention.ms=-1\n  %s topics create users --table", app.Name, app.Name),
		Args:    cobra.MinimumNArgs(1),
	}
	if len(app.Groups) > 0 {
		cmd.Use, cmd.Args, cmd.Example = "create [TOPIC...]", cobra.ArbitraryArgs, fmt.Sprintf("  %s topics create --partitions 8", app.Name)
		cmd.Long += ` Without names, the
topics of the program's groups are created: inputs, outputs, joined and looked-up
tables, dead letters. The groups make their own tables, loops and internal topics.`
	}
	f := cmd.Flags()
	f.Int32("partitions", 8, "number of partitions")
	f.Int16("replication", 0, "copies of each partition (default: the broker's)")
	f.Bool("table", false, "make the named topics tables: compacted")
	f.StringToString("config", nil, "settings of the topics, name=value, separated by commas")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		topics, err := topicsOf(app, cmd, names)
		if err != nil {
			return err
		}
		return createTopics(cmd, topics)
	}
	return cmd
}

// topicsOf returns what the flags and names of "topics create" ask for.
func topicsOf(app App, cmd *cobra.Command, names []string) ([]Topic, error) {
	f := flags{cmd.Flags()}
	partitions, _ := f.GetInt32("partitions")
	if partitions < 1 {
		return nil, &usageError{fmt.Errorf("--partitions %d: at least one is needed", partitions)}
	}
	var topics []Topic
	for _, n := range names {
		topics = append(topics, Topic{Name: n, Partitions: partitions, Table: f.on("table")})
	}
	if len(names) == 0 {
		plans, err := topology.Build(app.Groups...)
		if err != nil {
			return nil, err
		}
		topics = UserTopics(partitions, plans...)
	}
	for i := range topics {
		topics[i].Replication, _ = f.GetInt16("replication")
		topics[i].Config, _ = f.GetStringToString("config")
	}
	return topics, nil
}

func createTopics(cmd *cobra.Command, topics []Topic) error {
	c, err := Connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	created, err := c.CreateTopics(cmd.Context(), topics...)
	if err != nil {
		return err
	}
	for _, t := range topics {
		what := "is there already"
		if slices.Contains(created, t.Name) {
			what = fmt.Sprintf("created with %d partitions", t.Partitions)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", t.Name, what)
	}
	return nil
}

// topicRow is a topic as "topics list" shows it.
type topicRow struct {
	Topic      string `json:"topic"`
	Partitions int32  `json:"partitions"`
	Cleanup    string `json:"cleanup_policy"`
	Retention  string `json:"retention_ms"`
}

func topicsListCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list [PREFIX]",
		Short:   "List the cluster's topics",
		Example: fmt.Sprintf("  %s topics list click --json", app.Name),
		Args:    cobra.MaximumNArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := Connect(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		rows, err := c.topicRows(cmd, strings.Join(args, ""))
		if err != nil {
			return err
		}
		return printRows(cmd, rows, "TOPIC PARTITIONS CLEANUP RETENTION.MS", func(r topicRow) []any {
			return []any{r.Topic, r.Partitions, r.Cleanup, r.Retention}
		})
	}
	return jsonFlag(cmd)
}

func (c *Client) topicRows(cmd *cobra.Command, prefix string) ([]topicRow, error) {
	names, err := c.cluster.AllTopics(cmd.Context())
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) })
	if len(names) == 0 {
		return nil, nil
	}
	topics, err := c.cluster.Topics(cmd.Context(), names...)
	if err != nil {
		return nil, err
	}
	var rows []topicRow
	for _, n := range slices.Sorted(maps.Keys(topics)) {
		t := topics[n]
		rows = append(rows, topicRow{n, t.Partitions, t.Config["cleanup.policy"], t.Config["retention.ms"]})
	}
	return rows, nil
}
