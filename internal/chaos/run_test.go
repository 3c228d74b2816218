package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// What an instance is asked to end with.
var (
	stop  os.Signal = syscall.SIGTERM
	leave os.Signal = syscall.SIGINT
)

// stage plays a script.
type stage struct {
	*rig
	faults  map[string]int
	inside  int // kills of an instance with a transaction open
	playing sync.WaitGroup
	quit    chan struct{} // closed when the run has failed: nobody waits on

	down sync.Mutex // held while a broker is down
}

// play plays faults until the script is over or something is wrong, and returns
// when all have passed.
func (s *stage) play(script []action) {
	begun := time.Now()
	for _, a := range script {
		select {
		case <-time.After(time.Until(begun.Add(a.At))):
		case <-s.ctx.Done():
		}
		if s.broken() {
			break
		}
		s.playing.Go(func() { s.problem(s.fault(a)) })
	}
	if s.broken() {
		close(s.quit)
	}
	s.playing.Wait()
}

// broken reports whether it is already clear that the run has failed.
func (s *stage) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.problems) > 0 || s.ctx.Err() != nil
}

func (s *stage) fault(a action) error {
	if a.Kind == faultBroker {
		return s.breakBroker(a)
	}
	i := s.instance(a.Who)
	i.turn.Lock()
	defer i.turn.Unlock()
	if a.Kind == faultKill && !a.Early {
		s.ripen(i)
	}
	s.begin(a.Kind)
	switch a.Kind {
	case faultKill, faultVanish:
		if err := i.kill(); err != nil {
			return fmt.Errorf("%s: %w", i.name, err)
		}
		if s.open(i) {
			s.count(func() { s.inside++ })
		}
	case faultFreeze:
		return i.freeze(a.Lasts, s.quit)
	case faultRestart, faultQuit:
		if err := i.end(stop); err != nil {
			return err
		}
	case faultLeave:
		return i.end(leave)
	}
	switch a.Kind {
	case faultKill:
		s.rest(a.Lasts)
		return i.start()
	case faultRestart, faultAdd:
		return i.start()
	}
	return nil
}

// ripening is how long a kill waits for its victim to commit something: it is to
// meet transactions, not only processes that start.
const ripening = 5 * time.Second

func (s *stage) ripen(i *instance) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(ripening)
	for !i.commits() {
		select {
		case <-tick.C:
		case <-deadline:
			return
		case <-s.quit:
			return
		}
	}
}

func (s *stage) begin(kind string) {
	s.stalls.fault(kind, time.Now())
	s.count(func() { s.faults[kind]++ })
}

func (s *stage) count(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *stage) rest(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.quit:
	}
}

// open reports whether a process that was killed has left a transaction.
func (s *stage) open(i *instance) bool {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	var ids []string
	for w := range i.run.Workers {
		ids = append(ids, fmt.Sprintf("%s.%s.%d", i.run.Group, i.name, w))
	}
	described, err := s.admin.DescribeTransactions(ctx, ids...)
	if err != nil {
		return false // a broker is down: nobody knows
	}
	for _, d := range described {
		if d.State == "Ongoing" {
			return true
		}
	}
	return false
}

// breakBroker kills a broker and starts it again. Two are never down at a time, nor
// one while another has not caught up: Kafka would be down, not kappa.
func (s *stage) breakBroker(a action) error {
	s.down.Lock()
	defer s.down.Unlock()
	if err := s.inSync(); err != nil {
		return err
	}
	s.begin(faultBroker)
	s.env.Kill(a.Who)
	s.rest(a.Lasts)
	s.env.Restart(a.Who)
	return nil
}

// inSync waits until each partition has all of its replicas.
func (s *rig) inSync() error {
	var lacking string
	err := s.until("replicas", func() bool {
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
		defer cancel()
		topics, err := s.admin.ListTopicsWithInternal(ctx)
		if err != nil {
			lacking = err.Error()
			return false
		}
		for _, t := range topics {
			for _, p := range t.Partitions {
				if lacking = fmt.Sprintf("%s/%d", t.Topic, p.Partition); len(p.ISR) < s.o.nodes || p.Err != nil {
					return false
				}
			}
		}
		return true
	})
	if err != nil {
		return errors.Join(err, fmt.Errorf("not in sync: %s", lacking))
	}
	return nil
}

// revive starts processes again that have ended by themselves, which is a failure
// that the report names in the end.
func (s *stage) revive() {
	for _, i := range s.all() {
		if !i.turn.TryLock() {
			continue // a fault is being played
		}
		if i.diedByItself() {
			s.problem(i.start())
		}
		i.turn.Unlock()
	}
}
