package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

// TopicSpec says how a topic is to be created.
type TopicSpec struct {
	Name        string
	Partitions  int32
	Replication int16             // 0: the broker's default
	Config      map[string]string // nil: the broker's defaults
}

// Topic is what a cluster says of a topic.
type Topic struct {
	Name        string
	ID          record.TopicID
	Partitions  int32
	Replication int16             // of its first partition
	Config      map[string]string // effective values, by name; nil where they may not be read
}

// How long a deleted key stays readable as a tombstone, and how long a table's
// records stay uncompacted so that an archive can copy each of them.
const (
	deleteRetention  = 7 * 24 * time.Hour
	minCompactionLag = time.Hour
)

// foreverMillis switches off the broker's check that timestamps are not ahead of
// its clock: event time that an input's topic has let in must not be refused by
// the topics that are made of it.
const foreverMillis = "9223372036854775807"

// TableSpec returns the settings of a changelog: compacted, deletes readable for
// seven days, each record kept at least an hour.
func TableSpec(name string, partitions int32) TopicSpec {
	return TopicSpec{Name: name, Partitions: partitions, Config: map[string]string{
		"cleanup.policy":                 "compact",
		"delete.retention.ms":            millis(deleteRetention),
		"min.compaction.lag.ms":          millis(minCompactionLag),
		"message.timestamp.type":         "CreateTime",
		"message.timestamp.after.max.ms": foreverMillis,
	}}
}

// InternalSpec returns the settings of a loop or another topic that the group
// purges itself: nothing is deleted by age, for ages are event time.
func InternalSpec(name string, partitions int32) TopicSpec {
	return TopicSpec{Name: name, Partitions: partitions, Config: map[string]string{
		"cleanup.policy":                 "delete",
		"retention.ms":                   "-1",
		"retention.bytes":                "-1",
		"message.timestamp.type":         "CreateTime",
		"message.timestamp.after.max.ms": foreverMillis,
	}}
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Topics describes the topics of the given names. A topic that does not exist is
// absent from the result; one that may not be described is an error that names it.
func (c *Cluster) Topics(ctx context.Context, names ...string) (map[string]Topic, error) {
	topics := make(map[string]Topic, len(names))
	if len(names) == 0 {
		return topics, nil
	}
	m, err := c.metadata(ctx, false, names...)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	var errs []error
	var found []string
	for _, t := range m.Topics {
		name, err := topicName(t), kerr.ErrorForCode(t.ErrorCode)
		switch {
		case missing(err):
		case err != nil:
			errs = append(errs, fmt.Errorf("describe topic %s: %w", name, err))
		default:
			topics[name] = Topic{Name: name, ID: t.TopicID, Partitions: int32(len(t.Partitions)), Replication: replication(t)}
			found = append(found, name)
		}
	}
	configs, err := c.topicConfigs(ctx, found)
	errs = append(errs, err)
	for name, conf := range configs {
		t := topics[name]
		t.Config = conf
		topics[name] = t
	}
	return topics, errors.Join(errs...)
}

func replication(t kmsg.MetadataResponseTopic) int16 {
	if len(t.Partitions) == 0 {
		return 0
	}
	return int16(len(t.Partitions[0].Replicas))
}

// metadata asks a broker, not the cache, about the given topics, or about all.
func (c *Cluster) metadata(ctx context.Context, operations bool, names ...string) (*kmsg.MetadataResponse, error) {
	return metadataRequest(operations, names).RequestWith(ctx, c.cl)
}

func metadataRequest(operations bool, names []string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = operations
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	return req
}

func topicName(t kmsg.MetadataResponseTopic) string {
	if t.Topic == nil {
		return ""
	}
	return *t.Topic
}

func missing(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}

// topicConfigs returns the settings of topics. A topic whose settings may not be
// read is absent.
func (c *Cluster) topicConfigs(ctx context.Context, names []string) (map[string]map[string]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range names {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
		req.Resources = append(req.Resources, r)
	}
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, fmt.Errorf("describe topic settings: %w", err)
	}
	out := make(map[string]map[string]string, len(names))
	var errs []error
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			if !missing(err) && !errors.Is(err, kerr.TopicAuthorizationFailed) {
				errs = append(errs, fmt.Errorf("describe settings of topic %s: %w", r.ResourceName, err))
			}
			continue
		}
		conf := make(map[string]string, len(r.Configs))
		for _, kv := range r.Configs {
			if kv.Value != nil {
				conf[kv.Name] = *kv.Value
			}
		}
		out[r.ResourceName] = conf
	}
	return out, errors.Join(errs...)
}

// AllTopics returns the names of all topics that this principal may see, sorted,
// without the brokers' internal ones.
func (c *Cluster) AllTopics(ctx context.Context) ([]string, error) {
	m, err := c.metadata(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var names []string
	for _, t := range m.Topics {
		if t.ErrorCode == 0 && !t.IsInternal {
			names = append(names, topicName(t))
		}
	}
	slices.Sort(names)
	return names, nil
}

// CreateTopics creates those of the topics that do not exist and returns their
// names, sorted, once their partitions have leaders. What exists is left alone,
// whatever its settings: Validate compares them.
func (c *Cluster) CreateTopics(ctx context.Context, specs ...TopicSpec) (created []string, err error) {
	if len(specs) == 0 {
		return nil, nil
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	for _, s := range specs {
		req.Topics = append(req.Topics, s.request())
	}
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, fmt.Errorf("create topics: %w", err)
	}
	ids := make(map[string]record.TopicID)
	var errs []error
	for _, t := range resp.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case err == nil:
			ids[t.Topic] = t.TopicID
		case !errors.Is(err, kerr.TopicAlreadyExists):
			errs = append(errs, createError(t.Topic, t.ErrorMessage, err))
		}
	}
	created = sortedKeys(ids)
	if len(created) > 0 {
		errs = append(errs, c.awaitLeaders(ctx, created, ids))
	}
	return created, errors.Join(errs...)
}

func (s TopicSpec) request() kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions = s.Name, s.Partitions
	t.ReplicationFactor = cmp.Or(s.Replication, -1)
	for _, name := range sortedKeys(s.Config) {
		conf := kmsg.NewCreateTopicsRequestTopicConfig()
		conf.Name, conf.Value = name, kmsg.StringPtr(s.Config[name])
		t.Configs = append(t.Configs, conf)
	}
	return t
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func createError(topic string, message *string, err error) error {
	if message != nil && *message != "" {
		err = fmt.Errorf("%w: %s", err, *message)
	}
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return fmt.Errorf("create topic %s: %w (grant Create on it, or create it beforehand)", topic, err)
	}
	return fmt.Errorf("create topic %s: %w", topic, err)
}

// awaitLeaders waits until each partition of new topics can be written. The broker
// that is asked may be behind the one that created them, and may still tell of
// deleted topics of the same names.
func (c *Cluster) awaitLeaders(ctx context.Context, names []string, ids map[string]record.TopicID) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		m, err := c.metadata(ctx, false, names...)
		if err == nil && allLed(m, ids) && c.knownEverywhere(ctx, names, ids) {
			return nil
		}
		if !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("created topics %v have no leaders yet: %w", names, context.Cause(ctx))
		}
	}
}

// knownEverywhere asks each broker by itself: whoever is asked next must know the
// topics, too. A broker that does not answer is not asked next either.
func (c *Cluster) knownEverywhere(ctx context.Context, names []string, ids map[string]record.TopicID) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, b := range c.cl.DiscoveredBrokers() {
		m, err := metadataRequest(false, names).RequestWith(ctx, b)
		if err == nil && !allLed(m, ids) {
			return false
		}
	}
	return true
}

func allLed(m *kmsg.MetadataResponse, ids map[string]record.TopicID) bool {
	for _, t := range m.Topics {
		if t.ErrorCode != 0 || len(t.Partitions) == 0 {
			return false
		}
		if want, got := ids[topicName(t)], record.TopicID(t.TopicID); want.Known() && got.Known() && got != want {
			return false
		}
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || p.Leader < 0 {
				return false
			}
		}
	}
	return true
}

// DeleteTopics deletes topics; one that does not exist is no error.
func (c *Cluster) DeleteTopics(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	rs, err := c.adm.DeleteTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	var errs []error
	for _, r := range rs.Sorted() {
		if r.Err != nil && !missing(r.Err) {
			errs = append(errs, fmt.Errorf("delete topic %s: %w", r.Topic, r.Err))
		}
	}
	return errors.Join(errs...)
}
