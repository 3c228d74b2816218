package kafka

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

// The tests of this package run on brokers named by KAPPA_TEST_BROKERS, else on a
// broker in this process. Those that need its faults are left out on real ones. All
// that have a cluster run in parallel: they wait most of the time.

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// realBrokers returns the brokers that the environment names, if it does.
func realBrokers() []string {
	if b := os.Getenv("KAPPA_TEST_BROKERS"); b != "" {
		return strings.Split(b, ",")
	}
	return nil
}

func parallel(t testing.TB) {
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
}

// fakeCluster starts a broker in this process, for tests that need its faults.
func fakeCluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	if realBrokers() != nil {
		t.Skip("needs faults that only kfake has")
	}
	parallel(t)
	return startFake(t, opts...)
}

func startFake(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	fake, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return fake
}

func testCluster(t testing.TB) *Cluster {
	t.Helper()
	parallel(t)
	brokers := realBrokers()
	if brokers == nil {
		brokers = startFake(t, kfake.NumBrokers(1)).ListenAddrs()
	}
	return openCluster(t, brokers)
}

func openCluster(t testing.TB, brokers []string) *Cluster {
	t.Helper()
	c, err := Open(testContext(t), Config{Brokers: brokers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// testTopic creates a topic that is deleted after the test. It keeps its records,
// though the tests date them 1970: real brokers look for old ones now and then.
func testTopic(t testing.TB, c *Cluster, partitions int32) string {
	t.Helper()
	return testTopicOf(t, c, TopicSpec{Partitions: partitions, Config: map[string]string{"retention.ms": "-1"}})
}

func testTopicOf(t testing.TB, c *Cluster, spec TopicSpec) string {
	t.Helper()
	if spec.Name == "" {
		spec.Name = testName(t)
	}
	if _, err := c.CreateTopics(testContext(t), spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.DeleteTopics(ctx, spec.Name); err != nil {
			t.Error(err)
		}
	})
	return spec.Name
}

// testName returns a name that no other test and no earlier run has used.
func testName(t testing.TB) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%.60s-%s", name, rand.Text()[:8])
}

func at(topic string, p int32) record.Partition {
	return record.Partition{Topic: topic, Partition: p}
}

// testProducer returns a producer that has been initialized.
func testProducer(t testing.TB, c *Cluster, pc ProducerConfig) *Producer {
	t.Helper()
	if pc.TransactionalID == "" {
		pc.TransactionalID = testName(t)
	}
	p, err := c.NewProducer(pc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	wantOutcome(t, OK, p.Init(testContext(t)))
	return p
}

func wantOutcome(t testing.TB, want Outcome, got Result) {
	t.Helper()
	if got.Outcome != want || (got.Err == nil) != (want == OK) {
		t.Fatalf("outcome %v, want %v", got, want)
	}
}

// produceValues produces records with the given values, key = value, timestamps
// from 1000 on.
func produceValues(p *Producer, topic string, partition int32, values ...string) {
	for i, v := range values {
		p.Produce(&Out{Topic: topic, Partition: partition, Key: []byte(v), Value: []byte(v), Timestamp: 1000 + int64(i), Track: true})
	}
}

// transact writes one transaction and ends it.
func transact(t testing.TB, p *Producer, commit bool, topic string, partition int32, values ...string) []record.Position {
	t.Helper()
	ctx := testContext(t)
	produceValues(p, topic, partition, values...)
	ends, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	ends = append([]record.Position(nil), ends...)
	wantOutcome(t, OK, p.End(ctx, commit))
	return ends
}

// plainly writes records without a transaction.
func plainly(t testing.TB, c *Cluster, topic string, partition int32, values ...string) {
	t.Helper()
	cl, err := c.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i, v := range values {
		r := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(v), Value: []byte(v), Timestamp: time.UnixMilli(1000 + int64(i))}
		if err := cl.ProduceSync(testContext(t), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func valuesOf(rs []record.Record) string {
	var vs []string
	for i := range rs {
		vs = append(vs, string(rs[i].Value))
	}
	return strings.Join(vs, " ")
}

// readTo reads until the reader's position is at least end.
func readTo(t testing.TB, r record.LogReader, end int64) (string, int64) {
	t.Helper()
	ctx := testContext(t)
	var all []record.Record
	var next int64
	for next < end {
		b, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("after %q at %d: %v", valuesOf(all), next, err)
		}
		if b.Next <= next {
			t.Fatalf("no progress: position %d after %d", b.Next, next)
		}
		all, next = append(all, b.Records...), b.Next
	}
	return valuesOf(all), next
}

func endsOf(t testing.TB, c *Cluster, p record.Partition) record.Ends {
	t.Helper()
	e, err := c.Ends(testContext(t), p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// settledEnds waits until every transaction has its marker: older brokers answer
// the end of a transaction before they write them.
func settledEnds(t testing.TB, c *Cluster, p record.Partition) record.Ends {
	t.Helper()
	ctx := testContext(t)
	for {
		e := endsOf(t, c, p)
		if e.LastStable == e.HighWatermark {
			return e
		}
		if !pause(ctx, 5*time.Millisecond) {
			t.Fatalf("a transaction stays open: %+v", e)
		}
	}
}

func wantEqual[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// joinGroup makes a classic group member by hand and returns its fence; leaving
// does not matter, for the group dies with its session.
func joinGroup(t testing.TB, c *Cluster, group, instance string, topics ...string) Fence {
	t.Helper()
	ctx := testContext(t)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = group, 10_000, 10_000
	join.ProtocolType = "consumer"
	if instance != "" {
		join.InstanceID = &instance
	}
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = topics
	proto := kmsg.NewJoinGroupRequestProtocol()
	proto.Name, proto.Metadata = "range", meta.AppendTo(nil)
	join.Protocols = append(join.Protocols, proto)
	for {
		resp, err := join.RequestWith(ctx, c.cl)
		if err != nil {
			t.Fatal(err)
		}
		switch resp.ErrorCode {
		case 79: // MEMBER_ID_REQUIRED
			join.MemberID = resp.MemberID
			continue
		case 0:
		default:
			t.Fatalf("join %s: error code %d", group, resp.ErrorCode)
		}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Group, sync.MemberID, sync.Generation = group, resp.MemberID, resp.Generation
		sync.ProtocolType, sync.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
		sync.InstanceID = join.InstanceID
		if resp.LeaderID == resp.MemberID {
			a := kmsg.NewSyncGroupRequestGroupAssignment()
			plan := kmsg.NewConsumerMemberAssignment()
			a.MemberID, a.MemberAssignment = resp.MemberID, plan.AppendTo(nil)
			sync.GroupAssignment = append(sync.GroupAssignment, a)
		}
		s, err := sync.RequestWith(ctx, c.cl)
		if err != nil || s.ErrorCode != 0 {
			t.Fatalf("sync %s: %v, error code %d", group, err, s.ErrorCode)
		}
		return Fence{Group: group, Member: resp.MemberID, Generation: resp.Generation, Instance: instance}
	}
}
