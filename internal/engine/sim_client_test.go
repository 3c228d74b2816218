package engine

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// simClient is one life of a worker's transactional producer: what kafka.Producer
// is over the real client, outcomes included.
type simClient struct {
	r       *simRunner
	id      *simTxnID
	epoch   int
	open    bool
	expiry  time.Time // when the client gives the open transaction up
	unsure  bool      // whether records were written
	doubt   bool      // whether it was committed
	offsets bool
	acked   int
	ends    map[record.Partition]int64
	failed  kafka.Result // of a produce request
	parts   []*outPart
	sent    []*simRequest // not answered
}

// outPart is what waits to be written to one partition.
type outPart struct {
	c       *simClient
	log     *simLog
	outs    []kafka.Out
	sending bool
}

func newClient(r *simRunner) *simClient {
	return &simClient{r: r, id: r.w.broker.txnID(r.txnID), ends: map[record.Partition]int64{}}
}

// close leaves everything as it is: what was sent may still arrive.
func (c *simClient) close() {
	for _, q := range c.sent {
		q.leave()
	}
	c.sent, c.parts = nil, nil
}

func (c *simClient) request(name string, late bool, exec func() bool, answer func(fate)) {
	var q *simRequest
	q = c.r.w.broker.send(c.r.name+" "+name, late, exec, func(f fate) {
		c.sent = slices.DeleteFunc(c.sent, func(o *simRequest) bool { return o == q })
		answer(f)
	})
	c.sent = append(c.sent, q)
}

func (c *simClient) produce(o *kafka.Out) {
	if c.failed.Outcome != kafka.OK {
		return
	}
	if w := c.r.w; !c.open {
		c.open, c.expiry = true, w.now.Add(w.faults.txnTimeout)
	} else if w.now.After(c.expiry) {
		c.failed = kafka.Result{Outcome: kafka.Aborted, Err: errNoAnswer}
		return
	}
	l := c.r.w.broker.log(o.Topic, o.Partition)
	if c.r.w.mutant.positionsOutside && isPositions(o) {
		l.append(simEntry{rec: cloneRecord(o.Key, o.Value, o.Headers, o.Timestamp)})
		c.ends[l.part] = l.end()
		return
	}
	for _, p := range c.parts {
		if p.log == l {
			p.outs = append(p.outs, *o)
			return
		}
	}
	c.parts = append(c.parts, &outPart{c: c, log: l, outs: []kafka.Out{*o}})
}

// act sends what waits for the partition.
func (p *outPart) act(w *world) {
	c, outs := p.c, make([]kafka.Out, len(p.outs))
	for i, o := range p.outs { // the bytes are on the wire from here on
		o.Key, o.Value = bytes.Clone(o.Key), bytes.Clone(o.Value)
		outs[i] = o
	}
	p.outs, p.sending = nil, true
	id, epoch := c.id, c.epoch
	var base int64
	var err error
	written := false
	w.say("%s sends %d to %s", c.r, len(outs), p.log.part)
	c.request("produce", w.faults.transactions2, func() bool {
		if written {
			base, err = id.again(w, epoch, p.log, base)
			return true
		}
		base, err = id.produce(w, epoch, p.log, outs)
		written = err == nil
		return !errors.Is(err, errBusy)
	}, func(f fate) {
		p.sending = false
		switch {
		case f == fateArrives && err == nil:
			p.acknowledge(base, outs)
		case f == fateArrives:
			c.failed = judged(f, err, kafka.Aborted)
		default:
			c.failed, c.unsure = kafka.Result{Outcome: kafka.Aborted, Err: errNoAnswer}, f != fateRefused
		}
	})
}

func (p *outPart) acknowledge(base int64, outs []kafka.Out) {
	p.c.acked += len(outs)
	for i := range outs {
		if outs[i].Track {
			p.c.ends[p.log.part] = base + int64(i) + 1
		}
	}
}

// offer sends now and then what waits; all of it where flush wants it.
func (c *simClient) offer(w *world, flushing bool) {
	weight := 1
	if flushing {
		weight = 6
	}
	for _, p := range c.parts {
		if len(p.outs) > 0 && !p.sending && c.failed.Outcome == kafka.OK {
			w.offer(p, weight)
		}
	}
}

// flushed reports whether nothing is under way any more.
func (c *simClient) flushed() bool {
	for _, p := range c.parts {
		if p.sending || (len(p.outs) > 0 && c.failed.Outcome == kafka.OK) {
			return false
		}
	}
	return true
}

// sending reports whether a produce request is not answered; the end of a
// transaction waits for it.
func (c *simClient) sending() bool {
	return slices.ContainsFunc(c.parts, func(p *outPart) bool { return p.sending })
}

// whole reports whether all of the transaction is acknowledged.
func (c *simClient) whole() bool {
	return c.open && c.acked > 0 && c.failed.Outcome == kafka.OK && c.flushed()
}

func (c *simClient) acks() []record.Position {
	var out []record.Position
	for p, end := range c.ends {
		out = append(out, record.Position{Cluster: simCluster, Topic: p.Topic, Partition: p.Partition, Offset: end, LeaderEpoch: -1})
	}
	slices.SortFunc(out, func(a, b record.Position) int {
		if a.Topic != b.Topic {
			return strings.Compare(a.Topic, b.Topic)
		}
		return int(a.Partition - b.Partition)
	})
	return out
}

// reset makes ready for the next transaction.
func (c *simClient) reset() {
	c.open, c.unsure, c.doubt, c.offsets, c.acked, c.failed = false, false, false, false, 0, kafka.Result{}
	c.parts = nil
	clear(c.ends)
}

// judged turns the broker's error into the outcome of a step before the end.
func judged(f fate, err error, unknown kafka.Outcome) kafka.Result {
	switch {
	case f == fateRefused:
		return kafka.Result{Outcome: kafka.Aborted, Err: kerr.TransactionAbortable}
	case f != fateArrives:
		return kafka.Result{Outcome: unknown, Err: errNoAnswer}
	case err == nil:
		return kafka.Result{}
	case errors.Is(err, kerr.InvalidProducerEpoch), errors.Is(err, kerr.FencedInstanceID):
		return kafka.Result{Outcome: kafka.Fenced, Err: err}
	case errors.Is(err, kerr.InvalidTxnState), errors.Is(err, kerr.OutOfOrderSequenceNumber):
		return kafka.Result{Outcome: kafka.Unknown, Err: err}
	}
	return kafka.Result{Outcome: kafka.Stale, Err: err}
}

func isPositions(o *kafka.Out) bool { return o.Topic == simPlan.StateTopic && isPositionsKey(o.Key) }
