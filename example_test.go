package kappa_test

import (
	"context"
	"fmt"
	"os"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/topology"
)

// The whole of a program: main calls kappa.Main with the app. Run is what Main
// does, without the process.
func Example() {
	clicksPerUser := topology.Group("clicks-per-user",
		topology.Input("clicks", new(codec.String), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Persist(new(codec.Int64)),
	)
	app := kappa.App{Name: "clicks", Groups: []*topology.Def{clicksPerUser}}

	kappa.Run(context.Background(), app, []string{"describe", "--format", "mermaid"}, os.Stdout, os.Stderr)
	// Output:
	// flowchart LR
	//   n1["clicks-per-user"]
	//   n2(["clicks"])
	//   n2 --> n1
	//   n3[("clicks-per-user-table")]
	//   n1 <--> n3
}

// A verb of the program's own reaches the cluster through the connection flags,
// which all verbs have.
func ExampleConnect() {
	ping := &cobra.Command{
		Use:   "ping",
		Short: "See whether the brokers answer",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := kappa.Connect(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			fmt.Fprintln(cmd.OutOrStdout(), "they do")
			return nil
		},
	}
	app := kappa.App{Name: "clicks", Commands: []*cobra.Command{ping}}

	code := kappa.Run(context.Background(), app, []string{"ping", "--brokers", "127.0.0.1:1", "--connect-timeout", "20ms", "--log-level", "error"}, os.Stdout, os.Stdout)
	fmt.Println("exit code", code)
	// Output:
	// clicks: connect to kafka at 127.0.0.1:1: unable to dial: dial tcp 127.0.0.1:1: connect: connection refused (is the broker running, and is the address right?)
	// exit code 1
}

// Topics that a program's groups need, and those that they make themselves.
func ExampleUserTopics() {
	orders := topology.Group("orders",
		topology.Input("orders", new(codec.String), func(goka.Context, any) {}),
		topology.Join("customers", new(codec.String)),
		topology.Persist(new(codec.String)),
		topology.Output("labels", new(codec.String)),
	)
	plan, err := orders.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range kappa.UserTopics(8, plan) {
		fmt.Println(t.Name, t.Partitions, t.Table)
	}
	// Output:
	// customers 8 true
	// labels 8 false
	// orders 8 false
}
