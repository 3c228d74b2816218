package archiver

import (
	"context"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// brokers is what an archiver asks of Kafka: a cluster, or the simulation's model.
type brokers interface {
	ID() string
	AllTopics(ctx context.Context) ([]string, error)
	Topics(ctx context.Context, names ...string) (map[string]kafka.Topic, error)
	EndsOf(ctx context.Context, parts ...record.Partition) (map[record.Partition]record.Ends, error)
	Peek(ctx context.Context, id record.TopicID, p record.Partition, from int64) ([]byte, error)
	epochs
	open(id record.TopicID, p record.Partition, from int64) batches
	join(ctx context.Context, c kafka.ShareConfig, l kafka.ShareListener) (membership, error)
}

// epochs tells where leader epochs end.
type epochs interface {
	EpochEnd(ctx context.Context, p record.Partition, epoch int32) (int64, error)
}

// batches reads a log as it lies; see kafka.RawReader.
type batches interface {
	Next(ctx context.Context) (kafka.Raw, error)
	Close()
}

// membership is the place in the group; see kafka.Share.
type membership interface {
	Follow(topics []string)
	Commit(ctx context.Context, offsets map[record.Partition]int64) error
	Close(ctx context.Context)
}

// cluster makes a cluster the brokers.
type cluster struct{ *kafka.Cluster }

func (c cluster) open(id record.TopicID, p record.Partition, from int64) batches {
	return c.OpenRawOf(id, p, from)
}

func (c cluster) join(ctx context.Context, sc kafka.ShareConfig, l kafka.ShareListener) (membership, error) {
	s, err := c.Share(ctx, sc, l)
	if err != nil {
		return nil, err
	}
	return s, nil
}
