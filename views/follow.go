package views

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
)

const (
	firstBackoff = 250 * time.Millisecond
	lastBackoff  = 15 * time.Second
)

// backoff waits longer and longer between attempts. The zero value is ready.
type backoff struct{ next time.Duration }

// wait returns false where ctx ended.
func (b *backoff) wait(ctx context.Context) bool {
	return sleep(ctx, b.step())
}

// step returns how long to wait now.
func (b *backoff) step() time.Duration {
	b.next = min(max(2*b.next, firstBackoff), lastBackoff)
	return b.next
}

func (b *backoff) reset() { b.next = 0 }

// follower applies one partition of a table to the replica's store.
type follower struct {
	*replica
	partition int32

	batch   state.Batch
	written []change
	seen    map[uint64]struct{}
	key     []byte
}

// run follows until ctx ends or the copy cannot go on. What a retry may mend is
// tried again from the position that the store has.
func (f *follower) run(ctx context.Context) {
	var pause backoff
	for {
		err := f.follow(ctx, pause.reset)
		if ctx.Err() != nil {
			return
		}
		if reason, hopeless := rebuildReason(err); hopeless {
			f.fail(fmt.Sprintf("partition %d: %s", f.partition, reason))
			return
		}
		f.trouble(err)
		f.log.Warn("view: following stopped, trying again", "partition", f.at().String(), "err", err)
		if !pause.wait(ctx) {
			return
		}
	}
}

// rebuildError says that what the copy holds cannot be continued.
type rebuildError struct{ reason string }

func (e *rebuildError) Error() string { return "the view's copy must be rebuilt: " + e.reason }

func rebuildReason(err error) (string, bool) {
	var e *rebuildError
	switch {
	case errors.As(err, &e):
		return e.reason, true
	case errors.Is(err, record.ErrOffsetOutOfRange), errors.Is(err, record.ErrRecreated):
		return err.Error(), true
	}
	return "", false
}

func (f *follower) at() record.Position { return f.position(f.partition) }

// follow reads from where the store stands. A topic that was recreated since the
// last attempt is found here, for a reader knows a topic by name only.
func (f *follower) follow(ctx context.Context, ok func()) error {
	from := f.at()
	ends, err := f.logs.Ends(ctx, from.Of())
	if err != nil {
		return err
	}
	if ends.TopicID.Known() && ends.TopicID != f.ID {
		return &rebuildError{"the topic was deleted and created again"}
	}
	if reason := denied(place{from.Offset, from.LeaderEpoch}, ends); reason != "" {
		return &rebuildError{reason}
	}
	if err := f.truncated(ctx, from); err != nil {
		return err
	}
	reader := f.logs.Open(from.Of(), from.Offset)
	defer reader.Close()
	for {
		b, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		if err := f.apply(b); err != nil {
			return err
		}
		ok()
		f.troubles[f.partition].Store(nil)
	}
}

// truncated finds out whether the log has lost what the store holds: the leader
// epoch of the last record read ended before it.
func (f *follower) truncated(ctx context.Context, at record.Position) error {
	epochs, ok := f.logs.(changelog.EpochSource)
	if !ok || at.LeaderEpoch < 0 || at.Offset == 0 {
		return nil
	}
	end, err := epochs.EpochEnd(ctx, at.Of(), at.LeaderEpoch)
	if err != nil {
		return fmt.Errorf("end of leader epoch %d: %w", at.LeaderEpoch, err)
	}
	if end >= 0 && end < at.Offset {
		return &rebuildError{fmt.Sprintf("the log lost records: leader epoch %d ended at %d, the copy is at %d", at.LeaderEpoch, end, at.Offset)}
	}
	return nil
}

// apply makes a batch and the position after it visible, together.
func (f *follower) apply(b record.Batch) error {
	next := place{b.Next, b.LeaderEpoch}
	if b.LeaderEpoch < 0 {
		next.Epoch = f.places[f.partition].Load().Epoch
	}
	if len(b.Records) > 0 {
		if err := f.write(b.Records, next); err != nil {
			return err
		}
		f.records.Add(int64(len(b.Records)))
	} else {
		f.places[f.partition].Store(&next) // the next batch or checkpoint writes it
	}
	f.moved.broadcast()
	return nil
}

func (f *follower) write(records []record.Record, next place) error {
	f.fill(records, next)
	f.applying.RLock()
	defer f.applying.RUnlock()
	changes, err := f.changes(records)
	if err == nil {
		err = f.commit(next)
	}
	if err != nil {
		return fmt.Errorf("apply to the view's store %q: %w", f.slot, err)
	}
	f.subs.publish(changes)
	return nil
}

// fill makes the store's batch of records; the last one of a key wins. Records
// without key, which no table can hold, are passed over.
func (f *follower) fill(records []record.Record, next place) {
	f.batch.Reset()
	f.written = f.written[:0]
	for i := range records {
		r := &records[i]
		if r.Key == nil {
			continue
		}
		f.written = append(f.written, change{key: r.Key, value: r.Value, deleted: r.Tombstone()})
		f.key = state.TableKey(f.key[:0], r.Key)
		if r.Tombstone() {
			f.batch.Delete(f.key)
		} else {
			f.batch.Set(f.key, r.Value)
		}
	}
	f.batch.Set(positionKey(f.partition), next.append(nil))
}

func (f *follower) commit(next place) error {
	if f.cache != nil {
		touched := f.cache.begin(f.written, f.seen)
		defer f.cache.end(touched)
	}
	if err := f.store.Apply(&f.batch); err != nil {
		return err
	}
	if f.cache != nil {
		f.cache.keep(f.written)
	}
	f.places[f.partition].Store(&next)
	return nil
}

// trouble notes an error for Ready; the next batch clears it.
func (f *follower) trouble(err error) {
	text := err.Error()
	f.troubles[f.partition].Store(&text)
	f.moved.broadcast()
}
