package bench

import (
	"context"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"
)

// quiet is a goka logger that says nothing.
type quiet struct{}

func (quiet) Print(...any)          {}
func (quiet) Println(...any)        {}
func (quiet) Printf(string, ...any) {}

// runGoka counts with stock goka as it comes: LevelDB, at least once. Only that it
// starts at the oldest record, and that one broker is enough, is set.
func runGoka(ctx context.Context, c childRun) error {
	config := goka.DefaultConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	topics := goka.NewTopicManagerConfig()
	topics.Table.Replication, topics.Stream.Replication = 1, 1
	p, err := goka.NewProcessor(c.Brokers, goka.DefineGroup(goka.Group(c.Group),
		goka.Input(goka.Stream(c.In), new(codec.Bytes), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		goka.Persist(new(codec.Int64))),
		goka.WithLogger(quiet{}),
		goka.WithStorageBuilder(storage.DefaultBuilder(c.Dir)),
		goka.WithConsumerGroupBuilder(goka.ConsumerGroupBuilderWithConfig(config)),
		goka.WithConsumerSaramaBuilder(goka.SaramaConsumerBuilderWithConfig(config)),
		goka.WithProducerBuilder(goka.ProducerBuilderWithConfig(config)),
		goka.WithTopicManagerBuilder(goka.TopicManagerBuilderWithConfig(config, topics)))
	if err != nil {
		return err
	}
	return p.Run(ctx)
}
