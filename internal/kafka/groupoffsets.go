package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

// Committed returns the group's committed offsets; partitions without one are
// absent. Of the topics that are named it waits for transactions whose end is
// under way, so that the answer is the last word on them. Without names it
// returns all topics, but a broker does not say of a partition without any
// offset that its first one is about to stand.
func (c *Cluster) Committed(ctx context.Context, group string, topics ...string) (map[record.Partition]int64, error) {
	req, err := c.offsetFetch(ctx, group, topics)
	if err != nil {
		return nil, groupError("read committed offsets of", group, err)
	}
	var out map[record.Partition]int64
	err = coordinated(ctx, func() error {
		resp, err := req.RequestWith(ctx, c.cl)
		if err == nil {
			out, err = committed(resp)
		}
		return err
	})
	if err != nil {
		return nil, groupError("read committed offsets of", group, err)
	}
	return out, nil
}

// groupPatience bounds how long a group's coordinator may be on its way: the first
// of a new cluster has to create the topic of offsets.
const groupPatience = 30 * time.Second

// coordinated calls fn until the group's coordinator is there and, as long as ctx
// lives, until the transactions that end have ended.
func coordinated(ctx context.Context, fn func() error) error {
	began := time.Now()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		err := fn()
		away := errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.CoordinatorLoadInProgress) || errors.Is(err, kerr.NotCoordinator)
		again := away && time.Since(began) < groupPatience || errors.Is(err, kerr.UnstableOffsetCommit)
		if !again || !pause(ctx, wait) {
			return err
		}
	}
}

func (c *Cluster) offsetFetch(ctx context.Context, group string, topics []string) (*kmsg.OffsetFetchRequest, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	if len(topics) > 0 {
		m, err := c.metadata(ctx, false, topics...)
		if err != nil {
			return nil, err
		}
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
		for _, t := range m.Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !missing(err) {
				return nil, topicError(topicName(t), err)
			}
			rt := kmsg.NewOffsetFetchRequestGroupTopic()
			rt.Topic, rt.TopicID = topicName(t), t.TopicID
			for _, p := range t.Partitions {
				rt.Partitions = append(rt.Partitions, p.Partition)
			}
			if len(rt.Partitions) > 0 {
				g.Topics = append(g.Topics, rt)
			}
		}
	}
	req.Groups = append(req.Groups, g)
	return req, nil
}

func committed(resp *kmsg.OffsetFetchResponse) (map[record.Partition]int64, error) {
	out := make(map[record.Partition]int64)
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return nil, err
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err)
				}
				if p.Offset >= 0 {
					out[record.Partition{Topic: t.Topic, Partition: p.Partition}] = p.Offset
				}
			}
		}
	}
	return out, nil
}

func groupError(doing, group string, err error) error {
	if errors.Is(err, kerr.GroupAuthorizationFailed) {
		return fmt.Errorf("%s group %s: %w (grant Read on the group)", doing, group, err)
	}
	return fmt.Errorf("%s group %s: %w", doing, group, err)
}

// CommitOffsets sets the committed offsets of a group that has no members.
func (c *Cluster) CommitOffsets(ctx context.Context, group string, offsets map[record.Partition]int64) error {
	var os kadm.Offsets
	for p, at := range offsets {
		os.AddOffset(p.Topic, p.Partition, at, -1)
	}
	if len(os) == 0 {
		return nil
	}
	if err := coordinated(ctx, func() error { return c.adm.CommitAllOffsets(ctx, group, os) }); err != nil {
		if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) {
			err = fmt.Errorf("%w (the group has members: stop them first)", err)
		}
		return groupError("commit offsets of", group, err)
	}
	return nil
}

// Leave removes a static member from its group, so that its partitions are given
// to others at once. A member that is not there is no error.
func (c *Cluster) Leave(ctx context.Context, group, instance string) error {
	err := coordinated(ctx, func() error {
		rs, err := c.adm.LeaveGroup(ctx, kadm.LeaveGroup(group).Reason("kappa leave").InstanceIDs(instance))
		if err == nil {
			err = rs.Error()
		}
		return err
	})
	if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.GroupIDNotFound) {
		return nil
	}
	if err != nil {
		return groupError("leave", group+" as "+instance, err)
	}
	return nil
}
