package views

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

var (
	// ErrLagging ends a subscription whose reader was slower than the table
	// changed: changes after the last one returned are lost to it. Subscribe
	// again, then read what matters.
	ErrLagging = errors.New("views: the subscriber was too slow: subscribe again")
	// ErrSwitched ends a subscription because the view has switched to another
	// table, or to a rebuilt copy. Subscribe again, then read what matters.
	ErrSwitched = errors.New("views: the view switched to another table: subscribe again")
)

// Change is one change of one key.
type Change struct {
	Key      string
	Old      []byte          // nil where the key did not exist
	Value    []byte          // nil where the key was deleted
	Position record.Position // in the table topic, after the change
}

// Subscription delivers changes to one reader, in order per key. Nobody waits
// for a slow reader: changes are buffered ([Config.Buffer]) and when the buffer is
// full the subscription ends with [ErrLagging].
type Subscription struct {
	prefix string
	from   *subscribers
	ch     chan Change
	done   chan struct{} // closed after err is set
	err    error
	unlink func() bool
}

// Next returns the next change; what was buffered before the subscription ended
// is returned before the error that says why it did.
func (s *Subscription) Next(ctx context.Context) (Change, error) {
	select {
	case c := <-s.ch:
		return c, nil
	default:
	}
	select {
	case c := <-s.ch:
		return c, nil
	case <-ctx.Done():
		return Change{}, context.Cause(ctx)
	case <-s.done:
	}
	select {
	case c := <-s.ch:
		return c, nil
	default:
		return Change{}, s.err
	}
}

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.unlink()
	s.from.end(s, ErrClosed)
}

// subscribers are the subscriptions of one replica. The zero value is ready.
type subscribers struct {
	mu   sync.Mutex // guards set and gone, and sending to the members' channels
	set  map[*Subscription]struct{}
	gone error // set when no more can be added
}

func (s *subscribers) add(sub *Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != nil {
		sub.stop(s.gone)
		return
	}
	if s.set == nil {
		s.set = make(map[*Subscription]struct{})
	}
	s.set[sub] = struct{}{}
}

func (s *subscribers) end(sub *Subscription, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(sub, why)
}

func (s *subscribers) endLocked(sub *Subscription, why error) {
	if _, ok := s.set[sub]; ok {
		delete(s.set, sub)
		sub.stop(why)
	}
}

func (s *Subscription) stop(why error) {
	s.err = why
	close(s.done)
}

// endAll ends all subscriptions, and those that come.
func (s *subscribers) endAll(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = why
	for sub := range s.set {
		s.endLocked(sub, why)
	}
}

// wanted returns a test for keys that somebody subscribed to, nil for none.
func (s *subscribers) wanted() func(key []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.set) == 0 {
		return nil
	}
	prefixes := make([]string, 0, len(s.set))
	for sub := range s.set {
		prefixes = append(prefixes, sub.prefix)
	}
	return func(key []byte) bool {
		for _, p := range prefixes {
			if len(key) >= len(p) && string(key[:len(p)]) == p {
				return true
			}
		}
		return false
	}
}

func (s *subscribers) publish(changes []Change) {
	if len(changes) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.set {
		for i := range changes {
			if strings.HasPrefix(changes[i].Key, sub.prefix) && !sub.offer(changes[i]) {
				s.endLocked(sub, ErrLagging)
				break
			}
		}
	}
}

func (s *Subscription) offer(c Change) bool {
	select {
	case s.ch <- c:
		return true
	default:
		return false
	}
}

// changes returns what a batch changes for subscribers; it reads the values that
// the batch is about to replace.
func (f *follower) changes(records []record.Record) ([]Change, error) {
	wanted := f.subs.wanted()
	if wanted == nil {
		return nil, nil
	}
	var out []Change
	last := make(map[string][]byte) // values as of the record before
	for i := range records {
		r := &records[i]
		if r.Key == nil || !wanted(r.Key) {
			continue
		}
		old, seen := last[string(r.Key)]
		if !seen {
			var err error
			if old, err = f.stored(r.Key); err != nil {
				return nil, err
			}
		}
		c := Change{Key: string(r.Key), Old: old, Value: r.Value, Position: f.at()}
		c.Position.Offset, c.Position.LeaderEpoch = r.Offset+1, r.LeaderEpoch
		last[c.Key] = r.Value
		out = append(out, c)
	}
	return out, nil
}

// stored returns a value of the store, nil where there is none.
func (f *follower) stored(key []byte) ([]byte, error) {
	f.key = state.TableKey(f.key[:0], key)
	v, found, err := f.store.Get(f.key, nil)
	if !found || err != nil {
		return nil, err
	}
	if v == nil {
		v = []byte{}
	}
	return v, nil
}

// Subscribe returns the changes of all keys that start with prefix, from now on:
// a read after Subscribe and the changes together miss nothing (and may overlap).
// The subscription lives until Close, until ctx ends, or as [Subscription] says.
func (v *View) Subscribe(ctx context.Context, prefix string) (*Subscription, error) {
	r, err := v.acquire()
	if err != nil {
		return nil, err
	}
	defer r.release()
	s := &Subscription{prefix: prefix, from: &r.subs,
		ch: make(chan Change, v.cfg.Buffer), done: make(chan struct{})}
	r.applying.Lock()
	r.subs.add(s)
	r.applying.Unlock()
	s.unlink = context.AfterFunc(ctx, func() { s.from.end(s, context.Cause(ctx)) })
	return s, nil
}
