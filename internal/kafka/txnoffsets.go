package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

// CommitOffsets makes the group's offsets part of the transaction. The
// coordinator refuses a fence that is not of the group's current generation
// (Stale): this is what keeps a zombie from committing. It comes after Flush, for
// a transaction without an acknowledged record cannot be ended.
func (p *Producer) CommitOffsets(ctx context.Context, f Fence, pos []record.Position) Result {
	cl := p.cl.Load()
	if cl == nil {
		return judge(offsetsStep, kgo.ErrClientClosed)
	}
	if !p.open {
		return Result{Aborted, fmt.Errorf("%s: %w", offsetsStep, errNothingAcked)}
	}
	if err := p.whole(); err != nil {
		return Result{Aborted, fmt.Errorf("%s: %w", offsetsStep, err)}
	}
	if len(pos) == 0 {
		return Result{}
	}
	ctx, cancel := p.within(ctx, p.expiry)
	defer cancel()
	if err := p.retried(ctx, func() error { return p.learnIDs(ctx, pos) }); err != nil {
		return judge(offsetsStep, err)
	}
	p.offsets = true
	if p.c.txnVersion < 2 {
		if err := p.retried(ctx, func() error { return p.addOffsets(ctx, cl, f.Group) }); err != nil {
			return judge(offsetsStep, err)
		}
	}
	err := p.retried(ctx, func() error { return p.txnOffsetCommit(ctx, cl, f, pos) })
	if err != nil {
		clear(p.ids) // one of them may be out of date
	}
	return judge(offsetsStep, err)
}

// learnIDs makes sure that each topic's id is known: newer versions of the
// request name topics by id alone.
func (p *Producer) learnIDs(ctx context.Context, pos []record.Position) error {
	var unknown []string
	for i := range pos {
		q := &pos[i]
		if q.TopicID.Known() {
			continue
		}
		if _, ok := p.ids[q.Topic]; !ok && !slices.Contains(unknown, q.Topic) {
			unknown = append(unknown, q.Topic)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	m, err := p.c.metadata(ctx, false, unknown...)
	if err != nil {
		return err
	}
	for _, t := range m.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return topicError(topicName(t), err)
		}
		p.ids[topicName(t)] = t.TopicID
	}
	return nil
}

func (p *Producer) idOf(q *record.Position) record.TopicID {
	if q.TopicID.Known() {
		return q.TopicID
	}
	return p.ids[q.Topic]
}

// addOffsets announces the group to the transaction, as the older protocol wants.
func (p *Producer) addOffsets(ctx context.Context, cl *kgo.Client, group string) error {
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID = p.config.TransactionalID
	req.ProducerID, req.ProducerEpoch = id, epoch
	req.Group = group
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// txnOffsetCommit sends the offsets. The producer's id is asked for each time:
// under KIP-890 its epoch changes with every transaction.
func (p *Producer) txnOffsetCommit(ctx context.Context, cl *kgo.Client, f Fence, pos []record.Position) error {
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID = p.config.TransactionalID
	req.ProducerID, req.ProducerEpoch = id, epoch
	req.Group, req.MemberID, req.Generation = f.Group, f.Member, f.Generation
	if f.Instance != "" {
		req.InstanceID = &f.Instance
	}
	for i := range pos {
		addPosition(req, &pos[i], p.idOf(&pos[i]))
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	return offsetErrors(req, resp)
}

func addPosition(req *kmsg.TxnOffsetCommitRequest, q *record.Position, id record.TopicID) {
	at := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	at.Partition, at.Offset, at.LeaderEpoch = q.Partition, q.Offset, q.LeaderEpoch
	for i := range req.Topics {
		if t := &req.Topics[i]; t.Topic == q.Topic {
			t.Partitions = append(t.Partitions, at)
			return
		}
	}
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.TopicID = q.Topic, id
	t.Partitions = append(t.Partitions, at)
	req.Topics = append(req.Topics, t)
}

// offsetErrors returns the first partition's error, and one where a partition was
// not answered for: a part of the offsets is as bad as none.
func offsetErrors(req *kmsg.TxnOffsetCommitRequest, resp *kmsg.TxnOffsetCommitResponse) error {
	answered, asked := 0, 0
	for _, t := range req.Topics {
		asked += len(t.Partitions)
	}
	for _, t := range resp.Topics {
		for _, q := range t.Partitions {
			answered++
			if err := kerr.ErrorForCode(q.ErrorCode); err != nil {
				return fmt.Errorf("%s: %w", record.Partition{Topic: answeredTopic(req, t), Partition: q.Partition}, err)
			}
		}
	}
	if answered != asked {
		return fmt.Errorf("the coordinator answered for %d of %d partitions: %w", answered, asked, kerr.UnknownServerError)
	}
	return nil
}

func answeredTopic(req *kmsg.TxnOffsetCommitRequest, t kmsg.TxnOffsetCommitResponseTopic) string {
	if t.Topic != "" {
		return t.Topic
	}
	for i := range req.Topics {
		if req.Topics[i].TopicID == t.TopicID {
			return req.Topics[i].Topic
		}
	}
	return record.TopicID(t.TopicID).String()
}

// retried calls fn until it succeeds, fails for good, or half of the
// transaction's timeout is over.
func (p *Producer) retried(ctx context.Context, fn func() error) error {
	ctx, cancel := context.WithTimeout(ctx, p.config.Timeout/2)
	defer cancel()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := fn()
		if again := passing(err) || err != nil && Transient(err); !again || !pause(ctx, wait) {
			return err
		}
	}
}

// passing says that a coordinator is busy or on the move.
func passing(err error) bool {
	for _, e := range []error{
		kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator,
		kerr.UnknownTopicOrPartition, kerr.RequestTimedOut,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
