package kafka

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

// operation is a right on a topic, by its number in Kafka's protocol.
type operation int

const (
	readOperation  operation = 3
	writeOperation operation = 4
)

func (o operation) String() string {
	if o == readOperation {
		return "Read"
	}
	return "Write"
}

// trait is what a role asks of a topic.
type trait struct {
	name     string
	needs    []operation
	own      bool // the group's own: it is created where it is missing
	together bool // co-partitioned with the group's other topics
	table    bool // must be compacted
	kept     bool // must not delete by age
}

var traits = map[Role]trait{
	InputRole:      {name: "input", needs: []operation{readOperation}, together: true},
	JoinRole:       {name: "joined table", needs: []operation{readOperation}, together: true, table: true},
	LoopRole:       {name: "loop", needs: []operation{readOperation, writeOperation}, own: true, together: true, kept: true},
	TableRole:      {name: "group table", needs: []operation{readOperation, writeOperation}, own: true, together: true, table: true},
	StateRole:      {name: "state topic", needs: []operation{readOperation, writeOperation}, own: true, together: true, table: true},
	LookupRole:     {name: "lookup table", needs: []operation{readOperation}, table: true},
	OutputRole:     {name: "output", needs: []operation{writeOperation}},
	DeadLetterRole: {name: "dead-letter topic", needs: []operation{writeOperation}},
}

// validation gathers what is wrong with one group's topics.
type validation struct {
	GroupTopics
	Report
	found map[string]Topic
}

func (c *Cluster) validate(ctx context.Context, g GroupTopics) (Report, error) {
	v := &validation{GroupTopics: g}
	v.Uses = slices.Clone(g.Uses)
	slices.SortStableFunc(v.Uses, func(a, b TopicUse) int { return strings.Compare(a.Topic, b.Topic) })
	if err := v.describe(ctx, c); err != nil {
		return v.Report, fmt.Errorf("validate the topics of group %s: %w", g.Group, err)
	}
	for name, n := range g.Past {
		if _, ok := v.found[name]; !ok {
			v.found[name] = Topic{Name: name, Partitions: n}
		}
	}
	v.partitions()
	v.missing()
	v.settings()
	if err := v.ages(ctx, c); err != nil {
		return v.Report, fmt.Errorf("validate the topics of group %s: %w", g.Group, err)
	}
	byTopic := func(a, b Problem) int { return strings.Compare(a.Topic, b.Topic) }
	slices.SortStableFunc(v.Problems, byTopic)
	slices.SortStableFunc(v.Warnings, byTopic)
	return v.Report, nil
}

func (v *validation) problem(topic, mend, what string, args ...any) {
	v.Problems = append(v.Problems, Problem{Topic: topic, What: fmt.Sprintf(what, args...), Mend: mend})
}

// describe asks for all topics, and for the rights on each.
func (v *validation) describe(ctx context.Context, c *Cluster) error {
	v.found = make(map[string]Topic)
	var names []string
	for _, u := range v.Uses {
		if !slices.Contains(names, u.Topic) {
			names = append(names, u.Topic)
		}
	}
	if len(names) == 0 {
		return nil
	}
	m, err := c.metadata(ctx, true, names...)
	if err != nil {
		return err
	}
	var readable []string
	for _, t := range m.Topics {
		name, err := topicName(t), kerr.ErrorForCode(t.ErrorCode)
		switch {
		case missing(err):
		case err != nil:
			v.problem(name, "grant "+v.needs(name)+" on it to this principal", "%v", err)
			v.found[name] = Topic{Name: name, Partitions: -1}
		default:
			v.found[name] = Topic{Name: name, ID: t.TopicID, Partitions: int32(len(t.Partitions))}
			readable = append(readable, name)
			v.rights(name, t)
		}
	}
	return v.configs(ctx, c, readable)
}

// configs leaves settings unchecked where they may not be read.
func (v *validation) configs(ctx context.Context, c *Cluster, names []string) error {
	configs, err := c.topicConfigs(ctx, names)
	for name, conf := range configs {
		t := v.found[name]
		t.Config = conf
		v.found[name] = t
	}
	if err != nil && configs == nil {
		return err
	}
	for _, name := range names {
		if v.found[name].Config == nil {
			v.Warnings = append(v.Warnings, Problem{name, "its settings may not be read, so they are not checked", "grant DescribeConfigs on it"})
		}
	}
	return nil
}

// rights compares the operations that are allowed, where the broker names them.
func (v *validation) rights(name string, t kmsg.MetadataResponseTopic) {
	if t.AuthorizedOperations == -1<<31 {
		return
	}
	for _, op := range []operation{readOperation, writeOperation} {
		if u, ok := v.needing(op, name); ok && t.AuthorizedOperations&(1<<op) == 0 {
			v.problem(name, "grant "+op.String()+" on it to this principal", "the %s must not be accessed: %s is not allowed", traits[u.Role].name, op)
		}
	}
}

// needs lists the rights on a topic that the group needs.
func (v *validation) needs(topic string) string {
	list := "Describe"
	for _, op := range []operation{readOperation, writeOperation} {
		if _, ok := v.needing(op, topic); ok {
			list += " and " + op.String()
		}
	}
	return list
}

// needing returns the first use of a topic that needs a right.
func (v *validation) needing(op operation, topic string) (TopicUse, bool) {
	at := slices.IndexFunc(v.Uses, func(u TopicUse) bool {
		return u.Topic == topic && slices.Contains(traits[u.Role].needs, op)
	})
	if at < 0 {
		return TopicUse{}, false
	}
	return v.Uses[at], true
}

func (v *validation) missing() {
	for i, u := range v.Uses {
		if _, ok := v.found[u.Topic]; ok || (i > 0 && v.Uses[i-1] == u) {
			continue
		}
		if t := traits[u.Role]; t.own {
			v.Missing = append(v.Missing, u.Topic)
		} else {
			what := "the %s does not exist"
			if v.Archive && u.Role == InputRole {
				what = "the %s is neither in Kafka nor, of this cluster, in the archive"
			}
			v.problem(u.Topic, v.create(u), what, t.name)
		}
	}
	v.Missing = slices.Compact(v.Missing)
}

func (v *validation) create(u TopicUse) string {
	n := "N"
	if traits[u.Role].together && v.Report.Partitions > 0 {
		n = strconv.Itoa(int(v.Report.Partitions))
	}
	return fmt.Sprintf("correct its name, or run kafka-topics.sh --create --topic %s --partitions %s", u.Topic, n)
}

// partitions compares the counts of all topics that are assigned together. An
// input sets the measure; where the inputs differ, the most frequent count.
func (v *validation) partitions() {
	counts := make(map[int32]int)
	for _, weigh := range []func(Role) bool{
		func(r Role) bool { return r == InputRole || r == JoinRole },
		func(r Role) bool { return traits[r].together },
	} {
		for _, u := range v.Uses {
			if t, ok := v.found[u.Topic]; ok && t.Partitions > 0 && weigh(u.Role) {
				counts[t.Partitions]++
			}
		}
		if len(counts) > 0 {
			break
		}
	}
	for n, k := range counts {
		if best := counts[v.Report.Partitions]; k > best || k == best && n > v.Report.Partitions {
			v.Report.Partitions = n
		}
	}
	for i, u := range v.Uses {
		t, ok := v.found[u.Topic]
		if !ok || !traits[u.Role].together || t.Partitions <= 0 || t.Partitions == v.Report.Partitions || (i > 0 && v.Uses[i-1] == u) {
			continue
		}
		v.count(u, t)
	}
}

func (v *validation) count(u TopicUse, t Topic) {
	want, role := v.Report.Partitions, traits[u.Role]
	switch {
	case role.own && t.Partitions < want:
		v.problem(u.Topic, "a count that grows moves keys away from their state: start a new group over the inputs, whose tables are made with the right count",
			"the %s has %d partitions but the inputs have %d", role.name, t.Partitions, want)
	case role.own:
		v.problem(u.Topic, "give the inputs the count that the group began with, or start a new group",
			"the %s has %d partitions but the inputs have %d", role.name, t.Partitions, want)
	case t.Partitions < want:
		v.problem(u.Topic, fmt.Sprintf("copy it to a topic of %d partitions, or (unkeyed only) run kafka-topics.sh --alter --topic %s --partitions %d", want, u.Topic, want),
			"the %s has %d partitions but the group's other topics have %d, so equal keys do not meet", role.name, t.Partitions, want)
	default:
		v.problem(u.Topic, fmt.Sprintf("give the others %d partitions, or copy it to a topic of %d", t.Partitions, want),
			"the %s has %d partitions but the group's other topics have %d, so equal keys do not meet", role.name, t.Partitions, want)
	}
}

func (v *validation) settings() {
	for i, u := range v.Uses {
		t := v.found[u.Topic]
		if t.Config == nil || (i > 0 && v.Uses[i-1] == u) {
			continue
		}
		role, policy := traits[u.Role], t.Config["cleanup.policy"]
		if role.table && (!strings.Contains(policy, "compact") || strings.Contains(policy, "delete")) {
			v.problem(u.Topic, alter(u.Topic, "cleanup.policy=compact"), "the %s has cleanup.policy=%s: it would lose the values of keys that do not change", role.name, policy)
		}
		if role.kept && (strings.Contains(policy, "compact") || number(t.Config["retention.ms"]) >= 0) {
			v.problem(u.Topic, alter(u.Topic, "cleanup.policy=delete,retention.ms=-1"),
				"the %s has cleanup.policy=%s, retention.ms=%s: records could be deleted unread, for their ages are event time", role.name, policy, t.Config["retention.ms"])
		}
		if role.together && u.Role == InputRole && strings.Contains(policy, "compact") {
			v.Warnings = append(v.Warnings, Problem{u.Topic, "the input is compacted: records of a key that are overwritten may never be seen", "use it as a joined table, or set cleanup.policy=delete"})
		}
	}
}

func alter(topic, settings string) string {
	return fmt.Sprintf("run kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s", topic, settings)
}

// number returns a setting's number, -1 where there is none.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// ages warns of inputs whose records are older than what the topic keeps: brokers
// compare with the records' timestamps, which are event time, so they may delete
// records that were written a moment ago.
func (v *validation) ages(ctx context.Context, c *Cluster) error {
	if v.Now.IsZero() {
		return nil
	}
	var parts []record.Partition
	for i, u := range v.Uses {
		t := v.found[u.Topic]
		if u.Role != InputRole || (i > 0 && v.Uses[i-1] == u) || !strings.Contains(t.Config["cleanup.policy"], "delete") || number(t.Config["retention.ms"]) < 0 {
			continue
		}
		for p := range t.Partitions {
			parts = append(parts, record.Partition{Topic: u.Topic, Partition: p})
		}
	}
	if len(parts) == 0 {
		return nil
	}
	oldest := make(map[string]int64)
	err := c.listOffsets(ctx, parts, 0, 0, func(p record.Partition, offset, ms int64) {
		if was, ok := oldest[p.Topic]; offset >= 0 && ms >= 0 && (!ok || ms < was) {
			oldest[p.Topic] = ms
		}
	})
	for _, topic := range sortedKeys(oldest) {
		keeps := number(v.found[topic].Config["retention.ms"])
		if age := v.Now.UnixMilli() - oldest[topic]; age > keeps {
			v.Warnings = append(v.Warnings, Problem{topic,
				fmt.Sprintf("retention.ms keeps records for %s, but the oldest is of %s: brokers count by the records' timestamps and may delete them unread", days(time.Duration(keeps)*time.Millisecond), time.UnixMilli(oldest[topic]).UTC().Format("2006-01-02")),
				alter(topic, "retention.ms=-1")})
		}
	}
	return err
}

func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}
