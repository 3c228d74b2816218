package views

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// keep compares the copy with the ends of its log, from time to time: it learns
// when the copy has caught up, keeps the moment until which it is known to be
// whole, and makes it durable.
func (r *replica) keep(ctx context.Context) {
	var pause backoff
	for {
		err := r.check(ctx)
		if ctx.Err() != nil {
			return
		}
		if reason, hopeless := rebuildReason(err); hopeless {
			r.fail(reason)
			return
		}
		if err != nil {
			r.log.Warn("view: check against the log", "topic", r.Topic, "err", err)
			if !pause.wait(ctx) {
				return
			}
			continue
		}
		pause.reset()
		if !sleep(ctx, r.every) {
			return
		}
	}
}

// check waits until the copy holds all that the log held when it was called. All
// that is missing then was written later, so its deletes live for the topic's
// delete retention from that moment on.
func (r *replica) check(ctx context.Context) error {
	now := r.clock()
	ends, err := r.logs.EndsOf(ctx, r.partitions()...)
	if err != nil {
		return err
	}
	if err := r.tooLate(now); err != nil {
		return err
	}
	if err := r.waitFor(ctx, r.targets(ends)); err != nil {
		return err
	}
	if err := r.checkpoint(func(h *header) { h.Complete, h.Seen = true, now }); err != nil {
		return fmt.Errorf("checkpoint of the view's store %q: %w", r.slot, err)
	}
	if !r.caughtUp() {
		close(r.caught)
	}
	r.moved.broadcast()
	return nil
}

// tooLate finds a copy that slept (a stopped machine, a broker away) for longer
// than the log remembers deletes.
func (r *replica) tooLate(now time.Time) error {
	r.headMu.Lock()
	defer r.headMu.Unlock()
	if r.head.Complete && now.Sub(r.head.Seen) > r.DeleteRetention {
		return &rebuildError{fmt.Sprintf("it was away from the log since %s, for longer than the topic's delete.retention.ms (%s)",
			r.head.Seen.Format(time.RFC3339), r.DeleteRetention)}
	}
	return nil
}

// targets returns the positions at the high watermarks.
func (r *replica) targets(ends map[record.Partition]record.Ends) []record.Position {
	var ps []record.Position
	for _, p := range r.partitions() {
		ps = append(ps, record.Position{Cluster: r.Cluster, Topic: r.Topic, TopicID: r.ID,
			Partition: p.Partition, Offset: ends[p].HighWatermark, LeaderEpoch: -1})
	}
	return ps
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
