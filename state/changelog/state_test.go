package changelog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
)

func TestChangesAreTheLastValuePerKeyWithItsLog(t *testing.T) {
	w := newWorld(t)
	s := w.restore()
	set(t, s, table("a"), "1")
	set(t, s, named("n"), "2")
	set(t, s, join("j"), "its topic is its log")
	set(t, s, table("a"), "3")
	set(t, s, table("empty"), "")
	must(t, s.Table.Delete(table("gone")))
	must(t, s.Table.Delete(named("gone")))
	var got []string
	must(t, s.EachChange(func(topic string, key, value []byte, _ int64) error {
		got = append(got, fmt.Sprintf("%s %q=%q %v", topic, key, value, value == nil))
		return nil
	}))
	want := []string{
		`g-table "a"="3" false`,
		`g-state "\x01\x02\x05storen"="2" false`,
		`g-table "empty"="" false`,
		`g-table "gone"="" true`,
		`g-state "\x01\x02\x05storegone"="" true`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	stop := errors.New("stop")
	if err := s.EachChange(func(string, []byte, []byte, int64) error { return stop }); err != stop {
		t.Errorf("EachChange: %v", err)
	}
	s.Abort()
	must(t, s.Close(false))
}

func TestKeysOfChangesLiveUntilTheTransactionEnds(t *testing.T) {
	w := newWorld(t)
	s := w.restore()
	for i := range 5000 {
		set(t, s, named(fmt.Sprintf("key-%05d", i)), "v")
	}
	var keys [][]byte
	must(t, s.EachChange(func(_ string, key, _ []byte, _ int64) error { keys = append(keys, key); return nil }))
	for i, k := range keys {
		if !strings.HasSuffix(string(k), fmt.Sprintf("key-%05d", i)) {
			t.Fatalf("key %d is %q now", i, k)
		}
	}
	s.Abort()
	must(t, s.Close(false))
}

func TestEachChangeOfTheTableDoesNotAllocate(t *testing.T) {
	w := newWorld(t)
	s := w.restore()
	for i := range 100 {
		set(t, s, table(fmt.Sprint(i)), "v")
		set(t, s, named(fmt.Sprint(i)), "v")
	}
	n := 0
	count := func(string, []byte, []byte, int64) error { n++; return nil }
	if a := testing.AllocsPerRun(100, func() { s.EachChange(count) }); a > 2 {
		t.Errorf("%v allocations for 200 changes", a)
	}
	s.Abort()
	must(t, s.Close(false))
}

func TestAFlushIsDueByBytesByTailAndByAge(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flush changelog.FlushOptions
		after time.Duration
		due   bool
	}{
		{"nothing reached", changelog.FlushOptions{Bytes: 1 << 20, Tail: 100, Age: time.Minute}, 0, false},
		{"bytes", changelog.FlushOptions{Bytes: 10, Tail: 100, Age: time.Minute}, 0, true},
		{"tail", changelog.FlushOptions{Bytes: 1 << 20, Tail: 2, Age: time.Minute}, 0, true},
		{"age", changelog.FlushOptions{Bytes: 1 << 20, Tail: 100, Age: time.Minute}, time.Minute, true},
		{"default age", changelog.FlushOptions{Bytes: 1 << 20, Tail: 100}, 30 * time.Second, true},
		{"younger than any default age", changelog.FlushOptions{Bytes: 1 << 20, Tail: 100}, 9 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.config.Flush = tt.flush
			s := w.restore()
			if s.FlushDue(w.now.Add(time.Hour)) {
				t.Error("due with nothing to write")
			}
			set(t, s, table("a"), "1")
			w.commit(s, 0)
			w.now = w.now.Add(tt.after)
			if due := s.FlushDue(w.now); due != tt.due {
				t.Errorf("FlushDue = %v, want %v", due, tt.due)
			}
			f, err := s.BeginFlush()
			must(t, err)
			if s.FlushDue(w.now.Add(time.Hour)) {
				t.Error("due while a flush is running")
			}
			if again, err := s.BeginFlush(); again != nil || err != nil {
				t.Errorf("a second flush began: %v", err)
			}
			if err := s.Close(false); err == nil {
				t.Error("Close while a flush is running")
			}
			s.EndFlush(f, f.Run())
			if s.FlushDue(w.now) {
				t.Error("due right after a flush")
			}
		})
	}
}

func TestAStoreIsAsOldAsTheLastCommit(t *testing.T) {
	w := filled(t)
	s := w.restore()
	w.commit(s, s.JoinPositions()[0].Offset)
	w.now = w.now.Add(6 * 24 * time.Hour) // asleep; the task may be another's since
	f, err := s.BeginFlush()
	must(t, err)
	s.EndFlush(f, f.Run())
	w.table.put([]byte(".b"), []byte("2")) // something to replay
	s = w.restart(s, false)
	if s.Wiped() == "" {
		t.Error("a store that may have missed deletions is used")
	}
	must(t, s.Close(false))
}

func TestAnIdleTaskSaysInTimeThatItsStoreIsUpToDate(t *testing.T) {
	w := filled(t)
	s := w.restore()
	for range 20 {
		w.now = w.now.Add(24 * time.Hour)
		if s.CommitDue(w.now) {
			w.commit(s, s.JoinPositions()[0].Offset)
		}
		if s.FlushDue(w.now) {
			f, err := s.BeginFlush()
			must(t, err)
			s.EndFlush(f, f.Run())
		}
	}
	w.table.put([]byte(".b"), []byte("2")) // something to replay
	s = w.restart(s, false)
	if s.Wiped() != "" || s.Replayed() == 0 {
		t.Errorf("wiped: %q, replayed %d", s.Wiped(), s.Replayed())
	}
	must(t, s.Close(false))
}

func TestAFailedFlushLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.config.DB = &failingDB{DB: w.db}
	s := w.restore()
	set(t, s, table(".a"), "1")
	w.commit(s, 0)
	f, err := s.BeginFlush()
	must(t, err)
	w.config.DB.(*failingDB).fail = true
	err = f.Run()
	if err == nil {
		t.Fatal("the store did not fail")
	}
	s.EndFlush(f, err)
	w.config.DB.(*failingDB).fail = false
	expect(t, s, "1:a=1")
	if n, _ := s.Table.Unflushed(); n != 1 {
		t.Errorf("%d keys are unflushed, want 1", n)
	}
	s = w.restart(s, true)
	if s.Replayed() != 0 {
		t.Errorf("replayed %d records", s.Replayed())
	}
	expect(t, s, "1:a=1")
	must(t, s.Close(false))
}

// failingDB gives out stores that refuse writes on demand.
type failingDB struct {
	state.DB
	fail bool
}

type failingStore struct {
	state.Store
	db *failingDB
}

func (d *failingDB) Open(name string) (state.Store, error) {
	s, err := d.DB.Open(name)
	return &failingStore{s, d}, err
}

func (s *failingStore) Apply(b *state.Batch) error {
	if s.db.fail {
		return errors.New("no space left on device")
	}
	return s.Store.Apply(b)
}

func TestAFlushStandsForThePositionsOfItsBegin(t *testing.T) {
	w := newWorld(t)
	s := w.restore()
	set(t, s, table(".a"), "1")
	w.commit(s, 0)
	f, err := s.BeginFlush()
	must(t, err)
	set(t, s, table(".a"), "2")
	w.commit(s, 0)
	s.EndFlush(f, f.Run())
	must(t, s.Close(false))

	st, err := w.db.Open("g/3")
	must(t, err)
	v, _, err := st.Get(table(".a"), nil)
	must(t, err)
	raw, _, err := st.Get(state.PositionsKey(nil), nil)
	must(t, err)
	p, err := changelog.ParsePositions(raw)
	must(t, err)
	if string(v) != "1" || p.Epoch != 1 {
		t.Errorf("the store holds %q of epoch %d", v, p.Epoch)
	}
	must(t, st.Close())
}

func TestCommitCopiesPositions(t *testing.T) {
	w := newWorld(t)
	s := w.restore()
	p := &changelog.Positions{Cluster: "c1", Inputs: []record.Position{{Topic: "in", Partition: 3, Offset: 5}}}
	s.Commit(p, nil)
	p.Inputs[0].Offset = 99
	if got := s.Positions().Inputs[0].Offset; got != 5 {
		t.Errorf("offset %d, want 5", got)
	}
	must(t, s.Close(false))
}

func TestAFlushIsDueAfterARestoreFromNothing(t *testing.T) {
	w := newWorld(t)
	s := w.restore()
	set(t, s, table("a"), "1")
	w.commit(s, 0)
	must(t, s.Close(false))
	s = w.restore()
	if s.Replayed() == 0 || !s.FlushDue(w.now) {
		t.Errorf("replayed %d and no flush is due", s.Replayed())
	}
	f, err := s.BeginFlush()
	must(t, err)
	s.EndFlush(f, f.Run())
	if s.FlushDue(w.now) {
		t.Error("due right after a flush")
	}
	must(t, s.Close(false))
}

// A process that crashes sooner after each start than a flush takes to be due
// would replay more and more, were age counted from the start.
func TestTheAgeOfAFlushIsCountedAcrossCrashes(t *testing.T) {
	w := newWorld(t)
	w.config.Flush.Age = 10 * time.Second
	s := w.restore()
	set(t, s, table("a"), "0")
	w.commit(s, 0)
	must(t, s.Close(true)) // the store is written
	s = w.restore()
	for i, due := range []bool{false, false, false, false, true, true} {
		set(t, s, table("a"), fmt.Sprint(i))
		w.commit(s, 0)
		w.now = w.now.Add(2 * time.Second)
		s = w.restart(s, false)
		if s.FlushDue(w.now) != due {
			t.Errorf("%d s after the last flush: FlushDue = %v", 2*(i+1), !due)
		}
	}
	must(t, s.Close(false))
	w.now = w.now.Add(-time.Hour) // a clock that was set back
	s = w.restore()
	if s.FlushDue(w.now) {
		t.Error("due after the clock was set back")
	}
	if !s.FlushDue(w.now.Add(10 * time.Second)) {
		t.Error("not due at its age after the clock was set back")
	}
	must(t, s.Close(false))
}
