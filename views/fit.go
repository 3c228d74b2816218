package views

import (
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// source is the table topic that a copy is to follow, as the cluster describes
// it.
type source struct {
	Cluster         string
	Topic           string
	ID              record.TopicID
	Partitions      int32
	DeleteRetention time.Duration
}

func (s source) partitions() []record.Partition {
	ps := make([]record.Partition, s.Partitions)
	for i := range ps {
		ps[i] = record.Partition{Topic: s.Topic, Partition: int32(i)}
	}
	return ps
}

// misfit returns why a copy with header h cannot be of table s, "" where it can.
func (h *header) misfit(s source) string {
	switch {
	case h.Topic != s.Topic:
		return fmt.Sprintf("it is a copy of topic %s", h.Topic)
	case h.Cluster != s.Cluster:
		return fmt.Sprintf("it was built from cluster %q, this is %q", h.Cluster, s.Cluster)
	case h.TopicID != s.ID:
		return "the topic was deleted and created again"
	case h.Partitions != s.Partitions:
		return fmt.Sprintf("the topic had %d partitions, now %d", h.Partitions, s.Partitions)
	}
	return ""
}

// outdated returns why a copy that last held all of the log at h.Seen may have
// missed deletes that the log has forgotten since, "" where it has not.
func (h *header) outdated(s source, now time.Time) string {
	if age := now.Sub(h.Seen); age > s.DeleteRetention/2 {
		return fmt.Sprintf("it is %s old, more than half of the topic's delete.retention.ms (%s): deletes may be gone from the log",
			age.Round(time.Second), s.DeleteRetention)
	}
	return ""
}

// denied returns why the log cannot have had position p, "" where it can.
func denied(p place, e record.Ends) string {
	switch {
	case p.Offset < e.Start:
		return fmt.Sprintf("it ends at offset %d, the log starts at %d", p.Offset, e.Start)
	case p.Offset > e.HighWatermark:
		return fmt.Sprintf("it ends at offset %d, the log at %d: the log lost records", p.Offset, e.HighWatermark)
	case e.LeaderEpoch >= 0 && p.Epoch > e.LeaderEpoch:
		return fmt.Sprintf("it knows leader epoch %d, the log only %d: the log lost records", p.Epoch, e.LeaderEpoch)
	}
	return ""
}
