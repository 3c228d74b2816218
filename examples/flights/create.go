package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/record"
)

func createCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create the topics that the groups need, and load airlines and airports",
		Long: `Create the topics flights, route-events, airlines and airports, and load the two
tables. Topics that exist are left as they are. The groups make their own.`,
		Example: "  flights topics create --brokers 127.0.0.1:9092 --partitions 8",
		Args:    cobra.NoArgs,
	}
	partitions := cmd.Flags().Int32("partitions", 8, "number of partitions")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := kappa.Connect(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		loaded, err := createTopics(cmd.Context(), c, *partitions)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "topics flights, route-events, airlines and airports are there; %d names loaded\n", loaded)
		return nil
	}
	return cmd
}

// createTopics makes the users' topics and loads the two tables; it returns the
// number of rows in them.
func createTopics(ctx context.Context, c *kappa.Client, partitions int32) (int, error) {
	forever := map[string]string{"retention.ms": "-1"} // the flights are of 2013
	_, err := c.CreateTopics(ctx,
		kappa.Topic{Name: "flights", Partitions: partitions, Config: forever},
		kappa.Topic{Name: "route-events", Partitions: partitions, Config: forever},
		kappa.Topic{Name: "airlines", Partitions: partitions, Table: true, Config: forever},
		kappa.Topic{Name: "airports", Partitions: partitions, Table: true, Config: forever},
	)
	if err != nil {
		return 0, err
	}
	emitter, err := c.Emitter(record.FNV1a)
	if err != nil {
		return 0, err
	}
	defer emitter.Close()
	a, err := load(ctx, emitter, "airlines", airlinesFile, "carrier")
	if err != nil {
		return 0, err
	}
	b, err := load(ctx, emitter, "airports", airportsFile, "faa")
	return a + b, err
}

// load writes a list of names to a table.
func load(ctx context.Context, to *kappa.Emitter, topic string, file []byte, key string) (int, error) {
	list, err := names(file, key)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", topic, err)
	}
	now := time.Now().UnixMilli()
	for k, name := range list {
		r := record.Record{Topic: topic, Key: []byte(k), Value: []byte(name), Timestamp: now}
		if err := to.Emit(ctx, r); err != nil {
			return 0, err
		}
	}
	return len(list), to.Flush(ctx)
}
