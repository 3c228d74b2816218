package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// slab lends the client its records, so that producing does not allocate per
// record. A chunk of which all records are acknowledged is lent again: what is
// touched stays in the processor's cache, and memory follows what is in flight, not
// what a transaction holds. A record whose promise has reported an error is never
// lent again before reset, for the client may still be writing it.
type slab struct {
	acks    *acks
	chunk   *chunk   // records of it are lent next, nil at first
	lent    []*chunk // from here on oldest first, all records lent
	headers []kgo.RecordHeader
}

// slabChunk is how many records a chunk has.
const slabChunk = 512

type chunk struct {
	records [slabChunk]kgo.Record
	used    int          // records lent
	acked   atomic.Int32 // of them
	// plain and tracked are the promises of its records.
	plain   func(*kgo.Record, error)
	tracked func(*kgo.Record, error)
}

func newSlab(a *acks) slab { return slab{acks: a} }

func newChunk(a *acks) *chunk {
	c := &chunk{}
	c.plain = func(r *kgo.Record, err error) {
		if a.done(r, err); err == nil {
			c.acked.Add(1)
		}
	}
	c.tracked = func(r *kgo.Record, err error) {
		if a.doneTracked(r, err); err == nil {
			c.acked.Add(1)
		}
	}
	return c
}

// fill lends the next record and says which promise goes with it.
func (s *slab) fill(o *Out) (*kgo.Record, func(*kgo.Record, error)) {
	if s.chunk == nil || s.chunk.used == slabChunk {
		s.turn()
	}
	c := s.chunk
	r := &c.records[c.used]
	c.used++
	*r = kgo.Record{
		Key:       o.Key,
		Value:     o.Value,
		Timestamp: time.UnixMilli(o.Timestamp),
		Topic:     o.Topic,
		Partition: o.Partition,
	}
	if len(o.Headers) > 0 {
		r.Headers = s.lend(o.Headers)
	}
	if o.Track {
		return r, c.tracked
	}
	return r, c.plain
}

// turn takes a chunk to lend from: the oldest one lent if it is back, else a new one.
func (s *slab) turn() {
	if s.chunk != nil {
		s.lent = append(s.lent, s.chunk)
	}
	if len(s.lent) == 0 || s.lent[0].acked.Load() < slabChunk {
		s.chunk = newChunk(s.acks)
		return
	}
	s.chunk = s.lent[0]
	n := copy(s.lent, s.lent[1:])
	s.lent[n] = nil
	s.lent = s.lent[:n]
	s.chunk.used = 0
	s.chunk.acked.Store(0)
}

func (s *slab) lend(hs []record.Header) []kgo.RecordHeader {
	from := len(s.headers)
	for _, h := range hs {
		s.headers = append(s.headers, kgo.RecordHeader(h))
	}
	return s.headers[from:len(s.headers):len(s.headers)]
}

// slabKeep bounds the chunks that an idle producer holds on to.
const slabKeep = 64

// reset takes all records back. The client must not hold one any more.
func (s *slab) reset() {
	if s.chunk != nil {
		s.lent = append(s.lent, s.chunk)
		s.chunk = nil
	}
	if len(s.lent) > slabKeep {
		clear(s.lent[slabKeep:])
		s.lent = s.lent[:slabKeep]
	}
	for _, c := range s.lent {
		if c.used > 0 {
			clear(c.records[:]) // keep nothing alive
			c.used = 0
			c.acked.Store(slabChunk)
		}
	}
	clear(s.headers)
	s.headers = s.headers[:0]
}

// acks gathers what became of a transaction's records. The client calls its
// promises from one goroutine at a time. The owner reads what they write after
// settle, which comes after a flush of the client.
type acks struct {
	bad    atomic.Int64 // promises that have reported an error
	first  error
	n      int                // acknowledged records
	id     int64              // of the producer, as the first of them was written …
	epoch  int16              // … and its epoch
	topics []record.Partition // one with an acknowledged record, of each topic
	known  map[string]bool    // topics that the client's table has shown, for its life
	ends   []record.Position
	index  map[record.Partition]int // where a partition is in ends, unless it is smaller than that
	last   int                      // index in ends of the last tracked record's partition
}

// settle returns when each of the records that were handed out has an answer. The
// client must have flushed. It flushes what it has buffered: the promise of a record
// that it would not even buffer may come later.
func (a *acks) settle(ctx context.Context, sent int) error {
	for a.n+int(a.bad.Load()) < sent {
		if !pause(ctx, 20*time.Microsecond) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// awaitKnown returns when the client's table of topics shows every topic that has
// acknowledged a record. The client hands the first records of a topic to its
// senders a moment before it stores the topic's partitions. A transaction that ended
// in between would find no partition in it: a commit would be sent as an abort, or
// not at all, and be reported as made (franz-go 1.22.2, EndTransaction).
func (a *acks) awaitKnown(ctx context.Context, cl *kgo.Client) error {
	for i := range a.topics {
		p := &a.topics[i]
		for !a.known[p.Topic] {
			if leader, _, _ := cl.PartitionLeader(p.Topic, p.Partition); leader >= 0 {
				a.known[p.Topic] = true
			} else if !pause(ctx, 100*time.Microsecond) {
				return fmt.Errorf("%s is not in the client's metadata: %w", *p, context.Cause(ctx))
			}
		}
	}
	return nil
}

// errOtherEpoch is why a transaction is refused that the client has gone on with
// under a new epoch: the brokers have aborted what it wrote under the one before.
var errOtherEpoch = errors.New("the producer's epoch changed within the transaction")

// errNoOffset is why a tracked record is refused that the brokers know already
// without saying where it is.
var errNoOffset = errors.New("acknowledged without an offset")

func (a *acks) done(r *kgo.Record, err error) {
	if err == nil {
		err = a.count(r)
	}
	if err != nil {
		a.fail(r, err)
	}
}

func (a *acks) doneTracked(r *kgo.Record, err error) {
	if err == nil && r.Offset < 0 {
		err = errNoOffset
	}
	if err == nil {
		err = a.count(r)
	}
	if err != nil {
		a.fail(r, err)
		return
	}
	a.end(r).Offset = r.Offset + 1
}

// count takes an acknowledged record in, unless it is not of the same transaction
// as those before.
func (a *acks) count(r *kgo.Record) error {
	if a.n == 0 {
		a.id, a.epoch = r.ProducerID, r.ProducerEpoch
	} else if a.epoch != r.ProducerEpoch || a.id != r.ProducerID {
		return errOtherEpoch
	}
	a.n++
	for i := range a.topics {
		if a.topics[i].Topic == r.Topic {
			return nil
		}
	}
	a.topics = append(a.topics, record.Partition{Topic: r.Topic, Partition: r.Partition})
	return nil
}

// end finds the position of the record's partition; neighbours in order may share one.
func (a *acks) end(r *kgo.Record) *record.Position {
	if a.last < len(a.ends) {
		if e := &a.ends[a.last]; e.Partition == r.Partition && e.Topic == r.Topic {
			return e
		}
	}
	if a.index == nil || len(a.index) != len(a.ends) {
		a.reindex()
	}
	p := record.Partition{Topic: r.Topic, Partition: r.Partition}
	if i, ok := a.index[p]; ok {
		a.last = i
		return &a.ends[i]
	}
	a.last = len(a.ends)
	a.index[p] = a.last
	a.ends = append(a.ends, record.Position{Topic: r.Topic, Partition: r.Partition, LeaderEpoch: -1})
	return &a.ends[a.last]
}

func (a *acks) reindex() {
	if a.index == nil {
		a.index = make(map[record.Partition]int)
	}
	clear(a.index)
	for i := range a.ends {
		a.index[a.ends[i].Of()] = i
	}
}

// fail keeps the first error. Where a batch was refused for its size, the largest
// of its records is the one to name. Errors that only follow from the first one
// do not count.
func (a *acks) fail(r *kgo.Record, err error) {
	size := recordSize(r)
	var prior *ProduceError
	larger := errors.As(a.first, &prior) && size > prior.Size && errors.Is(err, kerr.MessageTooLarge) &&
		errors.Is(prior.Err, kerr.MessageTooLarge) && prior.Topic == r.Topic && prior.Partition == r.Partition
	if a.first == nil || larger {
		a.first = &ProduceError{Topic: r.Topic, Partition: r.Partition, Size: size, Err: err}
	}
	a.bad.Add(1)
}

func recordSize(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// failed reports whether a record has failed already.
func (a *acks) failed() bool { return a.bad.Load() > 0 }

func (a *acks) err() error {
	if !a.failed() {
		return nil
	}
	return a.first
}

func (a *acks) positions(cluster string) []record.Position {
	for i := range a.ends {
		a.ends[i].Cluster = cluster
	}
	slices.SortFunc(a.ends, func(x, y record.Position) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	clear(a.index) // of another order
	return a.ends
}

func (a *acks) reset() {
	a.bad.Store(0)
	a.first, a.n, a.last = nil, 0, 0
	a.topics, a.ends = a.topics[:0], a.ends[:0]
	clear(a.index)
}
