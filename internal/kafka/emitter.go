package kafka

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// EmitterConfig says how an emitter writes.
type EmitterConfig struct {
	// Hasher places keys on partitions. Default record.FNV1a.
	Hasher record.Hasher
	// Compression is "none", "snappy", "lz4" or "zstd". Default "none".
	Compression string
}

// Emitter writes single records, each exactly once while the emitter lives, and
// those of a partition in the order of the calls. It takes part in no transaction.
// It is safe for concurrent use.
type Emitter struct {
	cl     *kgo.Client
	failed atomic.Pointer[error]
}

// NewEmitter returns an emitter that has not talked to a broker yet. The caller
// closes it.
func (c *Cluster) NewEmitter(ec EmitterConfig) (*Emitter, error) {
	hasher := ec.Hasher
	if hasher.Partition == nil {
		hasher = record.FNV1a
	}
	codec, err := compression(ec.Compression)
	if err != nil {
		return nil, fmt.Errorf("emitter: %w", err)
	}
	place := func(string) func(*kgo.Record, int) int {
		return func(r *kgo.Record, n int) int { return int(hasher.Partition(r.Key, int32(n))) }
	}
	cl, err := c.client(kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(place)), kgo.ProducerBatchCompression(codec))
	if err != nil {
		return nil, fmt.Errorf("emitter: %w", err)
	}
	return &Emitter{cl: cl}, nil
}

// Emit writes r, whose topic, key, value, headers and timestamp count; the
// partition is the hasher's. It returns at once unless the buffer is full; r's
// slices belong to the emitter until Flush has returned. The error is the first
// of any record.
func (e *Emitter) Emit(ctx context.Context, r record.Record) error {
	if err := e.err(); err != nil {
		return err
	}
	k := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: r.Time()}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	e.cl.Produce(ctx, k, e.done)
	return nil
}

func (e *Emitter) done(r *kgo.Record, err error) {
	if err != nil {
		err = fmt.Errorf("write to %s with key %q: %w%s", r.Topic, r.Key, err, hint(Fatal, err))
		e.failed.CompareAndSwap(nil, &err)
	}
}

func (e *Emitter) err() error {
	if p := e.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// Flush waits until all records are written, and returns the first error of any.
func (e *Emitter) Flush(ctx context.Context) error {
	if err := e.cl.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return e.err()
}

// Close ends the connections. What was not flushed may be lost.
func (e *Emitter) Close() { e.cl.Close() }
