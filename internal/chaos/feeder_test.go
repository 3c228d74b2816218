package chaos

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// mostPending is how much input may wait for its output before the feeder waits.
const mostPending = 300_000

// feeder writes records, numbered from 1, under keys that the seed chooses. The
// client writes each once, and fails where it cannot say that it has.
type feeder struct {
	cl     *kgo.Client
	topic  string
	parts  int32
	keys   [][]byte
	rnd    *rand.Rand
	stalls *stalls

	sent  []int64 // by partition; of the feeding goroutine
	acked []atomic.Int64
	seq   uint64
	err   atomic.Pointer[error]
	quit  chan struct{}
	done  sync.WaitGroup
}

func newFeeder(brokers []string, topic string, parts int32, o options, s *stalls) (*feeder, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.StopProducerOnDataLossDetected(), kgo.MaxBufferedRecords(20_000), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return nil, err
	}
	f := &feeder{
		cl: cl, topic: topic, parts: parts, rnd: rand.New(rand.NewPCG(o.seed, 99)), stalls: s,
		sent: make([]int64, parts), acked: make([]atomic.Int64, parts), quit: make(chan struct{}),
	}
	for k := range o.keys {
		f.keys = append(f.keys, keyOf(k))
	}
	return f, nil
}

// start feeds at a rate, 0 for as fast as output follows, until finish.
func (f *feeder) start(ctx context.Context, rate int) {
	f.done.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		begun := time.Now()
		for n := int64(0); f.failure() == nil; {
			due := n + 2000
			if rate > 0 {
				due = min(due, int64(time.Since(begun).Seconds()*float64(rate)))
			}
			if f.stalls.pending() > mostPending {
				due = n
			}
			for ; n < due; n++ {
				f.send(ctx)
			}
			if rate == 0 && f.stalls.pending() < mostPending/2 {
				select {
				case <-f.quit:
					return
				default:
					continue
				}
			}
			select {
			case <-tick.C:
			case <-f.quit:
				return
			}
		}
	})
}

func (f *feeder) send(ctx context.Context) {
	f.seq++
	key := f.keys[f.rnd.IntN(len(f.keys))]
	p := record.FNV1a.Partition(key, f.parts)
	f.sent[p]++
	f.cl.Produce(ctx, &kgo.Record{
		Topic: f.topic, Partition: p, Key: key, Value: binary.BigEndian.AppendUint64(nil, f.seq), Timestamp: time.Now(),
	}, f.written)
}

func (f *feeder) written(r *kgo.Record, err error) {
	if err != nil {
		err = fmt.Errorf("feed %s/%d: %w", r.Topic, r.Partition, err)
		f.err.CompareAndSwap(nil, &err)
		return
	}
	f.acked[r.Partition].Add(1)
	f.stalls.fed(r.Partition, time.Now())
}

func (f *feeder) failure() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

// finish ends the feed, and returns how many records each partition has.
func (f *feeder) finish(ctx context.Context) ([]int64, error) {
	close(f.quit)
	f.done.Wait()
	if err := f.cl.Flush(ctx); err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	f.cl.Close()
	if err := f.failure(); err != nil {
		return nil, err
	}
	for p := range f.sent {
		if n := f.acked[p].Load(); n != f.sent[p] {
			return nil, fmt.Errorf("feed: %d of %d records of partition %d were acknowledged", n, f.sent[p], p)
		}
	}
	return f.sent, nil
}
