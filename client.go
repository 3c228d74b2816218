package kappa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// Connection says how to reach a cluster; TLS and SASL say how connections are
// encrypted and authenticated.
type (
	Connection = kafka.Config
	TLS        = kafka.TLSConfig
	SASL       = kafka.SASLConfig
)

// Emitter writes records to topics, outside of any group.
type Emitter = kafka.Emitter

// A Client works on one cluster.
type Client struct {
	cluster *kafka.Cluster
	log     *slog.Logger
}

// Open connects to a cluster. The caller closes the client, after all that was
// made through it.
func Open(ctx context.Context, c Connection) (*Client, error) {
	cluster, err := kafka.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{cluster, c.Log}, nil
}

// Connect connects to the cluster that the connection flags of a verb name. It is
// for the programs' own verbs; cmd must belong to the program.
func Connect(cmd *cobra.Command) (*Client, error) {
	c, err := connection(cmd)
	if err != nil {
		return nil, err
	}
	return Open(cmd.Context(), c)
}

// Log returns the logger that the client was given.
func (c *Client) Log() *slog.Logger { return c.log }

// Close ends the client's connections.
func (c *Client) Close() { c.cluster.Close() }

// A Topic is to be created.
type Topic struct {
	Name        string
	Partitions  int32
	Replication int16             // default: the broker's
	Table       bool              // compacted: the last record of a key stands
	Config      map[string]string // on top of the broker's defaults, or of a table's settings
}

// CreateTopics creates the topics that do not exist and returns their names. A
// topic that exists with another number of partitions is an error; nothing is
// created then.
func (c *Client) CreateTopics(ctx context.Context, topics ...Topic) (created []string, err error) {
	specs, names := make([]kafka.TopicSpec, len(topics)), make([]string, len(topics))
	for i, t := range topics {
		specs[i], names[i] = t.spec(), t.Name
	}
	there, err := c.cluster.Topics(ctx, names...)
	if err != nil {
		return nil, err
	}
	var mistakes []error
	for _, t := range topics {
		if old, ok := there[t.Name]; ok && old.Partitions != t.Partitions {
			mistakes = append(mistakes, fmt.Errorf("topic %s is there with %d partitions, not %d: delete it, or ask for as many", t.Name, old.Partitions, t.Partitions))
		}
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return c.cluster.CreateTopics(ctx, specs...)
}

func (t Topic) spec() kafka.TopicSpec {
	s := kafka.TopicSpec{Name: t.Name, Partitions: t.Partitions, Config: maps.Clone(t.Config)}
	if t.Table {
		s = kafka.TableSpec(t.Name, t.Partitions)
		maps.Copy(s.Config, t.Config)
	}
	s.Replication = t.Replication
	return s
}

// Emitter returns an emitter that places keys on partitions with hasher; the zero
// Hasher stands for that of groups. The caller closes it.
func (c *Client) Emitter(hasher record.Hasher) (*Emitter, error) {
	return c.cluster.NewEmitter(kafka.EmitterConfig{Hasher: hasher})
}

// Leave takes an instance out of a group, so that its tasks go to the others at
// once and not after its session's timeout. The instance must have stopped.
func (c *Client) Leave(ctx context.Context, group, instance string) error {
	return c.cluster.Leave(ctx, group, instance)
}
