package archiver_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// logged is what an archiver has logged.
type logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) has(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range words {
		if !strings.Contains(l.text.String(), w) {
			return false
		}
	}
	return true
}

// What waits is counted in records, bytes and seconds, and the time that is left until
// Kafka deletes or compacts it; before it is over there is a warning.
func TestHeadroomIsTheTimeUntilKafkaDeletesOrCompacts(t *testing.T) {
	for name, c := range map[string]struct {
		settings map[string]string
		announce string // what is said of such settings beside segments of an hour
	}{
		"deletes":  {map[string]string{"retention.ms": "3600000"}, "records may be deleted before they are archived"},
		"compacts": {map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000"}, "may be compacted before it is archived"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, testenv.Fake(t))
			topic := testenv.Name(t)
			if _, err := r.Cluster.CreateTopics(t.Context(), kafka.TopicSpec{Name: topic, Partitions: 1, Config: c.settings}); err != nil {
				t.Fatal(err)
			}
			p, log := record.Partition{Topic: topic}, new(logged)
			a := r.start(archiver.Patterns{topic}, func(c *archiver.Config) {
				c.SegmentAge, c.WarnBefore = time.Hour, 40*time.Minute
				c.Log = slog.New(slog.NewTextHandler(log, nil))
			})
			now := time.Now()
			r.Shift = now.UnixMilli()
			r.Write(p, true, "archived at once")
			r.reaches(p)
			r.Shift = now.Add(-30 * time.Minute).UnixMilli()
			r.Write(p, true, "waits")
			var s archiver.PartitionStats
			eventually(t, "the headroom is known", func() bool {
				stats := a.Stats()
				if len(stats.Partitions) == 1 {
					s = stats.Partitions[0]
				}
				return s.Bounded && s.LagTime > 0
			})
			if s.Headroom < 28*time.Minute || s.Headroom > 31*time.Minute || s.Lag == 0 || s.LagBytes == 0 {
				t.Errorf("headroom %v with a lag of %d records, %d bytes, %v; want about 30m", s.Headroom, s.Lag, s.LagBytes, s.LagTime)
			}
			eventually(t, "there are warnings", func() bool {
				return log.has(c.announce, "Kafka may soon delete or compact", "partition="+p.String(), "left=")
			})
		})
	}
}
