package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// loop is a plain transactional program on franz-go: it consumes, and commits what
// it has produced and its offsets every 100 ms.
type loop struct {
	session *kgo.GroupTransactSession
	take    func(kgo.FetchTopicPartition) // what was consumed
	seal    func()                        // before the commit
	failed  atomic.Pointer[error]         // the first of a produced record
}

func newLoop(c childRun, more ...kgo.Opt) (*loop, error) {
	s, err := kgo.NewGroupTransactSession(append([]kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.TransactionalID(c.Group), kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(c.In),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}, more...)...)
	return &loop{session: s}, err
}

func (l *loop) produce(r *kgo.Record) {
	l.session.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
		if err != nil {
			l.failed.CompareAndSwap(nil, &err)
		}
	})
}

// run runs transactions until ctx ends. There is no way back here: what does not
// commit ends the program.
func (l *loop) run(ctx context.Context) error {
	defer l.session.Close()
	for ctx.Err() == nil {
		if err := l.transaction(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) transaction(ctx context.Context) error {
	if err := l.session.Begin(); err != nil {
		return err
	}
	poll, cancel := context.WithTimeout(ctx, commitEvery)
	defer cancel()
	taken := 0
	for poll.Err() == nil {
		fetches := l.session.PollFetches(poll)
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
				return fmt.Errorf("fetch %s/%d: %w", e.Topic, e.Partition, e.Err)
			}
		}
		taken += fetches.NumRecords()
		fetches.EachPartition(l.take)
	}
	if l.seal != nil {
		l.seal()
	}
	committed, err := l.session.End(context.WithoutCancel(ctx), kgo.TryCommit)
	if failed := l.failed.Load(); failed != nil {
		return errors.Join(*failed, err)
	}
	if err == nil && !committed && taken > 0 {
		err = fmt.Errorf("a transaction of %d records did not commit", taken)
	}
	return err
}

// runRaw copies each record to another topic and keeps nothing: the yardstick.
func runRaw(ctx context.Context, c childRun) error {
	l, err := newLoop(c, kgo.DefaultProduceTopic(c.Out))
	if err != nil {
		return err
	}
	l.take = func(p kgo.FetchTopicPartition) {
		for _, r := range p.Records {
			l.produce(&kgo.Record{Key: r.Key, Value: r.Value})
		}
	}
	return l.run(ctx)
}

// runSink consumes and commits and does nothing else.
func runSink(ctx context.Context, c childRun) error {
	l, err := newLoop(c)
	if err != nil {
		return err
	}
	l.take = func(kgo.FetchTopicPartition) {}
	return l.run(ctx)
}

// tally is the count of one partition in a Go map.
type tally struct {
	counts  map[string]*counted
	changed []*counted
}

type counted struct {
	key   []byte
	n     int64
	dirty bool
}

func (t *tally) add(key []byte) {
	c := t.counts[string(key)]
	if c == nil {
		c = &counted{key: append([]byte(nil), key...)}
		t.counts[string(c.key)] = c
	}
	c.n++
	if !c.dirty {
		c.dirty = true
		t.changed = append(t.changed, c)
	}
}

// runMemory counts in Go maps and writes the last count of each changed key to a
// changelog at every commit; it keeps nothing on disk and cannot restart.
func runMemory(ctx context.Context, c childRun) error {
	l, err := newLoop(c, kgo.DefaultProduceTopic(c.Out), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	tallies := map[int32]*tally{}
	l.take = func(p kgo.FetchTopicPartition) {
		t := tallies[p.Partition]
		if t == nil {
			t = &tally{counts: map[string]*counted{}}
			tallies[p.Partition] = t
		}
		for _, r := range p.Records {
			t.add(r.Key)
		}
	}
	l.seal = func() {
		now := time.Now()
		for partition, t := range tallies {
			for _, c := range t.changed {
				c.dirty = false
				l.produce(&kgo.Record{Partition: partition, Key: c.key, Value: strconv.AppendInt(nil, c.n, 10), Timestamp: now})
			}
			t.changed = t.changed[:0]
		}
	}
	return l.run(ctx)
}
