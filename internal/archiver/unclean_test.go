package archiver_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources/sourcetest"
)

// A replica that was away becomes the leader and does not have what the archive has:
// the archiver names the offset, by leader epochs, and goes on only when the archive was
// told to forget it, too.
func TestWhatAnUncleanElectionHasLostIsNamed(t *testing.T) {
	env := testenv.Kafka(t, testenv.Options{Nodes: 3})
	r := newRig(t, env)
	cl, err := kgo.NewClient(kgo.SeedBrokers(env.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	p := record.Partition{Topic: onTwoNodes(t, cl)}
	a := r.start(archiver.Patterns{p.Topic}, nil)
	r.Write(p, true, values(0, 20)...)
	both := r.same(p).Next
	env.Kill(2)
	r.Write(p, true, values(20, 20)...)
	lost := r.same(p)
	a.stop()
	env.Kill(1)
	env.Restart(2)
	elect(t, cl, p)
	r.KafkaLog = sourcetest.NewKafkaLog(t, env)
	r.Write(p, true, values(100, 50)...)

	a = r.start(archiver.Patterns{p.Topic}, nil)
	var diverged *archiver.DivergedError
	eventually(t, "the loss is named", func() bool { return errors.As(a.Ready(), &diverged) })
	if diverged.Offset != both || diverged.End != lost.Next || diverged.Epoch != lost.NextEpoch {
		t.Errorf("%v; want offset %d of an archive that ends at %d in epoch %d", diverged, both, lost.Next, lost.NextEpoch)
	}
	mender := archiver.Mender{Cluster: r.Cluster, Archive: r.archive}
	if was, is, err := mender.Truncate(t.Context(), lost.Log); err != nil || was != lost.Next || is != both {
		t.Fatalf("truncated from %d to %d, %v; want %d to %d", was, is, err, lost.Next, both)
	}
	eventually(t, "archiving goes on", func() bool { return a.Ready() == nil })
	r.same(p)
}

// onTwoNodes creates a topic with a leader on node 1, a replica on node 2, and unclean
// elections.
func onTwoNodes(t *testing.T, cl *kgo.Client) string {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = testenv.Name(t), -1, -1
	assignment := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	assignment.Replicas = []int32{1, 2}
	topic.ReplicaAssignment = append(topic.ReplicaAssignment, assignment)
	for name, value := range map[string]string{"unclean.leader.election.enable": "true", "min.insync.replicas": "1", "retention.ms": "-1"} {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, kmsg.StringPtr(value)
		topic.Configs = append(topic.Configs, c)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
	return topic.Topic
}

// elect makes the only replica that is left the leader, whatever it lacks.
func elect(t *testing.T, cl *kgo.Client, p record.Partition) {
	t.Helper()
	eventually(t, "the replica leads", func() bool {
		req := kmsg.NewPtrElectLeadersRequest()
		req.ElectionType, req.TimeoutMillis = 1, 5000
		topic := kmsg.NewElectLeadersRequestTopic()
		topic.Topic, topic.Partitions = p.Topic, []int32{p.Partition}
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(t.Context(), cl)
		if err != nil || len(resp.Topics) == 0 || len(resp.Topics[0].Partitions) == 0 {
			return false
		}
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
		return err == nil || errors.Is(err, kerr.ElectionNotNeeded)
	})
}
