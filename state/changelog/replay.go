package changelog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// replay brings one log into memory, up to an offset.
type replay struct {
	s      *State
	t      *tracked
	to     int64
	strict bool // nothing at or beyond to is taken
	apply  func(*record.Record) error

	from, records int64
	begun, told   time.Time
}

func (s *State) replayLog(ctx context.Context, t *tracked) error {
	r := replay{s: s, t: t, to: t.ends.HighWatermark, apply: s.applyOf(t.pos.Topic)}
	return r.run(ctx)
}

func (s *State) applyOf(topic string) func(*record.Record) error {
	if topic == s.c.StateTopic {
		return s.applyState
	}
	return s.applyTable
}

func (s *State) replayJoin(ctx context.Context, t *tracked) error {
	if err := s.freshenEnds(ctx, t); err != nil {
		return err
	}
	to, err := s.joinTarget(t)
	if err != nil {
		return err
	}
	var key []byte
	prefix := len(state.JoinKey(nil, t.pos.Topic, nil))
	key = state.JoinKey(key, t.pos.Topic, nil)
	r := replay{s: s, t: t, to: to, strict: true, apply: func(r *record.Record) error {
		key = append(key[:prefix], r.Key...)
		return s.Table.Load(key, r.Value, r.Tombstone())
	}}
	return r.run(ctx)
}

// freshenEnds asks again where a join topic ends if more of it has been committed
// than it had when the restore began: the task has gone on elsewhere meanwhile.
func (s *State) freshenEnds(ctx context.Context, t *tracked) (err error) {
	if s.positions == nil {
		return nil
	}
	if in, ok := s.positions.Input(t.pos.Topic); !ok || in.Offset <= t.ends.HighWatermark {
		return nil
	}
	if t.ends, err = s.c.Logs.Ends(ctx, t.pos.Of()); err != nil {
		return fmt.Errorf("ends of %s: %w", t.pos.Of(), err)
	}
	return nil
}

// joinTarget returns up to where a join topic belongs to the committed state.
func (s *State) joinTarget(t *tracked) (int64, error) {
	if s.positions == nil {
		return t.ends.HighWatermark, nil
	}
	in, ok := s.positions.Input(t.pos.Topic)
	switch {
	case !ok:
		return t.ends.HighWatermark, nil
	case in.TopicID.Known() && t.ends.TopicID.Known() && in.TopicID != t.ends.TopicID:
		return 0, fmt.Errorf("join topic %s: %w: its committed position is of id %s, it has %s; reset the group to go on", t.pos.Of(), record.ErrRecreated, in.TopicID, t.ends.TopicID)
	case in.Offset > t.ends.HighWatermark:
		return 0, fmt.Errorf("join topic %s ends at %d, but %d was committed: it has lost records; reset the group to go on", t.pos.Of(), t.ends.HighWatermark, in.Offset)
	case t.pos.Offset > max(in.Offset, t.ends.Start):
		return 0, misfitf("its position %s is beyond what the task has committed, %d", t.pos, in.Offset)
	}
	return in.Offset, nil
}

func (s *State) applyTable(r *record.Record) error {
	s.keys = FromTable(s.keys[:0], r.Key)
	return s.Table.Load(s.keys, r.Value, r.Tombstone())
}

func (s *State) applyState(r *record.Record) error {
	var err error
	s.keys, err = FromState(s.keys[:0], r.Key)
	if err != nil {
		return err
	}
	if s.keys[0] == state.KindPositions {
		s.raw = nil
		if !r.Tombstone() {
			s.raw = append([]byte{}, r.Value...)
		}
		return nil
	}
	return s.Table.Load(s.keys, r.Value, r.Tombstone())
}

func (r *replay) run(ctx context.Context) error {
	r.from, r.begun = r.t.pos.Offset, r.s.c.Clock()
	r.told = r.begun
	if r.t.pos.Offset < r.to {
		if err := r.read(ctx); err != nil {
			return fmt.Errorf("replay %s: %w", r.t.pos, err)
		}
	}
	r.tell(true)
	return nil
}

func (r *replay) read(ctx context.Context) error {
	log := r.s.c.Logs.Open(r.t.pos.Of(), r.t.pos.Offset)
	defer log.Close()
	for r.t.pos.Offset < r.to {
		b, err := log.Next(ctx)
		if errors.Is(err, record.ErrOffsetOutOfRange) {
			return misfitf("the log no longer has %s: %v", r.t.pos, err)
		}
		if err == nil {
			err = r.take(&b)
		}
		if err != nil {
			return err
		}
		r.tell(false)
	}
	return nil
}

func (r *replay) take(b *record.Batch) error {
	for i := range b.Records {
		rec := &b.Records[i]
		if r.strict && rec.Offset >= r.to {
			break
		}
		if rec.Offset < r.t.pos.Offset {
			continue // a standby has caught up by itself meanwhile
		}
		if rec.Key == nil {
			return fmt.Errorf("the record at offset %d has no key: the topic is not a table's", rec.Offset)
		}
		if err := r.apply(rec); err != nil {
			return fmt.Errorf("offset %d: %w", rec.Offset, err)
		}
		r.records++
		r.s.replayed++
	}
	r.t.advance(record.Position{Topic: r.t.pos.Topic, Partition: r.t.pos.Partition, Offset: r.next(b), LeaderEpoch: b.LeaderEpoch})
	return r.s.flushFull()
}

// flushFull flushes where memory is full, in runs as large as memory allows: it
// de-duplicates, so the store is spared what the log repeats. Nothing waits for the
// disk; a crash costs some of the replay.
func (s *State) flushFull() error {
	_, size := s.Table.Unflushed()
	if size < s.c.Table.MemoryBytes/4*3 && !s.Table.Full() {
		return nil
	}
	f, err := s.BeginFlush()
	if err != nil || f == nil {
		return err
	}
	err = f.flush.Run()
	s.EndFlush(f, err)
	return err
}

func (r *replay) next(b *record.Batch) int64 {
	if r.strict {
		return min(b.Next, r.to)
	}
	return b.Next
}

// tell reports progress, at most once a second but for the end.
func (r *replay) tell(done bool) {
	if r.s.c.OnProgress == nil {
		return
	}
	now := r.s.c.Clock()
	if !done && now.Sub(r.told) < time.Second {
		return
	}
	r.told = now
	p := Progress{
		Store: r.s.c.Store, Partition: r.t.pos.Of(),
		From: r.from, Next: r.t.pos.Offset, To: r.to,
		Records: r.records, ETA: -1, Done: done,
	}
	if took := now.Sub(r.begun); took > 0 {
		p.Rate = float64(r.records) / took.Seconds()
		if read := p.Next - p.From; read > 0 {
			p.ETA = max(0, time.Duration(float64(took)*float64(p.To-p.Next)/float64(read)))
		}
	}
	r.s.c.OnProgress(p)
}
