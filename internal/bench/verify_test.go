package bench

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// contents is what a topic holds under read_committed.
type contents struct {
	records int64
	keys    int64
	sum     int64 // of the last value of each key, where values are numbers
}

// read reads a whole topic. Keys are told apart by 64 bits of their hash.
func (l *lab) read(topic string, numbers bool) (contents, error) {
	ends, err := l.ends(topic)
	if err != nil {
		return contents{}, err
	}
	start := map[int32]kgo.Offset{}
	for p := range ends {
		start[p] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: start}))
	if err != nil {
		return contents{}, err
	}
	defer client.Close()
	f := fold{last: map[uint64]int64{}, seed: maphash.MakeSeed(), numbers: numbers}
	for len(ends) > 0 {
		fetches := client.PollFetches(l.ctx)
		if err := fetches.Err0(); err != nil {
			return contents{}, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if end, ok := ends[r.Partition]; ok && r.Offset >= end-1 {
				delete(ends, r.Partition)
			}
			f.add(r)
		})
		if f.err != nil {
			return contents{}, f.err
		}
	}
	return f.contents(), nil
}

// ends returns the ends of a topic's partitions that hold anything. It waits until no
// transaction is open there: markers follow the commits that they belong to, and a
// transaction that hangs is an error.
func (l *lab) ends(topic string) (map[int32]int64, error) {
	var found map[int32]int64
	var last error
	err := l.await("no transaction is open on "+topic, func() bool {
		var open int
		found, open, last = l.limits(topic)
		return last == nil && open == 0
	})
	return found, errors.Join(err, last)
}

// limits returns the high watermarks of the partitions that hold anything, and on how
// many of all there are open transactions.
func (l *lab) limits(topic string) (ends map[int32]int64, open int, err error) {
	starts, err1 := l.admin.ListStartOffsets(l.ctx, topic)
	stable, err2 := l.admin.ListCommittedOffsets(l.ctx, topic)
	high, err3 := l.admin.ListEndOffsets(l.ctx, topic)
	if err := errors.Join(err1, err2, err3, starts.Error(), stable.Error(), high.Error()); err != nil {
		return nil, 0, err
	}
	ends = map[int32]int64{}
	high.Each(func(o kadm.ListedOffset) {
		first, _ := starts.Lookup(topic, o.Partition)
		until, _ := stable.Lookup(topic, o.Partition)
		if o.Offset > first.Offset {
			ends[o.Partition] = o.Offset
		}
		if until.Offset < o.Offset {
			open++
		}
	})
	return ends, open, nil
}

// fold keeps the last value of each key.
type fold struct {
	last    map[uint64]int64
	seed    maphash.Seed
	numbers bool
	records int64
	err     error
}

func (f *fold) add(r *kgo.Record) {
	if r.Attrs.IsControl() {
		return
	}
	f.records++
	if !f.numbers {
		return
	}
	n, err := strconv.ParseInt(string(r.Value), 10, 64)
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s/%d@%d: key %q: %w", r.Topic, r.Partition, r.Offset, r.Key, err)
	}
	f.last[maphash.Bytes(f.seed, r.Key)] = n
}

func (f *fold) contents() contents {
	c := contents{records: f.records, keys: int64(len(f.last))}
	for _, n := range f.last {
		c.sum += n
	}
	return c
}

// counted checks that a topic with counts holds each record of the input once.
func (l *lab) counted(topic string, in input) (int64, error) {
	c, err := l.read(topic, true)
	if err != nil {
		return 0, err
	}
	if c.sum != in.Records {
		return 0, fmt.Errorf("wrong result: the counts in %s add up to %d, there are %d records", topic, c.sum, in.Records)
	}
	return c.records, nil
}

// copied checks that a topic holds as many records as the input.
func (l *lab) copied(topic string, in input) (int64, error) {
	c, err := l.read(topic, false)
	if err == nil && c.records != in.Records {
		err = fmt.Errorf("wrong result: %s holds %d records, there are %d", topic, c.records, in.Records)
	}
	return c.records, err
}
