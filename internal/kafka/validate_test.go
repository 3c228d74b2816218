package kafka

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lines returns the problems with the topics' random ends cut off.
func lines(ps []Problem) []string {
	var out []string
	for _, p := range ps {
		out = append(out, strings.ReplaceAll(p.Error(), p.Topic, p.Topic[:strings.IndexByte(p.Topic, '-')]))
	}
	return out
}

func wantLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSoundTopicsHaveNoProblems(t *testing.T) {
	c := testCluster(t)
	suffix := "-" + testName(t)
	uses := []TopicUse{{"in" + suffix, InputRole}, {"join" + suffix, JoinRole}, {"loop" + suffix, LoopRole},
		{"table" + suffix, TableRole}, {"state" + suffix, StateRole}, {"out" + suffix, OutputRole}}
	testTopicOf(t, c, TopicSpec{Name: uses[0].Topic, Partitions: 3})
	testTopicOf(t, c, TableSpec(uses[1].Topic, 3))
	testTopicOf(t, c, InternalSpec(uses[2].Topic, 3))
	testTopicOf(t, c, TableSpec(uses[3].Topic, 3))
	testTopicOf(t, c, TopicSpec{Name: uses[5].Topic, Partitions: 1})
	r, err := c.Validate(testContext(t), GroupTopics{Group: "g", Uses: uses, Now: time.Now()})
	if err != nil || r.Err() != nil || len(r.Warnings) != 0 {
		t.Errorf("%v, %v, warnings %v", err, r.Err(), r.Warnings)
	}
	wantEqual(t, "partitions", r.Partitions, 3)
	wantLines(t, "missing", r.Missing, []string{uses[4].Topic})
}

func TestAllProblemsAreNamedAtOnce(t *testing.T) {
	c := testCluster(t)
	suffix := "-" + testName(t)
	make := func(name string, partitions int32, conf ...string) string {
		m := map[string]string{}
		for _, kv := range conf {
			k, v, _ := strings.Cut(kv, "=")
			m[k] = v
		}
		return testTopicOf(t, c, TopicSpec{Name: name + suffix, Partitions: partitions, Config: m})
	}
	uses := []TopicUse{
		{make("a", 4, "retention.ms=604800000"), InputRole},
		{make("b", 4, "retention.ms=-1"), InputRole},
		{make("c", 2, "retention.ms=-1"), InputRole},
		{make("d", 4, "cleanup.policy=delete"), JoinRole},
		{make("e", 4, "cleanup.policy=delete", "retention.ms=1000"), LoopRole},
		{make("f", 2, "cleanup.policy=compact"), TableRole},
		{make("g", 4, "cleanup.policy=compact,delete"), StateRole},
		{"h" + suffix, LookupRole},
		{"i" + suffix, OutputRole},
		{make("j", 4, "cleanup.policy=compact"), InputRole},
	}
	plainly(t, c, uses[0].Topic, 1, "old")
	r, err := c.Validate(testContext(t), GroupTopics{Group: "g", Uses: uses, Now: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "partitions", r.Partitions, 4)
	const run = "run kafka-configs.sh --alter --entity-type topics --entity-name "
	wantLines(t, "problems", lines(r.Problems), []string{
		"topic c: the input has 2 partitions but the group's other topics have 4, so equal keys do not meet; copy it to a topic of 4 partitions, or (unkeyed only) run kafka-topics.sh --alter --topic c --partitions 4",
		"topic d: the joined table has cleanup.policy=delete: it would lose the values of keys that do not change; " + run + "d --add-config cleanup.policy=compact",
		"topic e: the loop has cleanup.policy=delete, retention.ms=1000: records could be deleted unread, for their ages are event time; " + run + "e --add-config cleanup.policy=delete,retention.ms=-1",
		"topic f: the group table has 2 partitions but the inputs have 4; a count that grows moves keys away from their state: start a new group over the inputs, whose tables are made with the right count",
		"topic g: the state topic has cleanup.policy=compact,delete: it would lose the values of keys that do not change; " + run + "g --add-config cleanup.policy=compact",
		"topic h: the lookup table does not exist; correct its name, or run kafka-topics.sh --create --topic h --partitions N",
		"topic i: the output does not exist; correct its name, or run kafka-topics.sh --create --topic i --partitions N",
	})
	wantLines(t, "warnings", lines(r.Warnings), []string{
		"topic a: retention.ms keeps records for 7 days, but the oldest is of 1970-01-01: brokers count by the records' timestamps and may delete them unread; " + run + "a --add-config retention.ms=-1",
		"topic j: the input is compacted: records of a key that are overwritten may never be seen; use it as a joined table, or set cleanup.policy=delete",
	})
}

func TestLackOfRightsIsNamedBeforeTheFirstRecord(t *testing.T) {
	allow := func(topic string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	fake := fakeCluster(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", "secret"),
		kfake.SeedTopics(1, "in-1", "out-1", "hidden-1"),
		kfake.User("PLAIN", "app", "secret", allow("in-1", kmsg.ACLOperationDescribe), allow("in-1", kmsg.ACLOperationDescribeConfigs), allow("out-1", kmsg.ACLOperationRead)))
	c, err := Open(testContext(t), Config{Brokers: fake.ListenAddrs(), SASL: &SASLConfig{Mechanism: Plain, User: "app", Password: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Validate(testContext(t), GroupTopics{Group: "g", Uses: []TopicUse{{"in-1", InputRole}, {"out-1", OutputRole}, {"hidden-1", InputRole}}})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(lines(r.Problems), "\n")
	for _, want := range []string{
		"topic in: the input must not be accessed: Read is not allowed; grant Read on it to this principal",
		"topic out: the output must not be accessed: Write is not allowed; grant Write on it to this principal",
		"topic hidden: ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if w := fmt.Sprint(lines(r.Warnings)); !strings.Contains(w, "topic out: its settings may not be read") {
		t.Errorf("warnings %s", w)
	}
	p, err := c.NewProducer(ProducerConfig{TransactionalID: "g.i.0"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if res := p.Init(testContext(t)); res.Outcome != Fatal || !strings.Contains(res.Err.Error(), "grant Write and Describe on transactional ids") {
		t.Errorf("init without a right to the id: %v", res)
	}
	if _, err := c.Committed(testContext(t), "g", "in-1"); err == nil || !strings.Contains(err.Error(), "grant Read on the group") {
		t.Errorf("offsets without a right to the group: %v", err)
	}
	if _, err := c.CreateTopics(testContext(t), TableSpec("new", 1)); err == nil || !strings.Contains(err.Error(), "grant Create") {
		t.Errorf("create without a right: %v", err)
	}
	if _, err := c.Topics(testContext(t), "hidden-1"); err == nil || !strings.Contains(err.Error(), "hidden-1") {
		t.Errorf("describe without a right: %v", err)
	}
	if _, err := c.Open(at("in-1", 0), 0).Next(testContext(t)); err == nil || !strings.Contains(err.Error(), kerr.TopicAuthorizationFailed.Message) {
		t.Errorf("read without a right: %v", err)
	}
}
