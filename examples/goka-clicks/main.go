// Goka-clicks counts the clicks of each user on stock goka. The example clicks is
// the same program on kappa; it goes on where this one has stopped.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"
)

func countClick(ctx goka.Context, msg any) {
	n, _ := ctx.Value().(int64)
	ctx.SetValue(n + 1)
}

var clicksPerUser = goka.DefineGroup("clicks-per-user",
	goka.Input("clicks", new(codec.String), countClick),
	goka.Persist(new(codec.Int64)),
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "goka-clicks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	topics := goka.NewTopicManagerConfig()
	topics.Table.Replication = 1 // one broker is enough for an example
	config := goka.DefaultConfig()
	config.Consumer.Offsets.Initial = -2 // start at the oldest record, as kappa does
	p, err := goka.NewProcessor(brokers(), clicksPerUser,
		goka.WithConsumerGroupBuilder(goka.ConsumerGroupBuilderWithConfig(config)),
		goka.WithTopicManagerBuilder(goka.TopicManagerBuilderWithConfig(config, topics)),
		goka.WithStorageBuilder(storage.MemoryBuilder())) // an example leaves nothing behind
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

// brokers are those that kappa's programs take, too.
func brokers() []string {
	if list := os.Getenv("KAPPA_BROKERS"); list != "" {
		return strings.Split(list, ",")
	}
	return []string{"127.0.0.1:9092"}
}
