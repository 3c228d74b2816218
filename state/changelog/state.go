package changelog

import (
	"errors"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

// State is a restored task's state. It has one owner goroutine at a time.
type State struct {
	Table *state.Table // the task's keys, by the layout of package state

	c     Config
	store state.Store

	positions *Positions
	raw       []byte // positions as the state topic has them, during a restore

	logs, joins []tracked // in the order: table, state; as Config.JoinTopics
	replayed    int64
	wiped       string

	// current is when memory was last known to hold all that is committed: as of the
	// restore's begin or the last commit's. Whoever stands still for long may have
	// lost the task since, and must not call its store younger than that.
	current time.Time
	sealed  time.Time // when the open transaction's changes were asked for

	flushing  bool
	flushedAt time.Time // of the last flush that worked, in whatever process; zero: there is something to flush and never was one
	keys      []byte    // record keys of the open transaction
}

// tracked is how far memory, and the store, hold one log.
type tracked struct {
	pos     record.Position
	flushed int64
	ends    record.Ends // as of the restore
}

// Positions returns what the task has committed, nil where it never has. The
// caller must not change it.
func (s *State) Positions() *Positions { return s.positions }

// Replayed returns the number of records that the restore took from the logs.
func (s *State) Replayed() int64 { return s.replayed }

// Wiped returns why the restore deleted the local store, "" where it did not.
func (s *State) Wiped() string { return s.wiped }

// LogPositions returns how far the table's and the state topic are reflected in
// memory.
func (s *State) LogPositions() []record.Position { return positionsOf(s.logs) }

// JoinPositions returns the positions of the join topics that memory reflects:
// right after a restore, where to consume them from.
func (s *State) JoinPositions() []record.Position { return positionsOf(s.joins) }

func positionsOf(ts []tracked) []record.Position {
	ps := make([]record.Position, len(ts))
	for i := range ts {
		ps[i] = ts[i].pos
	}
	return ps
}

// EachChange calls fn with the last value of every key that the open transaction
// has written and that has a log, and the stamp (state.Table.SetStamp) of its last
// write, in the order of first write. A nil value is a tombstone. The slices stay unchanged until Commit or Abort. The positions
// record is not among them.
func (s *State) EachChange(fn func(topic string, key, value []byte, stamp int64) error) error {
	s.sealed = s.c.Clock()
	return s.Table.EachDirty(func(key, value []byte, deleted bool, stamp int64) error {
		var topic string
		switch logOf(key) {
		case TableLog:
			topic, key = s.c.TableTopic, key[1:]
		case StateLog:
			topic, key = s.c.StateTopic, s.stateKey(key)
		default:
			return nil
		}
		if deleted {
			value = nil
		} else if value == nil {
			value = []byte{}
		}
		return fn(topic, key, value, stamp)
	})
}

// stateKey returns a record key that lives until the transaction ends.
func (s *State) stateKey(storeKey []byte) []byte {
	if len(s.keys)+len(storeKey)+1 > cap(s.keys) {
		s.keys = make([]byte, 0, max(4096, 2*cap(s.keys), len(storeKey)+1))
	}
	n := len(s.keys)
	s.keys = appendStateKey(s.keys, storeKey)
	return s.keys[n:len(s.keys):len(s.keys)]
}

// Commit takes over the outcome of a committed transaction: the open writes join
// the committed memory, p becomes the task's positions (p is copied; its inputs
// tell the join topics' positions, too), and logEnds, the next offsets after what
// was produced to the table's and the state topic, become the positions that the
// next flush stands for. A log that is not in logEnds was not written.
func (s *State) Commit(p *Positions, logEnds []record.Position) {
	s.Table.Commit()
	s.keys = s.keys[:0]
	if !s.sealed.IsZero() {
		s.current, s.sealed = s.sealed, time.Time{}
	}
	s.keepPositions(p)
	for _, end := range logEnds {
		for i := range s.logs {
			s.logs[i].advance(end)
		}
	}
	for i := range s.joins {
		if in, ok := p.Input(s.joins[i].pos.Topic); ok {
			s.joins[i].advance(in)
		}
	}
}

func (s *State) keepPositions(p *Positions) {
	if s.positions == nil {
		s.positions = new(Positions)
	}
	inputs := append(s.positions.Inputs[:0], p.Inputs...)
	*s.positions = *p
	s.positions.Inputs = inputs
}

func (t *tracked) advance(to record.Position) {
	if t.pos.Topic != to.Topic || t.pos.Partition != to.Partition || to.Offset < t.pos.Offset {
		return
	}
	if to.Offset > t.pos.Offset || to.LeaderEpoch >= 0 {
		t.pos.LeaderEpoch = to.LeaderEpoch // unknown of own writes: an older epoch would seem to have lost them
	}
	t.pos.Offset = to.Offset
}

// Abort drops the open writes.
func (s *State) Abort() {
	s.Table.Abort()
	s.keys, s.sealed = s.keys[:0], time.Time{}
}

// CommitDue reports whether an idle task should commit again: the commit proves
// that it still has the task, so that its store, flushed afterwards, never counts as
// too old.
func (s *State) CommitDue(now time.Time) bool {
	return s.c.DeleteRetention > 0 && now.Sub(s.current) >= s.c.DeleteRetention/8
}

// Close releases the state and its store. With flush it first writes what is
// committed, so that the next restore has nothing to replay; open writes are
// dropped. While a Flush is running it is an error and does nothing.
func (s *State) Close(flush bool) error {
	if s.flushing {
		return errors.New("close state: a flush is running")
	}
	var err error
	if flush {
		s.Abort()
		err = s.flushNow()
	}
	return errors.Join(err, s.Table.Close(), s.store.Close())
}
