package kafka

import (
	"context"
	"errors"
	"time"
)

// Role is what a group does with a topic.
type Role uint8

const (
	InputRole      Role = iota // a stream that the group consumes
	JoinRole                   // a co-partitioned table that the group follows
	LoopRole                   // written and consumed by the group
	TableRole                  // the group's table
	StateRole                  // the group's positions and named stores
	LookupRole                 // a table that every process keeps whole
	OutputRole                 // written by the group
	DeadLetterRole             // written by the group
)

// TopicUse is one topic in one role.
type TopicUse struct {
	Topic string
	Role  Role
}

// GroupTopics are all topics of a group, as Validate looks at them.
type GroupTopics struct {
	Group string
	Uses  []TopicUse
	// Past are inputs that an archive has and Kafka does not know, with the number of
	// their partitions.
	Past    map[string]int32
	Archive bool      // there is an archive, and it has nothing else of what is missing
	Now     time.Time // for the ages of records; zero leaves ages unchecked
}

// Problem is one thing that keeps a group from running, or a warning.
type Problem struct {
	Topic string
	What  string // what differs
	Mend  string // how to mend it, as a command or setting
}

// Error returns what is wrong and how to mend it.
func (p Problem) Error() string {
	if p.Mend == "" {
		return "topic " + p.Topic + ": " + p.What
	}
	return "topic " + p.Topic + ": " + p.What + "; " + p.Mend
}

// Report is what Validate found.
type Report struct {
	Partitions int32     // of the co-partitioned topics, 0 where none exists
	Missing    []string  // topics of the group's own that do not exist yet, sorted
	Problems   []Problem // all of them, by topic
	Warnings   []Problem
}

// Err returns all problems as one error, nil where there is none.
func (r Report) Err() error {
	errs := make([]error, len(r.Problems))
	for i, p := range r.Problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// Validate looks at all topics of a group before the first record and names every
// problem at once. The error is for a cluster that cannot be asked.
func (c *Cluster) Validate(ctx context.Context, g GroupTopics) (Report, error) {
	return c.validate(ctx, g)
}
