package changelog_test

import (
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// elsewhere is the same task on another machine.
func (w *world) elsewhere() *world {
	o := *w
	o.db = state.NewMemory()
	o.config.DB = o.db
	o.config.Clock = func() time.Time { return o.now }
	return &o
}

// follow hands a standby all that its logs hold.
func (w *world) follow(s *changelog.State) {
	w.t.Helper()
	for _, p := range s.LogPositions() {
		log := w.cluster.Open(p.Of(), p.Offset)
		for at := p.Offset; at < w.logOf(p.Topic).ends.HighWatermark; {
			b, err := log.Next(w.t.Context())
			must(w.t, err)
			must(w.t, s.Take(p.Topic, &b))
			at = b.Next
		}
		log.Close()
	}
}

func reach(t *testing.T, db state.DB) int64 {
	t.Helper()
	logs, err := changelog.Stored(db, "g/3")
	must(t, err)
	return changelog.Reach(logs)
}

func TestAStandbyFollowsAndHandsOverWithNothingToReplay(t *testing.T) {
	w := newWorld(t)
	o := w.elsewhere()
	owner := w.restore()
	set(t, owner, table(".a"), "1")
	w.commit(owner, 0)

	standby := o.restore()
	expect(t, standby, "1:a=1")
	set(t, owner, table(".b"), "2")
	set(t, owner, named(".n"), "x")
	w.join.put([]byte(".j1"), []byte("ann"))
	w.join.put([]byte(".j2"), []byte("not yet"))
	w.commit(owner, 1)
	must(t, owner.Table.Delete(table(".a")))
	w.commit(owner, 1)
	o.follow(standby)
	expect(t, standby, "1:b=2", "2:n=x")
	must(t, standby.CatchUp(t.Context()))
	want := []string{"1:b=2", "2:n=x", "3:j1=ann"}
	expect(t, standby, want...)
	if p := standby.Positions(); p.Epoch != 3 || p.Inputs[0].Offset != 30 {
		t.Errorf("positions %+v", p)
	}
	must(t, standby.Close(true))

	heir := o.restore()
	expect(t, heir, want...)
	if heir.Replayed() != 0 || heir.Wiped() != "" {
		t.Errorf("replayed %d, wiped %q", heir.Replayed(), heir.Wiped())
	}
	must(t, owner.Close(false))
	if got, all := reach(t, w.db), changelog.Reach(heir.LogPositions()); got != 0 || all != w.table.ends.HighWatermark+w.state.ends.HighWatermark {
		t.Errorf("the owner's store reaches %d, the heir %d", got, all)
	}
}

func TestASyncedStandbyCostsAtMostTheRestAfterACrash(t *testing.T) {
	w := newWorld(t)
	o := w.elsewhere()
	owner, standby := w.restore(), o.restore()
	set(t, owner, table(".a"), "1")
	w.commit(owner, 0)
	o.follow(standby)
	must(t, standby.Sync(t.Context()))
	set(t, owner, table(".a"), "2")
	w.commit(owner, 0)
	o.follow(standby)
	must(t, standby.Close(false))
	if got := reach(t, o.db); got != 4 { // a record and a marker of each log
		t.Errorf("the store reaches %d", got)
	}
	heir := o.restore()
	expect(t, heir, "1:a=2")
	if heir.Replayed() != 2 {
		t.Errorf("replayed %d", heir.Replayed())
	}
}

func TestAnIdleStandbyNeverGrowsTooOld(t *testing.T) {
	w := newWorld(t)
	o := w.elsewhere()
	owner := w.restore()
	set(t, owner, table(".a"), "1")
	w.commit(owner, 0)
	standby := o.restore()
	syncs := 0
	for range 7 * 24 {
		o.now = o.now.Add(time.Hour)
		if standby.SyncDue(o.now) {
			must(t, standby.Sync(t.Context()))
			syncs++
		}
	}
	must(t, standby.Close(false))
	set(t, owner, table(".a"), "2")
	w.commit(owner, 0)
	heir := o.restore()
	if heir.Wiped() != "" || heir.Replayed() != 2 || syncs > 9 {
		t.Errorf("wiped %q, replayed %d, %d syncs", heir.Wiped(), heir.Replayed(), syncs)
	}
	must(t, heir.Close(false))
	o.now = o.now.Add(4 * 24 * time.Hour)
	if old := o.restore(); old.Wiped() == "" {
		t.Error("a store that nobody followed is not too old")
	}
}

func TestAStandbyNoticesATopicThatWasCreatedAgain(t *testing.T) {
	w := newWorld(t)
	standby := w.restore()
	w.state.ends.TopicID = record.TopicID{9}
	if err := standby.CatchUp(t.Context()); err == nil {
		t.Error("caught up with another topic")
	}
	b := record.Batch{Next: 1, LeaderEpoch: -1}
	if err := standby.Take("other", &b); err == nil {
		t.Error("took a batch of another topic")
	}
}

func TestAStoreThatHoldsNothingReachesNothing(t *testing.T) {
	w := newWorld(t)
	if got := reach(t, w.db); got != 0 {
		t.Errorf("reaches %d", got)
	}
}

// A reader goes on from where it was when the standby caught up on its own: what it
// brings again must not undo what came later.
func TestAStandbySkipsWhatItHasCaughtUpWith(t *testing.T) {
	w := newWorld(t)
	o := w.elsewhere()
	owner, standby := w.restore(), o.restore()
	set(t, owner, table(".a"), "1")
	w.commit(owner, 0)
	log := w.cluster.Open(standby.LogPositions()[0].Of(), 0)
	early, err := log.Next(t.Context())
	must(t, err)
	set(t, owner, table(".a"), "2")
	w.commit(owner, 0)
	must(t, standby.CatchUp(t.Context()))
	must(t, standby.Take(tableTopic, &early))
	expect(t, standby, "1:a=2")
}
