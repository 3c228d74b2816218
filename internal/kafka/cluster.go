package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Cluster is a connection to one Kafka cluster. It is safe for concurrent use.
type Cluster struct {
	config Config
	base   []kgo.Opt // of every client
	cl     *kgo.Client
	adm    *kadm.Client
	log    *slog.Logger
	tails  tails

	id         string
	txnVersion int16
}

// Open connects to a cluster and learns its id and features. It retries until
// the configuration's ConnectTimeout, or ctx, is over; the error names the
// brokers and the cause. The caller closes the cluster.
func Open(ctx context.Context, c Config) (*Cluster, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("kafka configuration: %w", err)
	}
	c = c.withDefaults()
	base, err := c.options()
	if err != nil {
		return nil, fmt.Errorf("kafka configuration: %w", err)
	}
	k := &Cluster{config: c, base: base, log: c.Log}
	if k.cl, err = k.client(); err != nil {
		return nil, fmt.Errorf("kafka configuration: %w", err)
	}
	err = k.connect(ctx)
	k.cl.Close()
	if err != nil {
		return nil, err
	}
	// The settings are right: a broker that closes a connection at its begin is dying
	// or starting, and is asked again, or another one.
	k.base = append(k.base, kgo.AlwaysRetryEOF())
	if k.cl, err = k.client(); err != nil {
		return nil, fmt.Errorf("kafka configuration: %w", err)
	}
	k.adm = kadm.NewClient(k.cl)
	k.adm.SetTimeoutMillis(30_000)
	k.tails.open(k)
	return k, nil
}

// client returns a further client of the cluster with options of its own.
func (c *Cluster) client(more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(slices.Clone(c.base), more...)...)
}

func (c *Cluster) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.ConnectTimeout)
	defer cancel()
	var last error
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := c.learn(ctx)
		if err == nil {
			return nil
		}
		if last == nil || !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		if hopeless(err) || !pause(ctx, wait) {
			return fmt.Errorf("connect to kafka at %s: %w%s", strings.Join(c.config.Brokers, ", "), last, c.config.connectHint(last))
		}
	}
}

// hopeless says that a connection will not come about by waiting.
func hopeless(err error) bool {
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism) ||
		errors.Is(err, kerr.IllegalSaslState) || errors.Is(err, kerr.ClusterAuthorizationFailed)
}

func (c Config) connectHint(err error) string {
	if hopeless(err) {
		return " (check the SASL mechanism and credentials)"
	}
	if s := err.Error(); strings.Contains(s, "tls") || strings.Contains(s, "x509") {
		return " (check the TLS settings: does this port speak TLS, and does the CA match?)"
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return " (is the broker running, and is the address right?)"
	}
	if c.SASL != nil {
		return " (is this the port for SASL, and are mechanism and credentials right?)"
	}
	if c.TLS != nil {
		return " (is the broker running, and does this port speak TLS?)"
	}
	return " (is the broker running, and is the address right?)"
}

// learn asks for the cluster's id and features.
func (c *Cluster) learn(ctx context.Context) error {
	if err := c.cl.Ping(ctx); err != nil {
		return err
	}
	meta := kmsg.NewPtrMetadataRequest()
	meta.Topics = []kmsg.MetadataRequestTopic{}
	m, err := meta.RequestWith(ctx, c.cl)
	if err != nil {
		return err
	}
	if m.ClusterID != nil {
		c.id = *m.ClusterID
	}
	api := kmsg.NewPtrApiVersionsRequest()
	api.ClientSoftwareName, api.ClientSoftwareVersion = "kappa", "1"
	a, err := api.RequestWith(ctx, c.cl)
	if err != nil {
		return err
	}
	for _, f := range a.FinalizedFeatures {
		if f.Name == "transaction.version" {
			c.txnVersion = f.MaxVersionLevel
		}
	}
	return nil
}

// ID returns the cluster's id.
func (c *Cluster) ID() string { return c.id }

// TransactionVersion returns the finalized feature transaction.version: below 2
// the older transaction protocol, 2 the one of KIP-890.
func (c *Cluster) TransactionVersion() int16 { return c.txnVersion }

// brokers returns how many brokers share the load, as far as is known.
func (c *Cluster) brokers() int32 { return int32(max(1, len(c.cl.DiscoveredBrokers()))) }

// Close ends all connections of the cluster's own; fetchers, producers and
// members are closed by their owners, before.
func (c *Cluster) Close() {
	c.tails.close()
	c.cl.Close()
}

// pause waits for d and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
