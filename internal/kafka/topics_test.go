package kafka

import (
	"errors"
	"slices"
	"testing"

	"github.com/seed-73111be4/kappa/record"
)

func TestTopicsAreCreatedOnceWithTheirSettings(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	table, loop := testName(t)+"-table", testName(t)+"-loop"
	created, err := c.CreateTopics(ctx, TableSpec(table, 3), InternalSpec(loop, 2))
	if err != nil || !slices.Equal(created, slices.Sorted(slices.Values([]string{table, loop}))) {
		t.Fatalf("created %v, %v", created, err)
	}
	again, err := c.CreateTopics(ctx, TableSpec(table, 9), InternalSpec(loop, 2))
	if err != nil || len(again) != 0 {
		t.Errorf("created again %v, %v", again, err)
	}
	got, err := c.Topics(ctx, table, loop, testName(t))
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	wantEqual(t, "partitions", got[table].Partitions, 3)
	wantEqual(t, "id is known", got[table].ID.Known(), true)
	wantEqual(t, "policy", got[table].Config["cleanup.policy"], "compact")
	wantEqual(t, "delete retention", got[table].Config["delete.retention.ms"], "604800000")
	wantEqual(t, "retention", got[loop].Config["retention.ms"], "-1")
	all, err := c.AllTopics(ctx)
	if err != nil || !slices.Contains(all, table) || slices.Contains(all, "__consumer_offsets") {
		t.Errorf("%v, %v", all, err)
	}
	for range 2 { // what is gone is no error
		if err := c.DeleteTopics(ctx, table, loop); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecordsFromTheFutureAreTakenByOwnTopics(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	table := testTopicOf(t, c, TableSpec(testName(t), 1))
	p := testProducer(t, c, ProducerConfig{})
	p.Produce(&Out{Topic: table, Key: []byte("k"), Value: []byte("v"), Timestamp: 4_000_000_000_000})
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	wantOutcome(t, OK, p.End(ctx, true))
}

func TestEndsNameTheLimitsOfTheLog(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	topic := testTopic(t, c, 2)
	p := testProducer(t, c, ProducerConfig{})
	transact(t, p, true, topic, 0, "a", "b")
	produceValues(p, topic, 0, "c")
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	if err := c.DeleteRecords(ctx, map[record.Partition]int64{at(topic, 0): 1}); err != nil {
		t.Fatal(err)
	}
	ends, err := c.EndsOf(ctx, at(topic, 0), at(topic, 1))
	if err != nil {
		t.Fatal(err)
	}
	e := ends[at(topic, 0)]
	e.TopicID, e.LeaderEpoch = record.TopicID{}, 0
	wantEqual(t, "partition 0", e, record.Ends{Start: 1, LastStable: 3, HighWatermark: 4})
	wantEqual(t, "partition 1", ends[at(topic, 1)].HighWatermark, 0)
	wantOutcome(t, OK, p.End(ctx, false))
	for _, p := range []record.Partition{at(topic, 2), at(testName(t), 0)} {
		if _, err := c.Ends(ctx, p); !errors.Is(err, record.ErrUnknownTopic) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestOffsetsAreFoundByTime(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 2)
	plainly(t, c, topic, 0, "a", "b", "c") // at 1000, 1001, 1002
	for ms, want := range map[int64]int64{0: 0, 1001: 1, 5000: 3} {
		got, err := c.OffsetsAfter(testContext(t), topic, ms)
		if err != nil || len(got) != 2 || got[0] != want || got[1] != 0 {
			t.Errorf("after %d: %v, %v; want %d", ms, got, err, want)
		}
	}
	if _, err := c.OffsetsAfter(testContext(t), testName(t), 0); !errors.Is(err, record.ErrUnknownTopic) {
		t.Error(err)
	}
}

func TestOffsetsOfAnEmptyGroupCanBeSet(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	topic, group := testTopic(t, c, 2), testName(t)
	if got, err := c.Committed(ctx, group, topic); err != nil || len(got) != 0 {
		t.Fatalf("before: %v, %v", got, err)
	}
	if err := c.CommitOffsets(ctx, group, map[record.Partition]int64{at(topic, 0): 5, at(topic, 1): 0}); err != nil {
		t.Fatal(err)
	}
	for _, topics := range [][]string{nil, {topic}, {topic, testName(t)}} {
		got, err := c.Committed(ctx, group, topics...)
		if err != nil || len(got) != 2 || got[at(topic, 0)] != 5 || got[at(topic, 1)] != 0 {
			t.Errorf("committed of %v: %v, %v", topics, got, err)
		}
	}
	joinGroup(t, c, group, "static", topic)
	if err := c.CommitOffsets(ctx, group, map[record.Partition]int64{at(topic, 0): 6}); err == nil {
		t.Error("offsets of a group with members were set")
	}
	for range 2 { // who is gone is no error
		if err := c.Leave(ctx, group, "static"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.CommitOffsets(ctx, group, map[record.Partition]int64{at(topic, 0): 7}); err != nil {
		t.Errorf("after the member left: %v", err)
	}
}
