// Package dev runs a Kafka broker inside the process, for development and demos
// only: one node, no replication, no authentication, loopback only.
//
// Any Kafka client can connect to it. With a directory it keeps its topics,
// records, groups and transactions there and survives the death of the process;
// without one it keeps them in memory. Topics are never created by use: create
// them explicitly.
//
// A [Broker] is safe for concurrent use.
package dev

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config says where a broker listens and keeps its data.
type Config struct {
	// Dir keeps the data; it is created where missing, and locked. Default "":
	// everything is kept in memory and ends with the process.
	Dir string
	// Listen is the loopback address that clients connect to. Default
	// "127.0.0.1:0": a free port.
	Listen string
	// Log receives the broker's warnings and errors. Default: nothing.
	Log *slog.Logger
}

// A Broker is an embedded Kafka broker.
type Broker struct {
	cluster *kfake.Cluster
	lock    *os.File // nil without a directory
}

// Start starts a broker. The caller closes it.
func Start(c Config) (*Broker, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := checkLoopback(c.Listen); err != nil {
		return nil, err
	}
	b := new(Broker)
	if c.Dir != "" {
		var err error
		if b.lock, err = lock(c.Dir); err != nil {
			return nil, err
		}
	}
	var err error
	if b.cluster, err = kfake.NewCluster(options(c)...); err != nil {
		b.unlock()
		return nil, fmt.Errorf("start the development broker on %s: %w%s", c.Listen, err, hint(err))
	}
	return b, nil
}

func options(c Config) []kfake.Opt {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.WithLogger(logger{c.Log}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, c.Listen) }),
	}
	if c.Dir != "" {
		opts = append(opts, kfake.DataDir(c.Dir))
	}
	return opts
}

// Addr returns the address to connect to, host:port.
func (b *Broker) Addr() string { return b.cluster.ListenAddrs()[0] }

// Close stops the broker and writes what the directory does not hold yet. It may
// be called once, after the last call of another method.
func (b *Broker) Close() error {
	b.cluster.Close()
	return b.unlock()
}

func (b *Broker) unlock() error {
	if b.lock == nil {
		return nil
	}
	return b.lock.Close()
}

// checkLoopback refuses addresses that others can reach: nobody has to prove who
// they are to this broker.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address %q: %w (use host:port, such as 127.0.0.1:9092)", addr, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("listen address %q: the development broker has no authentication and listens on loopback only (use 127.0.0.1)", addr)
}

func hint(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "listen" {
		return " (is another broker running there? port 0 takes a free one)"
	}
	return ""
}

// lock makes dir and takes it for this process, until the file is closed.
func lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the development broker's directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the development broker's directory: %w", err)
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("directory %s is in use by another development broker: %w (stop it, or choose another directory)", dir, err)
	}
	return f, nil
}

// logger passes on what an operator should know.
type logger struct{ to *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.to.Error("development broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.to.Warn("development broker: " + fmt.Sprintf(format, args...))
	}
}
