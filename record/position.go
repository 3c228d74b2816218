package record

import (
	"encoding/hex"
	"fmt"
)

// TopicID is Kafka's id of a topic: a topic that is deleted and created again
// under its old name has a new one. The zero value means unknown.
type TopicID [16]byte

// String returns the id in hexadecimal.
func (id TopicID) String() string { return hex.EncodeToString(id[:]) }

// Known reports whether the id is set.
func (id TopicID) Known() bool { return id != TopicID{} }

// Partition names one partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

// String returns "topic/partition".
func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Partition) }

// Position says how far one partition of one topic of one cluster has been read.
// Offset is the next offset to read, never the last one read. Positions of
// different clusters or of different topic ids cannot be compared.
type Position struct {
	Cluster     string
	Topic       string
	TopicID     TopicID
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // of the last record read, -1 where unknown
}

// String returns "topic/partition@offset".
func (p Position) String() string {
	return fmt.Sprintf("%s/%d@%d", p.Topic, p.Partition, p.Offset)
}

// Of returns the partition that the position is in.
func (p Position) Of() Partition { return Partition{p.Topic, p.Partition} }
