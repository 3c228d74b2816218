package views_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/views"
)

// exampleCluster is an embedded broker with the table of group "visits".
func exampleCluster(ctx context.Context, rows ...record.Record) (c *kafka.Cluster, closeAll func(), err error) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		return nil, nil, err
	}
	c, err = kafka.Open(ctx, kafka.Config{Brokers: broker.ListenAddrs()})
	if err != nil {
		return nil, nil, err
	}
	if _, err = c.CreateTopics(ctx, kafka.TableSpec("visits-table", 2)); err != nil {
		return nil, nil, err
	}
	return c, func() { c.Close(); broker.Close() }, write(ctx, c, rows...)
}

func write(ctx context.Context, c *kafka.Cluster, rows ...record.Record) error {
	e, err := c.NewEmitter(kafka.EmitterConfig{})
	if err != nil {
		return err
	}
	defer e.Close()
	for _, r := range rows {
		r.Topic, r.Timestamp = "visits-table", 1
		if err := e.Emit(ctx, r); err != nil {
			return err
		}
	}
	return e.Flush(ctx)
}

func visits(user, n string) record.Record { return record.Record{Key: []byte(user), Value: []byte(n)} }

func Example() {
	ctx := context.Background()
	cluster, closeAll, err := exampleCluster(ctx, visits("ann", "3"), visits("bob", "1"), visits("cem", "7"))
	if err != nil {
		log.Fatal(err)
	}
	defer closeAll()

	v, err := views.Open(ctx, views.Config{
		Logs: cluster, Table: "visits", DB: state.NewMemory(),
		Codec: schema.Boxed(schema.Int64()),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	if err := v.WaitCaughtUp(ctx); err != nil {
		log.Fatal(err)
	}

	n, found, err := v.Get("ann")
	fmt.Println(n, found, err)
	for q := (views.Query{Limit: 2}); ; {
		page, err := v.Scan(q)
		if err != nil {
			log.Fatal(err)
		}
		for _, row := range page.Rows {
			fmt.Println(row.Key, row.Value)
		}
		if q.From = page.Next; q.From == "" {
			break
		}
	}
	// Output:
	// 3 true <nil>
	// ann 3
	// bob 1
	// cem 7
}

func ExampleView_Subscribe() {
	ctx := context.Background()
	cluster, closeAll, err := exampleCluster(ctx, visits("ann", "3"))
	if err != nil {
		log.Fatal(err)
	}
	defer closeAll()
	v, err := views.Open(ctx, views.Config{Logs: cluster, Table: "visits", DB: state.NewMemory()})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	if err := v.WaitCaughtUp(ctx); err != nil {
		log.Fatal(err)
	}

	changes, err := v.Subscribe(ctx, "a")
	if err != nil {
		log.Fatal(err)
	}
	defer changes.Close()
	if err := write(ctx, cluster, visits("bob", "1"), visits("ann", "4")); err != nil {
		log.Fatal(err)
	}
	c, err := changes.Next(ctx)
	fmt.Fprintf(os.Stdout, "%s: %s, was %s (%v)\n", c.Key, c.Value, c.Old, err)
	// Output: ann: 4, was 3 (<nil>)
}
