package views

import (
	"context"
	"errors"
	"time"
)

// switcher decides which copy a view serves: it follows the view's name to
// another table, and replaces a copy that cannot go on. A new copy is built
// beside the one that is served and takes its place when it has caught up. One
// goroutine owns it.
type switcher struct {
	*View
	aliases chan struct{} // something about names has changed; capacity 1

	want  string // topic
	stale bool   // the current copy cannot go on
	next  *replica
	pause backoff
	retry <-chan time.Time // when to try again what failed, nil otherwise
	again bool             // the name has to be resolved at the retry
}

// watch tells run of changed aliases.
func (s *switcher) watch(ctx context.Context) {
	var pause backoff
	for {
		err := s.cluster.watch(ctx, func() {
			select {
			case s.aliases <- struct{}{}:
			default:
			}
		})
		if ctx.Err() != nil {
			return
		}
		s.cfg.Log.Warn("view: watching aliases stopped, trying again", "view", s.cfg.Table, "err", err)
		if !pause.wait(ctx) {
			return
		}
	}
}

func (s *switcher) run(ctx context.Context) {
	defer s.drop("the view is closed")
	for {
		var broken <-chan string
		var caught <-chan struct{}
		if s.next != nil {
			broken, caught = s.next.broken, s.next.caught
		}
		select {
		case <-ctx.Done():
			return
		case <-s.aliases:
			s.resolve(ctx)
		case reason := <-s.current.Load().broken:
			s.cfg.Log.Warn("view: its copy is built anew", "view", s.cfg.Table, "table", s.current.Load().Topic, "because", reason)
			s.stale = true
		case reason := <-broken:
			s.drop(reason)
			s.later()
		case <-caught:
			s.change()
		case <-s.retry:
			s.retry = nil
			if s.again {
				s.resolve(ctx)
			}
		}
		s.step(ctx)
	}
}

// resolve finds the table that is wanted now.
func (s *switcher) resolve(ctx context.Context) {
	topic, err := s.cluster.resolve(ctx, s.cfg.Table)
	s.again = err != nil
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.Warn("view: its name does not resolve, the table stays", "view", s.cfg.Table, "table", s.want, "err", err)
			s.later()
		}
		return
	}
	s.want = topic
}

// step makes next fit what is wanted.
func (s *switcher) step(ctx context.Context) {
	needed := s.stale || s.want != s.current.Load().Topic
	if s.next != nil && (!needed || s.next.Topic != s.want) {
		s.drop("it is no longer wanted")
	}
	if !needed || s.next != nil || s.retry != nil {
		return
	}
	if err := s.build(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("view: a new copy cannot be built, trying again", "view", s.cfg.Table, "table", s.want, "err", err)
		s.later()
	}
}

func (s *switcher) build(ctx context.Context) error {
	src, ends, err := s.look(ctx, s.want)
	if err != nil {
		return err
	}
	gs, err := s.generations()
	if err != nil {
		return err
	}
	r, err := s.create(src, ends, next(gs))
	if err != nil {
		return err
	}
	s.cfg.Log.Info("view: building a copy", "view", s.cfg.Table, "table", s.want, "store", r.slot)
	r.start()
	s.next = r
	return nil
}

// change makes the next copy the one that is served. The old one goes when its
// last reader has finished.
func (s *switcher) change() {
	old := s.current.Swap(s.next)
	s.cfg.Log.Info("view: switched", "view", s.cfg.Table, "from", old.Topic, "to", s.next.Topic)
	s.next, s.stale = nil, false
	s.pause.reset()
	s.switches.Add(1)
	s.moved.broadcast()
	old.subs.endAll(ErrSwitched)
	s.wg.Go(func() { s.bury(old) })
}

// drop gives up the copy that is being built.
func (s *switcher) drop(reason string) {
	if s.next == nil {
		return
	}
	s.cfg.Log.Info("view: a copy under construction is dropped", "view", s.cfg.Table, "table", s.next.Topic, "because", reason)
	s.bury(s.next)
	s.next = nil
}

func (s *switcher) bury(r *replica) {
	if err := errors.Join(r.retire(), s.cfg.DB.Drop(r.slot)); err != nil {
		s.cfg.Log.Warn("view: deleting an old copy", "view", s.cfg.Table, "store", r.slot, "err", err)
	}
}

// later arms the retry.
func (s *switcher) later() { s.retry = time.After(s.pause.step()) }
