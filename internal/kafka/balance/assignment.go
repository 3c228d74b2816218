package balance

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	assignmentMagic   = "KPAA"
	assignmentVersion = 1
)

// Assignment is what a rebalance gives one member: every topic's partitions of
// the numbers in Tasks.
type Assignment struct {
	// Incarnation and Fingerprint are those of the join that the assignment
	// answers.
	Incarnation uint64
	Fingerprint string
	Topics      []string // sorted
	Tasks       []int32  // sorted
	// Standbys are the tasks of others whose logs the member is to follow, so that
	// it can take them over at once; sorted.
	Standbys []int32
	// Refused says why the member may not share the group, "" where it may.
	Refused string
}

// Partitions returns the assignment as Kafka has it: partitions by topic.
func (a Assignment) Partitions() map[string][]int32 {
	m := make(map[string][]int32, len(a.Topics))
	if len(a.Tasks) == 0 {
		return m
	}
	for _, topic := range a.Topics {
		m[topic] = slices.Clone(a.Tasks)
	}
	return m
}

// AppendTo appends the assignment's bytes: Kafka's own consumer assignment with
// ours as user data.
func (a Assignment) AppendTo(b []byte) []byte {
	k := kmsg.NewConsumerMemberAssignment()
	for _, topic := range a.Topics {
		if len(a.Tasks) == 0 {
			break
		}
		t := kmsg.NewConsumerMemberAssignmentTopic()
		t.Topic, t.Partitions = topic, a.Tasks
		k.Topics = append(k.Topics, t)
	}
	u := append([]byte(assignmentMagic), assignmentVersion)
	u = binary.BigEndian.AppendUint64(u, a.Incarnation)
	u = appendString(u, a.Fingerprint)
	u = appendString(u, a.Refused)
	var optional tagged
	if len(a.Standbys) > 0 {
		optional.add(followTag, appendTasks(nil, a.Standbys))
	}
	k.UserData = optional.appendTo(u)
	return k.AppendTo(b)
}

// DecodeAssignment reads an assignment. No bytes at all are an assignment of
// nothing: a broker has no other for a member that no leader has assigned yet.
func DecodeAssignment(b []byte) (Assignment, error) {
	var a Assignment
	if len(b) == 0 {
		return a, nil
	}
	var k kmsg.ConsumerMemberAssignment
	if err := k.ReadFrom(b); err != nil {
		return a, fmt.Errorf("assignment: %w", err)
	}
	r := &reader{b: k.UserData}
	r.header(assignmentMagic, assignmentVersion)
	a.Incarnation = r.uint64()
	a.Fingerprint, a.Refused = r.string(), r.string()
	r.tagged(map[uint64]func(*reader){followTag: func(f *reader) { a.Standbys = f.tasks() }})
	if err := r.end(); err != nil {
		return Assignment{}, fmt.Errorf("assignment: user data: %w", err)
	}
	if err := a.setTopics(k.Topics); err != nil {
		return Assignment{}, fmt.Errorf("assignment: %w", err)
	}
	return a, nil
}

// setTopics checks that every topic has the same partitions: tasks are whole.
func (a *Assignment) setTopics(topics []kmsg.ConsumerMemberAssignmentTopic) error {
	for i, t := range topics {
		tasks := slices.Sorted(slices.Values(t.Partitions))
		if i == 0 {
			a.Tasks = tasks
		}
		if !slices.Equal(tasks, a.Tasks) {
			return fmt.Errorf("topics %s and %s have different partitions", topics[0].Topic, t.Topic)
		}
		a.Topics = append(a.Topics, t.Topic)
	}
	slices.Sort(a.Topics)
	if len(slices.Compact(slices.Clone(a.Topics))) < len(a.Topics) {
		return fmt.Errorf("a topic is named twice")
	}
	return nil
}
