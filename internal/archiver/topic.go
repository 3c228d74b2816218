package archiver

import (
	"strconv"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
)

// topic is what matters of a topic's settings; what is unknown or unlimited is
// negative.
type topic struct {
	partitions     int32
	compacted      bool
	retention      time.Duration // after which Kafka deletes
	retentionBytes int64
	compactionLag  time.Duration // before which the cleaner leaves records alone
}

func topicOf(t kafka.Topic) topic {
	policy := t.Config["cleanup.policy"]
	s := topic{partitions: t.Partitions, compacted: strings.Contains(policy, "compact"), retention: -1, retentionBytes: -1, compactionLag: -1}
	if strings.Contains(policy, "delete") {
		s.retention = millis(t.Config["retention.ms"])
		s.retentionBytes = number(t.Config["retention.bytes"])
	}
	if s.compacted {
		s.compactionLag = millis(t.Config["min.compaction.lag.ms"])
	}
	return s
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// millis reads a number of milliseconds; what is longer than a Duration can be is
// unlimited.
func millis(s string) time.Duration {
	n := number(s)
	if n < 0 || n > int64(1<<63-1)/int64(time.Millisecond) {
		return -1
	}
	return time.Duration(n) * time.Millisecond
}
