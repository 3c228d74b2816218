package engine

import (
	"errors"
	"slices"

	"github.com/seed-73111be4/kappa/internal/kafka"
)

// begin sends an effect's request.
func (r *simRunner) begin(op *simOp) {
	c, w := r.client, r.w
	switch e := op.effect.(type) {
	case doInit:
		r.init(op)
	case doRebuild:
		c.close()
		r.client = newClient(r)
		op.answer = evRebuilt{}
		if w.chance(w.faults.refused) {
			op.answer = evRebuilt{errNoAnswer}
		}
	case doFlush:
	case doOffsets:
		r.addOffsets(op, e)
	case doEnd:
		r.end(op, e.commit)
	}
}

func (r *simRunner) init(op *simOp) {
	c := r.client
	var epoch int
	var err error
	c.request("init", false, func() bool {
		epoch, err = c.id.init(r.w)
		return err == nil
	}, func(f fate) {
		res := judged(f, err, kafka.Retry)
		if res.Outcome == kafka.Aborted {
			res.Outcome = kafka.Retry
		}
		if res.Outcome == kafka.OK {
			c.epoch = epoch
		}
		op.answer = evInit{res}
	})
}

func (r *simRunner) addOffsets(op *simOp, e doOffsets) {
	c, w := r.client, r.w
	if !c.whole() || w.now.After(c.expiry) {
		op.answer = evOffsets{kafka.Result{Outcome: kafka.Aborted, Err: errNoAnswer}}
		return
	}
	c.offsets = true
	var err error
	epoch, fence, positions := c.epoch, e.fence, e.positions
	commit := func() {
		c.request("offsets", w.faults.transactions2, func() bool {
			err = c.id.addOffsets(w, epoch, fence, positions)
			return !errors.Is(err, errBusy)
		}, func(f fate) {
			op.answer = evOffsets{judged(f, err, kafka.Aborted)}
		})
	}
	if w.faults.transactions2 {
		commit()
		return
	}
	c.request("group", false, func() bool {
		err = c.id.addGroup(w, epoch)
		return !errors.Is(err, errBusy)
	}, func(f fate) {
		if res := judged(f, err, kafka.Aborted); res.Outcome != kafka.OK {
			op.answer = evOffsets{res}
			return
		}
		commit()
	})
}

// end ends the transaction, where the client would ask for it.
func (r *simRunner) end(op *simOp, commit bool) {
	c := r.client
	answer := func(o kafka.Outcome) { op.answer = evEnded{kafka.Result{Outcome: o, Err: errNoAnswer}} }
	switch {
	case !c.open:
		op.answer = evEnded{}
	case c.doubt:
		answer(kafka.Unknown)
	case commit && !c.whole():
		answer(kafka.Aborted)
	case commit:
		r.endTxn(op, "commit", txnCommitted)
	default:
		c.parts = slices.DeleteFunc(c.parts, func(p *outPart) bool { return !p.sending })
		switch {
		case c.unsure && (r.w.broker.rig != nil || r.w.chance(2)), c.offsets && c.acked == 0:
			answer(kafka.Unknown)
		case c.acked == 0 && c.failed.Outcome == kafka.OK: // nothing was ever sent
			c.reset()
			op.answer = evEnded{}
		default:
			r.endTxn(op, "abort", txnAborted)
		}
	}
}

func (r *simRunner) endTxn(op *simOp, name string, outcome txnOutcome) {
	c, was := r.client, r.client.epoch
	if r.w.mutant.commitAborts && outcome == txnCommitted && r.w.chance(10) {
		outcome = txnAborted
	}
	var epoch int
	var err error
	c.request(name, true, func() bool {
		epoch, err = c.id.endTxn(r.w, was, outcome)
		return !errors.Is(err, errBusy)
	}, func(f fate) {
		res := judged(f, err, kafka.Unknown)
		if f == fateRefused && outcome == txnAborted {
			res = kafka.Result{Outcome: kafka.Unknown, Err: errNoAnswer}
		}
		switch res.Outcome {
		case kafka.OK:
			c.epoch = epoch
			c.reset()
		case kafka.Aborted:
		default:
			c.doubt = outcome == txnCommitted
		}
		op.answer = evEnded{res}
	})
}

func (r *simRunner) finish() {
	op := r.op
	if r.flushing() {
		op.answer = evFlushed{nil, r.client.failed}
		if r.client.failed.Outcome == kafka.OK {
			op.answer = evFlushed{r.client.acks(), kafka.Result{}}
		}
	}
	r.op = nil
	r.take(op.answer)
}
