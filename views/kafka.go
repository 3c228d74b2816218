package views

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// kafkaCluster is a real cluster as a view sees it. EndsOf, Ends, Open and
// EpochEnd are the cluster's own.
type kafkaCluster struct{ *kafka.Cluster }

// defaultDeleteRetention is Kafka's own default of delete.retention.ms.
const defaultDeleteRetention = 24 * time.Hour

func (k kafkaCluster) describe(ctx context.Context, topic string) (source, error) {
	topics, err := k.Topics(ctx, topic)
	if err != nil {
		return source{}, err
	}
	t, ok := topics[topic]
	if !ok {
		return source{}, fmt.Errorf("topic %s: %w", topic, record.ErrUnknownTopic)
	}
	s := source{Cluster: k.ID(), Topic: topic, ID: t.ID, Partitions: t.Partitions, DeleteRetention: defaultDeleteRetention}
	if ms, err := strconv.ParseInt(t.Config["delete.retention.ms"], 10, 64); err == nil && ms > 0 {
		s.DeleteRetention = time.Duration(min(ms, int64(maxRetention/time.Millisecond))) * time.Millisecond
	}
	return s, nil
}

const maxRetention = 100 * 365 * 24 * time.Hour

func (k kafkaCluster) resolve(ctx context.Context, name string) (string, error) {
	topic, _, err := control.Resolve(ctx, k.Cluster, name)
	return topic, err
}

func (k kafkaCluster) watch(ctx context.Context, changed func()) error {
	return control.Watch(ctx, k.Cluster, func(control.Aliases) { changed() })
}
