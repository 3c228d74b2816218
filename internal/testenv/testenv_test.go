package testenv

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		os.Exit(runOrphan())
	}
	os.Exit(m.Run())
}

func client(t *testing.T, c *Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Brokers()...), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func createTopic(t *testing.T, cl *kgo.Client, name string, replicas int16) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, replicas
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
}

func produce(t *testing.T, cl *kgo.Client, topic, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}

// read returns the first n values of the topic, joined.
func read(t *testing.T, c *Cluster, topic string, n int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := client(t, c, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var got []string
	for len(got) < n {
		f := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("read %s: got %q: %v", topic, got, err)
		}
		f.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return strings.Join(got, " ")
}

// transactionVersion returns the cluster's finalized feature.
func transactionVersion(t *testing.T, cl *kgo.Client) int16 {
	t.Helper()
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" {
			return f.MaxVersionLevel
		}
	}
	return 0
}

func TestEachKindKeepsItsDataOverKillAndRestart(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, c *Cluster) {
		cl, topic := client(t, c), Name(t)
		if got, want := transactionVersion(t, cl), c.Kind().TransactionVersion(); got != want {
			t.Errorf("transaction.version = %d, want %d", got, want)
		}
		createTopic(t, cl, topic, 1)
		produce(t, cl, topic, "before")
		c.Kill(1)
		if _, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), cl.SeedBrokers()[0]); err == nil {
			t.Error("a killed node answered")
		}
		c.Restart(1)
		produce(t, cl, topic, "after")
		if got := read(t, c, topic, 2); got != "before after" {
			t.Errorf("read %q", got)
		}
	})
}

func TestStoppedNodeAnswersOnlyOnceContinued(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, c *Cluster) {
		cl, topic := client(t, c), Name(t)
		createTopic(t, cl, topic, 1)
		produce(t, cl, topic, "before")
		c.Stop(1)
		acked := make(chan error, 1)
		cl.Produce(t.Context(), &kgo.Record{Topic: topic, Value: []byte("while")}, func(_ *kgo.Record, err error) { acked <- err })
		select {
		case err := <-acked:
			t.Fatalf("a stopped node answered: %v", err)
		case <-time.After(300 * time.Millisecond):
		}
		c.Cont(1)
		if err := <-acked; err != nil {
			t.Errorf("produce over a stop: %v", err)
		}
		if got := read(t, c, topic, 2); got != "before while" {
			t.Errorf("read %q", got)
		}
	})
}

func TestSharedClusterIsBroughtBackAfterEachTest(t *testing.T) {
	t.Parallel()
	var s Shared
	t.Cleanup(s.close)
	for _, leave := range []func(*Cluster){
		func(c *Cluster) { c.Kill(1) },
		func(c *Cluster) { c.Stop(1) },
		func(*Cluster) {},
	} {
		s.Each(t, func(t *testing.T, c *Cluster) {
			cl, topic := client(t, c), Name(t)
			createTopic(t, cl, topic, 1)
			produce(t, cl, topic, "alive")
			leave(c)
		})
	}
}

func TestThreeNodesSurviveTheLossOfOne(t *testing.T) {
	t.Parallel()
	c := Kafka(t, Options{Nodes: 3})
	cl, topic := client(t, c), Name(t)
	createTopic(t, cl, topic, 3)
	produce(t, cl, topic, "three")
	c.Kill(2)
	produce(t, cl, topic, "two")
	c.Restart(2)
	if got := read(t, c, topic, 2); got != "three two" {
		t.Errorf("read %q", got)
	}
}

func TestPropertiesReachTheBroker(t *testing.T) {
	t.Parallel()
	c := Kafka(t, Options{Properties: map[string]string{"message.max.bytes": "1234"}})
	cl, topic := client(t, c, kgo.ProducerBatchCompression(kgo.NoCompression())), Name(t)
	createTopic(t, cl, topic, 1)
	err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(strings.Repeat("x", 2000))}).FirstErr()
	if !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("2000 bytes where 1234 are allowed: %v", err)
	}
}

func TestUsersMayDoNothingByDefault(t *testing.T) {
	t.Parallel()
	c := Kafka(t, Options{Users: map[string]string{"ann": "secret"}})
	admin, topic := client(t, c), Name(t)
	createTopic(t, admin, topic, 1)
	user := func(password string) *kgo.Client {
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.SASLBrokers()...), kgo.SASL(plain.Auth{User: "ann", Pass: password}.AsMechanism()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	if err := user("wrong").Ping(t.Context()); err == nil {
		t.Error("a wrong password was accepted")
	}
	err := user("secret").ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr()
	if !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("produce without permission: %v", err)
	}
	produce(t, admin, topic, "anonymous may")
}

func TestUnknownNodeIsAnError(t *testing.T) {
	c := Fake(t)
	if err := c.b.kill(2); err == nil || !strings.Contains(err.Error(), "1 to 1") {
		t.Errorf("kill node 2 of 1: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{Nodes: 2}, {TransactionVersion: 3}} {
		if _, err := startKafka(t.Context(), o, t.TempDir()); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
