package sourcetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// KafkaLog is a Log on a cluster.
type KafkaLog struct {
	Cluster *kafka.Cluster
	Shift   int64 // milliseconds that the next records are later than their offsets say

	t        testing.TB
	ctx      context.Context
	producer *kafka.Producer
	topics   int
}

var _ Log = (*KafkaLog)(nil)

// NewKafkaLog connects to a cluster for as long as the test runs.
func NewKafkaLog(t testing.TB, env *testenv.Cluster) *KafkaLog {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	c, err := kafka.Open(ctx, kafka.Config{Brokers: env.Brokers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	p, err := c.NewProducer(kafka.ProducerConfig{TransactionalID: testenv.Name(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if r := p.Init(ctx); r.Outcome != kafka.OK {
		t.Fatal(r)
	}
	return &KafkaLog{Cluster: c, t: t, ctx: ctx, producer: p}
}

// Topic makes a topic that keeps its records, whose timestamps are of 1970.
func (l *KafkaLog) Topic(partitions int32) string {
	l.t.Helper()
	l.topics++
	name := fmt.Sprintf("%s-%d", testenv.Name(l.t), l.topics)
	spec := kafka.TopicSpec{Name: name, Partitions: partitions, Config: map[string]string{"retention.ms": "-1"}}
	if _, err := l.Cluster.CreateTopics(l.ctx, spec); err != nil {
		l.t.Fatal(err)
	}
	return name
}

// Write writes a transaction and waits for its marker. Values are their own keys, a
// second apart.
func (l *KafkaLog) Write(p record.Partition, commit bool, values ...string) {
	l.t.Helper()
	at := l.Ends(p).HighWatermark*1000 + l.Shift
	for i, v := range values {
		l.producer.Produce(&kafka.Out{Topic: p.Topic, Partition: p.Partition, Key: []byte(v), Value: []byte(v), Timestamp: at + int64(1000*i)})
	}
	if _, r := l.producer.Flush(l.ctx); r.Outcome != kafka.OK {
		l.t.Fatal(r)
	}
	if r := l.producer.End(l.ctx, commit); r.Outcome != kafka.OK {
		l.t.Fatal(r)
	}
	for {
		if e := l.Ends(p); e.LastStable == e.HighWatermark {
			return
		}
	}
}

// Ends returns the limits of a partition.
func (l *KafkaLog) Ends(p record.Partition) record.Ends {
	l.t.Helper()
	e, err := l.Cluster.Ends(l.ctx, p)
	if err != nil {
		l.t.Fatal(err)
	}
	return e
}

// Cut removes what is before an offset, as retention does.
func (l *KafkaLog) Cut(p record.Partition, before int64) {
	l.t.Helper()
	if err := l.Cluster.DeleteRecords(l.ctx, map[record.Partition]int64{p: before}); err != nil {
		l.t.Fatal(err)
	}
}
