package changelog

import (
	"time"

	"github.com/seed-73111be4/kappa/state"
)

// Flush is a captured part of the committed memory on its way to the store.
type Flush struct {
	flush       *state.Flush
	store       state.Store
	at          time.Time
	logs, joins []int64 // offsets that it stands for
}

// FlushDue reports whether a flush should begin: because of the memory that is
// not flushed, because a restart would replay too much, or because of age. It is
// cheap enough to ask after every commit.
func (s *State) FlushDue(now time.Time) bool {
	if s.flushing {
		return false
	}
	_, size := s.Table.Unflushed()
	tail := tail(s.logs) + tail(s.joins)
	age := now.Sub(s.flushedAt)
	switch {
	case size >= s.c.Flush.Bytes, tail >= s.c.Flush.Tail, s.Table.Full():
		return size > 0 || tail > 0
	case age >= s.c.Flush.Age:
		return size > 0 || tail > 0
	default:
		return false
	}
}

func tail(ts []tracked) (n int64) {
	for i := range ts {
		n += ts[i].pos.Offset - ts[i].flushed
	}
	return n
}

// BeginFlush captures what is committed and not flushed, and the positions that
// it stands for. No transaction may be open. It returns nil while another flush is
// running.
func (s *State) BeginFlush() (*Flush, error) {
	if s.flushing {
		return nil, nil
	}
	f := &Flush{store: s.store, at: s.c.Clock(), logs: offsets(s.logs), joins: offsets(s.joins)}
	var err error
	f.flush, err = s.Table.BeginFlush(s.appendMeta)
	if err != nil || f.flush == nil {
		return nil, err
	}
	s.flushing = true
	return f, nil
}

// appendMeta adds what the store has to know about itself.
func (s *State) appendMeta(b *state.Batch) {
	m := meta{
		Cluster:   s.c.Cluster,
		WrittenAt: s.current.UnixMilli(),
		Logs:      positionsOf(s.logs),
		Joins:     positionsOf(s.joins),
	}
	b.Set(metaKey(), m.Append(nil))
	switch key := state.PositionsKey(nil); {
	case s.raw != nil:
		b.Set(key, s.raw)
	case s.positions != nil:
		b.Set(key, s.positions.Append(nil))
	default:
		b.Delete(key)
	}
}

func offsets(ts []tracked) []int64 {
	os := make([]int64, len(ts))
	for i := range ts {
		os[i] = ts[i].pos.Offset
	}
	return os
}

// Run writes the flush to the store, durably and as one atomic batch. It may be
// called on any goroutine, once.
func (f *Flush) Run() error {
	if err := f.flush.Run(); err != nil {
		return err
	}
	return f.store.Sync()
}

// EndFlush takes Run's outcome over, on the owner. After an error what was
// captured is unflushed again.
func (s *State) EndFlush(f *Flush, err error) {
	s.flushing = false
	s.Table.EndFlush(f.flush, err)
	if err != nil {
		return
	}
	s.flushedAt = f.at
	for i := range s.logs {
		s.logs[i].flushed = f.logs[i]
	}
	for i := range s.joins {
		s.joins[i].flushed = f.joins[i]
	}
}

// flushNow flushes on the owner.
func (s *State) flushNow() error {
	f, err := s.BeginFlush()
	if err != nil || f == nil {
		return err
	}
	err = f.Run()
	s.EndFlush(f, err)
	return err
}
