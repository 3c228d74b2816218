package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/seed-73111be4/kappa/record"
)

// GroupMember is a member of a group as its coordinator knows it.
type GroupMember struct {
	Member   string   // the coordinator's name for it
	Instance string   // of a static member, "" of a dynamic one
	Client   string   // client id
	Host     string   // as the coordinator sees it
	Topics   []string // that it subscribes to, as far as the coordinator tells
}

// Members returns the members of a group, none where there is no such group. A static
// member whose process has stopped is one until its session has timed out.
func (c *Cluster) Members(ctx context.Context, group string) ([]GroupMember, error) {
	var members []GroupMember
	err := coordinated(ctx, func() error {
		described, err := c.adm.DescribeGroups(ctx, group)
		if err != nil {
			return err
		}
		d := described[group]
		if d.Err != nil && !errors.Is(d.Err, kerr.GroupIDNotFound) {
			return d.Err
		}
		members = membersOf(&d)
		return nil
	})
	if err != nil {
		return nil, groupError("describe", group, err)
	}
	return members, nil
}

func membersOf(d *kadm.DescribedGroup) (members []GroupMember) {
	for _, m := range d.Members {
		g := GroupMember{Member: m.MemberID, Client: m.ClientID, Host: m.ClientHost}
		if m.InstanceID != nil {
			g.Instance = *m.InstanceID
		}
		if join, ok := m.Join.AsConsumer(); ok {
			g.Topics = join.Topics
		}
		members = append(members, g)
	}
	return members
}

// Subscribers returns the groups with members that subscribe to one of the topics, or
// that may do so: of a group in the midst of a rebalance nobody knows.
func (c *Cluster) Subscribers(ctx context.Context, topics ...string) ([]string, error) {
	listed, err := c.adm.ListGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	names := listed.Groups()
	if len(names) == 0 {
		return nil, nil
	}
	described, err := c.adm.DescribeGroups(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe groups: %w", err)
	}
	var groups []string
	for _, d := range described.Sorted() {
		if d.Err != nil {
			if errors.Is(d.Err, kerr.GroupIDNotFound) {
				continue
			}
			return nil, groupError("describe", d.Group, d.Err)
		}
		members := membersOf(&d)
		if len(members) > 0 && d.State != "Stable" || slices.ContainsFunc(members, func(m GroupMember) bool { return meets(m.Topics, topics) }) {
			groups = append(groups, d.Group)
		}
	}
	return groups, nil
}

func meets(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// LogSizes returns about how many bytes the leaders of the topics' partitions keep. What
// the brokers do not tell is absent.
func (c *Cluster) LogSizes(ctx context.Context, topics ...string) (map[record.Partition]int64, error) {
	var set kadm.TopicsSet
	m, err := c.metadata(ctx, false, topics...)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			set.Add(topicName(t), p.Partition)
		}
	}
	if len(set) == 0 {
		return nil, nil
	}
	dirs, err := c.adm.DescribeAllLogDirs(ctx, set)
	if err != nil {
		return nil, fmt.Errorf("describe log directories: %w (grant Describe on the cluster)", err)
	}
	sizes := make(map[record.Partition]int64)
	for _, broker := range dirs {
		broker.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if !p.IsFuture {
				at := record.Partition{Topic: p.Topic, Partition: p.Partition}
				sizes[at] = max(sizes[at], p.Size)
			}
		})
	}
	return sizes, nil
}
