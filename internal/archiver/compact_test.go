package archiver_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// Kafka's cleaner takes records from the middle of a log: what is archived afterwards
// has gaps in its offsets and is the log byte for byte; what was archived before has
// more, and is no other story.
func TestACompactedLogIsArchivedWithItsGaps(t *testing.T) {
	// A broker of its own: the cleaner of the others has their tests' topics before it.
	r := newRig(t, testenv.Kafka(t, testenv.Options{Properties: map[string]string{"log.cleaner.backoff.ms": "1000"}}))
	before, after := r.compacted("before"), r.compacted("after")
	early := r.start(archiver.Patterns{before.Topic}, nil)
	whole := r.reaches(before)
	early.stop()
	size := len(r.inKafka(after, 0, whole.Next))
	r.clean(before.Topic, after.Topic)
	eventually(t, "the cleaner has been here", func() bool {
		done := true
		for _, p := range []record.Partition{before, after} {
			r.Write(p, true, fmt.Sprint("tick ", time.Now().UnixNano())) // ends the active segment
			done = len(r.inKafka(p, 0, whole.Next)) < size*3/4 && done   // markers stay, nearly half of it
		}
		return done
	})
	r.start(archiver.Patterns{before.Topic, after.Topic}, nil)
	for p, all := range map[record.Partition]bool{before: true, after: false} {
		m := r.reaches(p)
		mender := archiver.Mender{Cluster: r.Cluster, Archive: r.archive}
		if got, err := mender.Compare(t.Context(), m); err != nil || got.Batches+got.Rewritten == 0 {
			t.Errorf("%s: compared %+v, %v", p, got, err)
		}
		v, err := r.archive.Verify(t.Context(), m, archive.VerifyConfig{Deep: true})
		if err != nil || len(v.Damage) > 0 {
			t.Errorf("%s: %v, %v", p, v.Damage, err)
		}
		var bytes int64 // of what was written before the cleaner came
		for _, s := range m.Segments {
			if s.End <= whole.Next {
				bytes += s.DataBytes
			}
		}
		if all != (bytes >= int64(size)) {
			t.Errorf("%s: the archive has %d bytes of what were %d before the cleaner came", p, bytes, size)
		}
	}
}

// compacted makes a topic that the cleaner visits once it is told to, with 20 values of three keys.
func (r *rig) compacted(name string) record.Partition {
	r.t.Helper()
	spec := kafka.TopicSpec{Name: testenv.Name(r.t) + "-" + name, Partitions: 1, Config: map[string]string{
		"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "min.compaction.lag.ms": "86400000",
	}}
	if _, err := r.Cluster.CreateTopics(r.t.Context(), spec); err != nil {
		r.t.Fatal(err)
	}
	p := record.Partition{Topic: spec.Name}
	r.Shift = time.Now().Add(-time.Hour).UnixMilli()
	for range 20 {
		r.Write(p, true, "a", "b", "c")
	}
	return p
}

// clean lets the cleaner have all that topics hold.
func (r *rig) clean(topics ...string) {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.env.Brokers()...))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	change := []kadm.AlterConfig{{Name: "min.compaction.lag.ms", Value: kmsg.StringPtr("0")}}
	answers, err := kadm.NewClient(cl).AlterTopicConfigs(r.t.Context(), change, topics...)
	for _, a := range answers {
		err = errors.Join(err, a.Err)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
