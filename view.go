package kappa

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/topology"
	"github.com/seed-73111be4/kappa/views"
)

// A View is a view with a copy in memory, of its own.
type View struct {
	*views.View
	db state.DB
}

// View opens a view of a table, which is named by its group, its topic or an
// alias. The codec decodes values; every goka.Codec is one. The caller closes the
// view.
func (c *Client) View(ctx context.Context, table string, codec views.Codec) (*View, error) {
	db := state.NewMemory()
	v, err := views.Open(ctx, views.Config{Logs: c.cluster, Table: table, DB: db, Codec: codec, CacheBytes: -1, Log: c.log})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &View{v, db}, nil
}

// Close ends the view and drops its copy.
func (v *View) Close() error { return errors.Join(v.View.Close(), v.db.Close()) }

func viewCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "view TABLE [KEY]",
		Short: "Show a table, or one key of it",
		Long: `Show a table, or the value of one key, as of the ends of its log now. TABLE is the
name of a group, of a topic, or an alias. Rows come in the order of their keys.`,
		Example: fmt.Sprintf("  %s view clicks-per-user --codec int64\n  %s view clicks-per-user alice --codec int64 --json", app.Name, app.Name),
		Args:    cobra.RangeArgs(1, 2),
	}
	f := cmd.Flags()
	f.String("codec", "string", "how values are encoded: "+codecNames)
	if len(app.Groups) > 0 {
		f.Lookup("codec").DefValue = ""
		f.Lookup("codec").Usage += " (default: as the program's groups do, else string)"
		name := app.Groups[0].Name()
		cmd.Example = fmt.Sprintf("  %s view %s --limit 10\n  %s view %s KEY --json", app.Name, name, app.Name, name)
	}
	f.String("schema", "", "file of the Avro schema")
	f.String("prefix", "", "show keys that start so")
	f.String("from", "", "show keys from this one on")
	f.String("to", "", "show keys before this one")
	f.Int("limit", 0, "show at most so many rows (0: all)")
	f.Duration("wait", 30*time.Second, "how long to wait for the view to be up to date")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		codec, err := viewCodec(app, cmd, args[0])
		if err != nil {
			return err
		}
		return view(cmd, args, codec)
	}
	return jsonFlag(cmd)
}

// viewCodec is the one that was asked for, else that of the program's groups.
func viewCodec(app App, cmd *cobra.Command, table string) (views.Codec, error) {
	f := flags{cmd.Flags()}
	if !f.Changed("codec") && len(app.Groups) > 0 {
		plans, err := topology.Build(app.Groups...)
		if err != nil {
			return nil, err
		}
		if c := tableCodec(table, plans...); c != nil {
			return c, nil
		}
	}
	return codecOf(f.text("codec"), f.text("schema"))
}

func view(cmd *cobra.Command, args []string, codec views.Codec) error {
	c, err := Connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	wait, _ := cmd.Flags().GetDuration("wait")
	ctx, cancel := context.WithTimeout(cmd.Context(), wait)
	defer cancel()
	v, err := c.View(ctx, args[0], codec)
	if err != nil {
		return err
	}
	defer v.Close()
	if err := v.WaitCaughtUp(ctx); err != nil {
		return fmt.Errorf("waited %v (--wait): %w", wait, err)
	}
	if len(args) == 2 {
		return printKey(cmd, v, args[1])
	}
	return printTable(cmd, v)
}

// viewRow is a row as the verb prints it.
type viewRow struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

func printKey(cmd *cobra.Command, v *View, key string) error {
	value, found, err := v.Get(key)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("the table has no key %q", key)
	}
	return printViewRows(cmd, []viewRow{{key, value}})
}

func printTable(cmd *cobra.Command, v *View) error {
	f := flags{cmd.Flags()}
	limit, _ := f.GetInt("limit")
	page, err := v.Scan(views.Query{Prefix: f.text("prefix"), From: f.text("from"), To: f.text("to"), Limit: limit})
	if err != nil {
		return err
	}
	rows := make([]viewRow, len(page.Rows))
	for i, r := range page.Rows {
		rows[i] = viewRow{r.Key, r.Value}
	}
	return printViewRows(cmd, rows)
}

func printViewRows(cmd *cobra.Command, rows []viewRow) error {
	return printRows(cmd, rows, "KEY VALUE", func(r viewRow) []any {
		if s, ok := r.Value.(string); ok {
			return []any{r.Key, s}
		}
		b, err := json.Marshal(r.Value)
		if err != nil {
			return []any{r.Key, fmt.Sprint(r.Value)}
		}
		return []any{r.Key, string(b)}
	})
}
