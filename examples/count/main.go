// Count is the smallest app: how many records has each key had so far?
//
//	count run --brokers 127.0.0.1:9092 --input clicks --group clicks-per-user --state-dir state
//
// The counts are in the table clicks-per-user-table, with goka's codec for int64:
//
//	count view clicks-per-user --codec int64
package main

import (
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

func main() { kappa.Main(app()) }

func app() kappa.App {
	return kappa.App{
		Name:     "count",
		Short:    "Count the records of each key, exactly once",
		Commands: []*cobra.Command{runCommand()},
	}
}

func runCommand() *cobra.Command {
	var input, group, output string
	var typed bool
	cmd := kappa.RunCommand("count", func(*cobra.Command) ([]*topology.Def, error) {
		count := counter
		if typed {
			count = typedCounter
		}
		return []*topology.Def{count(goka.Group(group), goka.Stream(input), goka.Stream(output))}, nil
	})
	cmd.Short = "Count the records of each key"
	cmd.Example = "  count run --brokers 127.0.0.1:9092 --input clicks --group clicks-per-user --state-dir state"
	cmd.Flags().StringVar(&input, "input", "", "topic whose records are counted")
	cmd.Flags().StringVar(&group, "group", "", "name of the group; the counts are in its table, <group>-table")
	cmd.Flags().StringVar(&output, "output", "", "topic that gets each updated count (default: none)")
	cmd.Flags().BoolVar(&typed, "typed", false, "count with the typed helpers in place of goka's callback")
	cmd.MarkFlagRequired("input")
	cmd.MarkFlagRequired("group")
	return cmd
}

// counter counts as a goka app does.
func counter(group goka.Group, input, output goka.Stream) *topology.Def {
	edges := []topology.Edge{
		topology.Input(input, schema.Boxed(schema.Nothing()), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			n++
			ctx.SetValue(n)
			if output != "" {
				ctx.Emit(output, ctx.Key(), n)
			}
		}),
		topology.Persist(new(codec.Int64)),
	}
	if output != "" {
		edges = append(edges, topology.Output(output, new(codec.Int64)))
	}
	return topology.Group(group, edges...)
}

// typedCounter counts the same without casts, boxing and garbage.
func typedCounter(group goka.Group, input, output goka.Stream) *topology.Def {
	counts := topology.OutputOf(output, schema.Int64())
	edges := []topology.Edge{
		topology.InputOf(input, schema.Nothing(), nil, func(ctx *processors.Typed[int64], _ struct{}) {
			n, _ := ctx.Value()
			n++
			ctx.Set(n)
			if output != "" {
				counts.Forward(ctx, n)
			}
		}),
		topology.PersistOf(schema.Int64()),
	}
	if output != "" {
		edges = append(edges, counts)
	}
	return topology.Group(group, edges...)
}
