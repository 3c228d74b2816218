package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

const (
	readBytes    = 4 << 20         // of one answer
	readGrace    = 3 * time.Second // for a topic that brokers do not know (yet)
	maxReadPause = time.Second
	maxBadReads  = 5 // answers in a row that cannot be read
)

// Open returns a reader of the partition's committed records that starts at
// offset from. It does no I/O yet.
//
// The reader asks the leader for one answer after the other while there is more
// in the log, and waits at its end together with the cluster's other readers. It
// survives changes of leaders and brokers that are away for a while; what it
// returns as errors wraps record.ErrOffsetOutOfRange, record.ErrUnknownTopic,
// record.ErrRecreated, or is a lack of permission or a log that cannot be decoded.
func (c *Cluster) Open(p record.Partition, from int64) record.LogReader {
	return &reader{answers: newAnswers(c, p, from), whole: newAssembler(from)}
}

// reader puts the answers' transactions together again. It has one owner; only
// Close may be called from elsewhere.
type reader struct {
	*answers
	whole *assembler
}

// Next returns what follows in the log.
func (r *reader) Next(ctx context.Context) (record.Batch, error) {
	for {
		if b, ok := r.whole.take(); ok {
			return b, nil
		}
		if err := r.next(ctx, r.add); err != nil {
			return record.Batch{}, err
		}
	}
}

// add decodes an answer.
func (r *reader) add(rp *kmsg.FetchResponseTopicPartition) error {
	if len(rp.RecordBatches) == 0 {
		r.whole.add(nil, r.pos, rp.LastStableOffset, rp.HighWatermark)
		return nil
	}
	opts := kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true,
		Offset:             r.pos,
		IsolationLevel:     kgo.ReadCommitted(),
		Topic:              r.p.Topic,
		Partition:          r.p.Partition,
	}
	fp, next := kgo.ProcessFetchPartition(opts, rp, kgo.DefaultDecompressor(), nil)
	r.whole.add(fp.Records, next, rp.LastStableOffset, rp.HighWatermark)
	r.pos = r.whole.pos
	if fp.Err != nil {
		return &unreadable{fp.Err}
	}
	return nil
}

// answers are what a partition's leaders say of it, one after the other. They have
// one owner; only Close may be called from elsewhere.
type answers struct {
	c      *Cluster
	p      record.Partition
	pos    int64 // next offset to ask for; the owner moves it on
	leader int32
	id     record.TopicID

	tail *cursor // where it waits for news, nil while it catches up
	bad  int     // answers in a row that made no progress
	lost time.Time
	wait time.Duration // before the next attempt

	ctx    context.Context
	cancel context.CancelFunc
	once   sync.Once
}

func newAnswers(c *Cluster, p record.Partition, from int64) *answers {
	ctx, cancel := context.WithCancel(context.Background())
	return &answers{c: c, p: p, pos: from, leader: -1, ctx: ctx, cancel: cancel}
}

// Close releases the reader; a Next under way returns an error.
func (r *answers) Close() { r.once.Do(r.cancel) }

// next makes one step: it hands an answer to take, or waits, or mends what has gone
// wrong. An empty answer stands for the log's end.
func (r *answers) next(ctx context.Context, take func(*kmsg.FetchResponseTopicPartition) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.ctx, func() { cancel(errReaderClosed) })()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	rp, err := r.more(ctx)
	if err == nil && rp != nil {
		err = r.hand(rp, take)
	}
	if err != nil {
		return r.mend(ctx, err)
	}
	return nil
}

// hand gives an answer to its taker and checks that it was of use.
func (r *answers) hand(rp *kmsg.FetchResponseTopicPartition, take func(*kmsg.FetchResponseTopicPartition) error) error {
	if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
		return err
	}
	before, caughtUp := r.pos, r.tail != nil
	if err := take(rp); err != nil {
		return err
	}
	if r.pos == before && len(rp.RecordBatches) > 0 && !caughtUp {
		return &unreadable{errors.New("the answer does not reach beyond the position")}
	}
	r.healthy()
	return nil
}

var errReaderClosed = errors.New("log reader closed")

// more returns an answer with something in it, or nil when there was none.
func (r *answers) more(ctx context.Context) (*kmsg.FetchResponseTopicPartition, error) {
	if r.tail != nil {
		select {
		case rp, ok := <-r.tail.news:
			if !ok {
				r.tail = nil // not served any more: catch up on our own
			}
			return rp, nil
		case <-ctx.Done():
			return nil, nil
		}
	}
	if r.leader < 0 {
		if err := r.route(ctx); err != nil {
			return nil, err
		}
	}
	rp, err := r.c.fetchOne(ctx, r.leader, r.p, r.id, r.pos)
	if err == nil && rp.ErrorCode == 0 && len(rp.RecordBatches) == 0 {
		r.tail = r.c.tails.join(r.ctx, r.leader, r.p, r.id, r.pos)
	}
	return rp, err
}

// route finds the partition's leader, and the topic's id at the first time.
func (r *answers) route(ctx context.Context) error {
	leader, id, err := r.c.leader(ctx, r.p)
	if err != nil {
		return err
	}
	if r.id.Known() && id.Known() && id != r.id {
		return r.failed(record.ErrRecreated)
	}
	r.leader, r.id = leader, id
	return nil
}

func (r *answers) healthy() { r.bad, r.wait, r.lost = 0, 0, time.Time{} }

// unreadable is an answer that could not be decoded.
type unreadable struct{ err error }

func (u *unreadable) Error() string { return u.err.Error() }
func (u *unreadable) Unwrap() error { return u.err }

// mend returns nil when the error may go away, after a pause, or what to tell the
// owner.
func (r *answers) mend(ctx context.Context, err error) error {
	var u *unreadable
	switch {
	case ctx.Err() != nil:
		return nil // the next step sees it
	case errors.Is(err, record.ErrRecreated):
		return err
	case errors.Is(err, kerr.OffsetOutOfRange):
		return r.outOfRange(ctx)
	case missing(err), errors.Is(err, kerr.InconsistentTopicID), errors.Is(err, record.ErrUnknownTopic):
		if r.lost.IsZero() {
			r.lost = time.Now()
		}
		if time.Since(r.lost) > readGrace {
			return r.failed(record.ErrUnknownTopic)
		}
	case errors.As(err, &u):
		if r.bad++; r.bad >= maxBadReads {
			return r.failed(err)
		}
	case !mendable(err):
		return r.failed(err)
	}
	r.leader = -1
	r.wait = min(max(2*r.wait, 20*time.Millisecond), maxReadPause)
	r.c.log.Debug("kafka: read again", "partition", r.p.String(), "offset", r.pos, "pause", r.wait, "cause", err)
	pause(ctx, r.wait)
	return nil
}

// mendable says that an error may be gone at the next attempt: another leader, a
// broker that comes back. Every error that is not a broker's answer is.
func mendable(err error) bool {
	var k *kerr.Error
	if !errors.As(err, &k) {
		return true
	}
	return k.Retriable || errors.Is(k, kerr.FencedLeaderEpoch) || errors.Is(k, kerr.UnknownServerError)
}

// outOfRange looks whether the topic is another one by now.
func (r *answers) outOfRange(ctx context.Context) error {
	if err := r.route(ctx); errors.Is(err, record.ErrRecreated) {
		return err
	}
	return r.failed(record.ErrOffsetOutOfRange)
}

func (r *answers) failed(err error) error {
	if errors.Is(err, kerr.TopicAuthorizationFailed) {
		err = fmt.Errorf("%w (grant Read on the topic)", err)
	}
	return fmt.Errorf("read %s at offset %d: %w", r.p, r.pos, err)
}

// leader asks who leads a partition. Answers are shared for a short while, so
// that a thousand readers do not ask a thousand times.
func (c *Cluster) leader(ctx context.Context, p record.Partition) (int32, record.TopicID, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &p.Topic
	req.Topics = append(req.Topics, t)
	m, err := c.cl.RequestCachedMetadata(ctx, req, 200*time.Millisecond)
	if err != nil {
		return -1, record.TopicID{}, err
	}
	for _, t := range m.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return -1, record.TopicID{}, err
		}
		for _, q := range t.Partitions {
			if q.Partition != p.Partition {
				continue
			}
			if q.Leader < 0 {
				return -1, record.TopicID{}, kerr.LeaderNotAvailable
			}
			return q.Leader, t.TopicID, nil
		}
	}
	return -1, record.TopicID{}, kerr.UnknownTopicOrPartition
}

// fetchOne asks a broker for what follows in one partition, without waiting.
func (c *Cluster) fetchOne(ctx context.Context, node int32, p record.Partition, id record.TopicID, from int64) (*kmsg.FetchResponseTopicPartition, error) {
	req := newFetch(0)
	addFetch(req, p, id, from)
	resp, err := send(ctx, c.cl, node, req)
	if err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("fetch %s: the broker answered for other partitions", p)
	}
	return &resp.Topics[0].Partitions[0], nil
}

func newFetch(wait time.Duration) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(wait.Milliseconds())
	req.MinBytes = 1
	req.MaxBytes = readBytes
	req.IsolationLevel = 1
	return req
}

func addFetch(req *kmsg.FetchRequest, p record.Partition, id record.TopicID, from int64) {
	q := kmsg.NewFetchRequestTopicPartition()
	q.Partition, q.FetchOffset, q.PartitionMaxBytes = p.Partition, from, readBytes
	q.CurrentLeaderEpoch, q.LastFetchedEpoch, q.LogStartOffset = -1, -1, -1
	for i := range req.Topics {
		if t := &req.Topics[i]; t.Topic == p.Topic {
			t.Partitions = append(t.Partitions, q)
			return
		}
	}
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = p.Topic, id
	t.Partitions = append(t.Partitions, q)
	req.Topics = append(req.Topics, t)
}

func send(ctx context.Context, cl *kgo.Client, node int32, req *kmsg.FetchRequest) (*kmsg.FetchResponse, error) {
	kresp, err := cl.Broker(int(node)).Request(ctx, req)
	if err != nil {
		return nil, err
	}
	resp, ok := kresp.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("fetch: unexpected answer %T", kresp)
	}
	return resp, kerr.ErrorForCode(resp.ErrorCode)
}
