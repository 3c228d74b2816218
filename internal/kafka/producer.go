package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/seed-73111be4/kappa/record"
)

// ProducerConfig says how a transactional producer writes.
type ProducerConfig struct {
	// TransactionalID names the producer across restarts. At most one producer of
	// a name is alive: Init fences the others.
	TransactionalID string
	// Timeout is how long the brokers let a transaction stand open. Default 10 s.
	Timeout time.Duration
	// MaxBatchBytes bounds one batch, and so one record. Default 1 MB.
	MaxBatchBytes int32
	// Compression is "none", "snappy", "lz4" or "zstd". Default "none".
	Compression string
	// Linger delays a batch in the hope of more records. Default 0.
	Linger time.Duration
	// MaxBufferedBytes bounds the keys and values that Produce buffers before it
	// blocks, and the number of records to one for each 128 bytes of it. Default 16 MiB.
	MaxBufferedBytes int
}

// Out is a record to be produced, on the partition it names.
type Out struct {
	Topic      string
	Partition  int32
	Key, Value []byte // nil is null
	Headers    []record.Header
	Timestamp  int64 // milliseconds since the Unix epoch
	Track      bool  // report the last acknowledged offset of its partition
}

// Fence proves to the group's coordinator that a member may commit offsets.
type Fence struct {
	Group      string
	Member     string
	Generation int32
	Instance   string // of a static member, "" of a dynamic one
}

// Producer writes transactions. It has one owner, which calls Init first and
// then, for each transaction, Produce, Flush, CommitOffsets and End in this
// order. Only Close may be called from elsewhere, to break a call that blocks.
//
// No call outlives the brokers for long: Produce, Flush and CommitOffsets end with
// the transaction's timeout, End takes as long again at most, Init half a minute.
type Producer struct {
	c      *Cluster
	config ProducerConfig
	opts   []kgo.Opt

	mu     sync.Mutex                 // held while the client is exchanged
	cl     atomic.Pointer[kgo.Client] // nil when closed
	life   context.Context            // ends with the client
	cancel context.CancelFunc

	txn     context.Context // of the open transaction's records; ends with its timeout
	endTxn  context.CancelFunc
	expiry  time.Time // when the brokers end the open transaction
	ready   bool      // Init has taken the id over
	open    bool      // a transaction is
	offsets bool      // the broker may hold offsets of the open transaction
	broken  error     // why no transaction can be begun
	doubt   error     // why a commit may have been made, or not
	sent    int       // records handed out in the open transaction …
	flushed int       // … and how many of them the last good Flush saw
	slab    slab
	acks    *acks
	ids     map[string]record.TopicID
}

// NewProducer returns a producer that has not talked to a broker yet.
func (c *Cluster) NewProducer(pc ProducerConfig) (*Producer, error) {
	if pc.TransactionalID == "" {
		return nil, errors.New("producer: a transactional id is needed")
	}
	if pc.Timeout <= 0 {
		pc.Timeout = 10 * time.Second
	}
	if pc.MaxBatchBytes <= 0 {
		pc.MaxBatchBytes = 1_000_012
	}
	if pc.MaxBufferedBytes <= 0 {
		pc.MaxBufferedBytes = 16 << 20
	}
	codec, err := compression(pc.Compression)
	if err != nil {
		return nil, fmt.Errorf("producer %s: %w", pc.TransactionalID, err)
	}
	p := &Producer{c: c, config: pc, ids: make(map[string]record.TopicID)}
	p.opts = []kgo.Opt{
		kgo.TransactionalID(pc.TransactionalID),
		kgo.TransactionTimeout(pc.Timeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(pc.MaxBatchBytes),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(pc.Linger),
		kgo.RetryBackoffFn(produceBackoff),
		kgo.ConcurrentTransactionsBackoff(busyBackoff),
		kgo.MaxBufferedRecords(max(1, pc.MaxBufferedBytes/128)),
		kgo.MaxBufferedBytes(max(pc.MaxBufferedBytes, int(pc.MaxBatchBytes))),
	}
	if c.txnVersion < 2 {
		p.opts = append(p.opts, kgo.MaxVersions(olderTransactions()))
	}
	if err := p.Rebuild(); err != nil {
		return nil, fmt.Errorf("producer %s: %w", pc.TransactionalID, err)
	}
	return p, nil
}

// busyBackoff is how long to leave a coordinator alone that has not ended the last
// transaction yet, which takes it some milliseconds.
const busyBackoff = 5 * time.Millisecond

// produceBackoff is the wait before the n-th attempt to write. Its first steps are
// short: a broker that has not seen the end of the last transaction yet refuses the
// first batch of the next one, and all that is in the transaction waits for it (the
// client's default of 250 ms is more than twice the time between commits). While
// brokers are away it is as long as the client's.
func produceBackoff(n int) time.Duration {
	d := min(10*time.Millisecond<<min(max(0, n-1), 8), 2*time.Second)
	return d - d/5 + rand.N(d/5*2) // not all in step
}

// olderTransactions caps TxnOffsetCommit at the version that came before KIP-890:
// later ones need transaction.version 2.
func olderTransactions() *kversion.Versions {
	v := kversion.Tip()
	v.SetMaxKeyVersion(28, 4)
	return v
}

func compression(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "", "none":
		return kgo.NoCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.NoCompression(), fmt.Errorf("unknown compression %q: use none, snappy, lz4 or zstd", name)
}

// Rebuild drops the client with all that it has buffered, leaves a transaction
// that may be open to the brokers, and makes a new client with the same id. Init
// must follow. It also opens a producer that was closed.
func (p *Producer) Rebuild() error {
	p.Close()
	return p.rebuildOver(nil)
}

// rebuildOver puts a new client in the place of old, unless Close came first.
func (p *Producer) rebuildOver(old *kgo.Client) error {
	cl, err := p.c.client(p.opts...)
	if err != nil {
		return err
	}
	p.mu.Lock()
	if p.cl.Load() != old {
		p.mu.Unlock()
		cl.Close()
		return kgo.ErrClientClosed
	}
	if p.cancel != nil {
		p.cancel()
	}
	p.life, p.cancel = context.WithCancel(context.Background())
	p.acks = &acks{known: make(map[string]bool)}
	p.slab = newSlab(p.acks)
	p.ready, p.open, p.offsets, p.broken, p.doubt = false, false, false, nil, nil
	p.sent, p.flushed = 0, 0
	p.cl.Store(cl)
	p.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return nil
}

// Close ends the client. It never ends a transaction: the brokers abort it when
// its timeout is over, or at the next Init of the id.
func (p *Producer) Close() {
	p.mu.Lock()
	cl := p.cl.Swap(nil)
	if cl != nil {
		p.cancel()
	}
	p.mu.Unlock()
	if cl != nil {
		cl.Close()
	}
}

// initPatience is how long Init keeps trying to reach the coordinator.
const initPatience = 30 * time.Second

// Init takes the transactional id over: a transaction that a predecessor left
// open is aborted and its end is waited for, and the predecessor is fenced. It
// tries for half a minute, or as long as ctx lives, before it says Retry.
func (p *Producer) Init(ctx context.Context) Result {
	deadline := time.Now().Add(initPatience)
	if p.ready { // the client would answer without asking the brokers
		if err := p.rebuildOver(p.cl.Load()); err != nil {
			return judge(initStep, err)
		}
	}
	for n := 1; ; n++ {
		cl := p.cl.Load()
		if cl == nil {
			return judge(initStep, kgo.ErrClientClosed)
		}
		r, again := p.tryInit(ctx, deadline, cl, n)
		if !again {
			p.ready = r.Outcome == OK
			return r
		}
		// The client keeps the error for good, so a new one makes the next attempt.
		if err := p.rebuildOver(cl); err != nil {
			return judge(initStep, err)
		}
	}
}

// tryInit makes the n-th attempt and, where another is due, the pause before it.
func (p *Producer) tryInit(ctx context.Context, deadline time.Time, cl *kgo.Client, n int) (r Result, again bool) {
	ctx, cancel := p.within(ctx, deadline)
	defer cancel()
	_, _, err := cl.ProducerID(ctx)
	r = judge(initStep, err)
	return r, r.Outcome == Retry && pause(ctx, backoff(n))
}

// Produce adds a record to the transaction and begins one where none is open. It
// returns at once unless the buffer is full; Flush tells what became of it. o may
// be reused, the slices in it not before Flush has returned.
func (p *Producer) Produce(o *Out) {
	if p.broken != nil || p.acks.failed() || !p.begin() {
		return
	}
	cl := p.cl.Load()
	if cl == nil {
		p.broken = kgo.ErrClientClosed
		return
	}
	r, promise := p.slab.fill(o)
	p.sent++
	cl.Produce(p.txn, r, promise)
}

func (p *Producer) begin() bool {
	if p.open {
		return true
	}
	cl := p.cl.Load()
	if cl == nil {
		p.broken = kgo.ErrClientClosed
		return false
	}
	if p.broken = cl.BeginTransaction(); p.broken != nil {
		return false
	}
	// What cannot be written before the brokers end the transaction is lost. (The
	// client's own limit counts from a record's timestamp, which is event time.)
	p.expiry = time.Now().Add(p.config.Timeout)
	p.txn, p.endTxn = context.WithDeadline(p.life, p.expiry)
	p.open = true
	return true
}

// within is the context of a call: it ends with ctx, with the client, and at the
// deadline, for the client alone would wait for brokers that are away.
func (p *Producer) within(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	stop := context.AfterFunc(p.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// Flush waits until every record is acknowledged or one has failed. The positions
// are the ends, as of this transaction, of the partitions with tracked records,
// sorted; they are valid until the next Produce.
func (p *Producer) Flush(ctx context.Context) ([]record.Position, Result) {
	if p.broken != nil {
		return nil, judge(beginStep, p.broken)
	}
	if !p.open {
		return nil, Result{}
	}
	cl := p.cl.Load()
	if cl == nil {
		return nil, judge(produceStep, kgo.ErrClientClosed)
	}
	ctx, cancel := p.within(ctx, p.expiry)
	defer cancel()
	if p.acks.failed() {
		cl.AbortBufferedRecords(ctx)
	}
	if err := p.settle(ctx, cl.Flush); err != nil {
		return nil, judge(produceStep, fmt.Errorf("flush: %w", err))
	}
	p.slab.reset()
	if err := p.acks.err(); err != nil {
		return nil, judge(produceStep, err)
	}
	p.flushed = p.sent
	return p.acks.positions(p.c.id), Result{}
}

// settle flushes and waits for every answer.
func (p *Producer) settle(ctx context.Context, flush func(context.Context) error) error {
	if err := flush(ctx); err != nil {
		return err
	}
	return p.acks.settle(ctx, p.sent)
}

// End ends the transaction. OK after End(true) means committed, after End(false)
// aborted. Without a transaction it does nothing, and says OK. Where a commit's
// outcome is not known it stays so until Rebuild.
func (p *Producer) End(ctx context.Context, commit bool) Result {
	if !p.open {
		broken := p.broken
		p.broken = nil
		if commit && broken != nil {
			return Result{Aborted, fmt.Errorf("%s: %w", commitStep, broken)}
		}
		return Result{}
	}
	if p.doubt != nil {
		return Result{Unknown, p.doubt}
	}
	cl := p.cl.Load()
	if cl == nil {
		return judge(commitStep, kgo.ErrClientClosed)
	}
	ctx, cancel := p.within(ctx, time.Now().Add(p.config.Timeout))
	defer cancel()
	if commit {
		return p.commit(ctx, cl)
	}
	return p.abort(ctx, cl)
}

var (
	// errNothingAcked is why a transaction without an acknowledged record is refused:
	// the client would report a commit that it has not made.
	errNothingAcked = errors.New("no record was acknowledged in this transaction")
	// errNotFlushed is why a transaction is refused whose records may not all be
	// written: the client would commit those that are.
	errNotFlushed = errors.New("not every record of this transaction was flushed")
)

// whole returns why what was acknowledged is not all of the transaction, if so.
func (p *Producer) whole() error {
	switch {
	case p.broken != nil:
		return p.broken
	case p.acks.failed():
		return p.acks.err()
	case p.flushed != p.sent:
		return errNotFlushed
	case p.acks.n == 0:
		return errNothingAcked
	}
	return nil
}

func (p *Producer) commit(ctx context.Context, cl *kgo.Client) Result {
	if err := p.whole(); err != nil {
		return Result{Aborted, fmt.Errorf("%s: %w", commitStep, err)}
	}
	if err := p.acks.awaitKnown(ctx, cl); err != nil {
		return judge(commitStep, err)
	}
	if id, epoch, err := cl.ProducerID(ctx); err == nil && (id != p.acks.id || epoch != p.acks.epoch) {
		return Result{Aborted, fmt.Errorf("%s: %w", commitStep, errOtherEpoch)}
	}
	r := judge(commitStep, cl.EndTransaction(ctx, kgo.TryCommit))
	switch r.Outcome {
	case OK:
		p.reset()
	case Aborted:
	default: // the client takes a next abort for done
		p.doubt = r.Err
	}
	return r
}

func (p *Producer) abort(ctx context.Context, cl *kgo.Client) Result {
	if err := p.settle(ctx, cl.AbortBufferedRecords); err != nil {
		return judge(abortStep, err)
	}
	if p.offsets && p.acks.n == 0 {
		return judge(abortStep, kerr.InvalidTxnState) // the client would not send it
	}
	if err := p.acks.awaitKnown(ctx, cl); err != nil {
		return judge(abortStep, err)
	}
	err := cl.EndTransaction(ctx, kgo.TryAbort)
	if err == nil {
		p.reset()
	}
	return judge(abortStep, err)
}

// reset makes ready for the next transaction.
func (p *Producer) reset() {
	p.endTxn()
	p.open, p.offsets, p.broken = false, false, nil
	p.sent, p.flushed = 0, 0
	p.slab.reset()
	p.acks.reset()
}
