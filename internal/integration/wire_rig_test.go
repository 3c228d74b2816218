package integration

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"testing"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// onKafka is a test's world on real Kafka, on which stock goka runs as its users run
// it: kfake does not serve its client.
func onKafka(t *testing.T) *rig {
	t.Helper()
	t.Parallel()
	return newRig(t, clusters.Kafka(t, testenv.KafkaTV2))
}

// readCommitted makes a configuration of goka's ignore what kappa has aborted.
func readCommitted(c *sarama.Config) *sarama.Config {
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	return c
}

// gokaConfig is what goka is configured with by default, but for the start: the
// oldest record, as kappa's.
func gokaConfig() *sarama.Config {
	c := goka.DefaultConfig()
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	return c
}

// stock is a processor or a view of stock goka that runs.
type stock struct {
	r      *rig
	cancel context.CancelFunc
	ended  chan error
}

func (r *rig) stock(run func(context.Context) error) *stock {
	ctx, cancel := context.WithCancel(r.ctx)
	s := &stock{r, cancel, make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ended <- run(ctx)
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	return s
}

// stop ends it as an operator does, and waits until it has ended.
func (s *stock) stop() {
	s.r.t.Helper()
	s.cancel()
	if err := <-s.ended; err != nil {
		s.r.t.Fatalf("goka: %v", err)
	}
}

// goka starts a group on stock goka, which creates its own topics.
func (r *rig) goka(graph *goka.GroupGraph, c *sarama.Config) (*goka.Processor, *stock) {
	r.t.Helper()
	topics := goka.NewTopicManagerConfig()
	topics.Table.Replication, topics.Stream.Replication = 1, 1
	p, err := goka.NewProcessor(r.env.Brokers(), graph, goka.WithLogger(gokaLog{r.t}),
		goka.WithConsumerGroupBuilder(goka.ConsumerGroupBuilderWithConfig(c)),
		goka.WithConsumerSaramaBuilder(goka.SaramaConsumerBuilderWithConfig(c)),
		goka.WithProducerBuilder(goka.ProducerBuilderWithConfig(c)),
		goka.WithTopicManagerBuilder(goka.TopicManagerBuilderWithConfig(c, topics)),
		goka.WithStorageBuilder(storage.MemoryBuilder()))
	if err != nil {
		r.t.Fatal(err)
	}
	return p, r.stock(p.Run)
}

// gokaUntil starts a group on stock goka, and returns it once its table's counts sum up
// to at least n. A goka that stands still is started again, as its operators do: where the
// leader of a partition is not known yet when it sets that up, it hangs, and says why only
// when it is stopped.
func (r *rig) gokaUntil(graph *goka.GroupGraph, n int) *stock {
	r.t.Helper()
	const starts = 3
	for range starts {
		_, s := r.goka(graph, gokaConfig())
		if r.within(patience/starts, "goka", func() bool { return sum(r.table(string(graph.Group())+"-table")) >= n }) {
			return s
		}
		s.cancel()
		r.t.Logf("goka stands still at %d of %d, it is started again: %v", sum(r.table(string(graph.Group())+"-table")), n, <-s.ended)
	}
	r.t.Fatalf("goka was started %d times and has not counted %d records", starts, n)
	return nil
}

// runGoka runs a group on stock goka until its table's counts sum up to n.
func (r *rig) runGoka(graph *goka.GroupGraph, n int) {
	r.t.Helper()
	r.gokaUntil(graph, n).stop()
}

// gokaView opens a view of stock goka.
func (r *rig) gokaView(table string, c *sarama.Config) *goka.View {
	r.t.Helper()
	v, err := goka.NewView(r.env.Brokers(), goka.Table(table), new(gcodec.Int64), goka.WithViewLogger(gokaLog{r.t}),
		goka.WithViewConsumerSaramaBuilder(goka.SaramaConsumerBuilderWithConfig(c)),
		goka.WithViewTopicManagerBuilder(goka.TopicManagerBuilderWithConfig(c, goka.NewTopicManagerConfig())),
		goka.WithViewStorageBuilder(storage.MemoryBuilder()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.stock(v.Run)
	return v
}

// gokaEmit writes records with an emitter of stock goka, and waits until they are
// written. A record without a value is a deletion.
func (r *rig) gokaEmit(topic string, rs ...record.Record) {
	r.t.Helper()
	e, err := goka.NewEmitter(r.env.Brokers(), goka.Stream(topic), new(gcodec.Bytes), goka.WithEmitterLogger(gokaLog{r.t}),
		goka.WithEmitterProducerBuilder(goka.ProducerBuilderWithConfig(gokaConfig())))
	if err != nil {
		r.t.Fatal(err)
	}
	var failed firstError
	for _, x := range rs {
		var value any
		if x.Value != nil {
			value = x.Value
		}
		p, err := e.Emit(string(x.Key), value)
		if err != nil {
			r.t.Fatal(err)
		}
		p.Then(failed.set)
	}
	if err := e.Finish(); err != nil {
		r.t.Fatal(err)
	}
	if err := failed.get(); err != nil {
		r.t.Fatal(err)
	}
}

// admin returns a client for what kappa has no call for.
func (r *rig) admin() *kadm.Client {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.env.Brokers()...))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// keepForever takes the bound of age from a topic's records, and waits until the
// broker says so.
func (r *rig) keepForever(topic string) {
	r.t.Helper()
	adm, forever := r.admin(), "-1"
	rs, err := adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &forever}}, topic)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, x := range rs {
		if x.Err != nil {
			r.t.Fatal(x.Err)
		}
	}
	r.until("the topic's configuration", func() bool {
		cs, err := adm.DescribeTopicConfigs(r.ctx, topic)
		if err != nil || len(cs) != 1 {
			return false
		}
		for _, c := range cs[0].Configs {
			if c.Key == "retention.ms" {
				return c.MaybeValue() == forever
			}
		}
		return false
	})
}

// assigned waits until the members of a group have been given its partitions.
func (r *rig) assigned(group string) {
	r.t.Helper()
	adm := r.admin()
	r.until("members of "+group, func() bool {
		gs, err := adm.DescribeGroups(r.ctx, group)
		return err == nil && gs[group].State == "Stable" && len(gs[group].Members) > 0
	})
}

// committed returns a group's committed offsets of a topic, by partition.
func (r *rig) committed(group, topic string) map[int32]int64 {
	r.t.Helper()
	all, err := r.k.Committed(r.ctx, group, topic)
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[int32]int64{}
	for p, at := range all {
		out[p.Partition] = at
	}
	return out
}

// behind returns what lies at or behind a group's committed offsets.
func (r *rig) behind(topic string, committed map[int32]int64) (rs []record.Record) {
	for _, x := range r.read(topic) {
		if x.Offset >= committed[x.Partition] {
			rs = append(rs, x)
		}
	}
	return rs
}

// firsts notes where a group's callbacks have begun: the smallest offset of each
// partition, by topic.
type firsts struct {
	mu sync.Mutex
	m  map[string]map[int32]int64
}

// of wraps a callback.
func (f *firsts) of(cb goka.ProcessCallback) goka.ProcessCallback {
	return func(ctx goka.Context, msg any) {
		f.note(string(ctx.Topic()), ctx.Partition(), ctx.Offset())
		cb(ctx, msg)
	}
}

func (f *firsts) note(topic string, partition int32, offset int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = map[string]map[int32]int64{}
	}
	if f.m[topic] == nil {
		f.m[topic] = map[int32]int64{}
	}
	if first, seen := f.m[topic][partition]; !seen || offset < first {
		f.m[topic][partition] = offset
	}
}

// begin fails unless the callbacks began where the group had committed.
func (f *firsts) begin(t *testing.T, topic string, committed map[int32]int64) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !maps.Equal(f.m[topic], committed) {
		t.Errorf("kappa began %s at %v, goka had committed %v", topic, f.m[topic], committed)
	}
}

// firstError keeps the first error of many goroutines.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// gokaLog is a goka.Logger into the test's output.
type gokaLog struct{ t *testing.T }

func (g gokaLog) Print(a ...any)            { fmt.Fprintln(g.t.Output(), a...) }
func (g gokaLog) Println(a ...any)          { fmt.Fprintln(g.t.Output(), a...) }
func (g gokaLog) Printf(f string, a ...any) { fmt.Fprintf(g.t.Output(), f+"\n", a...) }

func sum(table map[string]string) (n int) {
	for _, v := range table {
		m, _ := strconv.Atoi(v)
		n += m
	}
	return n
}
