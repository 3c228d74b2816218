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
	c := r.client
	if !c.open || c.acked == 0 {
		op.answer = evOffsets{kafka.Result{Outcome: kafka.Aborted, Err: errNoAnswer}}
		return
	}
	c.offsets = true
	var err error
	epoch, fence, positions := c.epoch, e.fence, e.positions
	c.request("offsets", r.w.faults.transactions2, func() bool {
		err = c.id.addOffsets(r.w, epoch, fence, positions)
		return !errors.Is(err, errBusy)
	}, func(f fate) {
		op.answer = evOffsets{judged(f, err, kafka.Aborted)}
	})
}

func (r *simRunner) end(op *simOp, commit bool) {
	c, outcome, name := r.client, txnAborted, "abort"
	if !c.open {
		op.answer = evEnded{}
		return
	}
	if commit {
		outcome, name = txnCommitted, "commit"
	} else {
		c.parts = slices.DeleteFunc(c.parts, func(p *outPart) bool { return !p.sending })
		if c.offsets && c.acked == 0 {
			op.answer = evEnded{kafka.Result{Outcome: kafka.Unknown, Err: errNoAnswer}}
			return
		}
		if c.acked == 0 && c.failed.Outcome == kafka.OK { // nothing was ever sent
			c.reset()
			op.answer = evEnded{}
			return
		}
	}
	if commit && (c.failed.Outcome != kafka.OK || c.acked == 0) {
		op.answer = evEnded{kafka.Result{Outcome: kafka.Aborted, Err: errNoAnswer}}
		return
	}
	var epoch int
	var err error
	c.request(name, true, func() bool {
		epoch, err = c.id.endTxn(r.w, c.epoch, outcome)
		return !errors.Is(err, errBusy)
	}, func(f fate) {
		res := judged(f, err, kafka.Unknown)
		if f == fateRefused && !commit {
			res = kafka.Result{Outcome: kafka.Unknown, Err: errNoAnswer}
		}
		if res.Outcome == kafka.OK {
			c.epoch = epoch
			c.reset()
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
