package changelog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
)

const (
	tableTopic = "g-table"
	stateTopic = "g-state"
	joinTopic  = "people"
)

// world is one task with its logs, its disk and its clock.
type world struct {
	t       *testing.T
	cluster *fakeCluster
	table   *fakeLog
	state   *fakeLog
	join    *fakeLog
	db      state.DB
	now     time.Time
	log     bytes.Buffer
	config  changelog.Config
	epoch   uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, cluster: newCluster(), db: state.NewMemory(), now: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}
	w.table = w.cluster.create(tableTopic, 3, 1)
	w.state = w.cluster.create(stateTopic, 3, 2)
	w.join = w.cluster.create(joinTopic, 3, 3)
	w.config = changelog.Config{
		Store: "g/3", DB: w.db, Cluster: "c1", Partition: 3,
		TableTopic: tableTopic, StateTopic: stateTopic, JoinTopics: []string{joinTopic},
		DeleteRetention: 7 * 24 * time.Hour,
		Clock:           func() time.Time { return w.now },
		Logs:            w.cluster,
		Log:             slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) restore() *changelog.State {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	s, err := changelog.Restore(ctx, w.config)
	must(w.t, err)
	return s
}

// restart closes the state as a crash would, or with a flush, and restores.
func (w *world) restart(s *changelog.State, flush bool) *changelog.State {
	w.t.Helper()
	must(w.t, s.Close(flush))
	return w.restore()
}

// commit writes what the open transaction has changed to the logs, with positions
// and markers, and commits.
func (w *world) commit(s *changelog.State, join int64) {
	w.t.Helper()
	must(w.t, s.EachChange(func(topic string, key, value []byte, _ int64) error {
		w.logOf(topic).put(bytes.Clone(key), bytes.Clone(value))
		return nil
	}))
	w.epoch++
	p := &changelog.Positions{Cluster: "c1", Fingerprint: "f", Epoch: w.epoch, Inputs: []record.Position{
		{Cluster: "c1", Topic: "in", Partition: 3, Offset: int64(w.epoch) * 10},
		{Cluster: "c1", Topic: joinTopic, TopicID: w.join.ends.TopicID, Partition: 3, Offset: join},
	}}
	w.state.put(changelog.PositionsKey(), p.Append(nil))
	ends := []record.Position{
		{Topic: tableTopic, Partition: 3, Offset: w.table.ends.HighWatermark, LeaderEpoch: -1},
		{Topic: stateTopic, Partition: 3, Offset: w.state.ends.HighWatermark, LeaderEpoch: -1},
	}
	w.table.marker()
	w.state.marker()
	s.Commit(p, ends)
}

func (w *world) logOf(topic string) *fakeLog {
	return w.cluster.logs[record.Partition{Topic: topic, Partition: 3}]
}

func set(t *testing.T, s *changelog.State, key []byte, value string) {
	t.Helper()
	must(t, s.Table.Set(key, []byte(value)))
}

func table(key string) []byte { return state.TableKey(nil, []byte(key)) }
func named(key string) []byte { return state.NamedKey(nil, "store", []byte(key)) }
func join(key string) []byte  { return state.JoinKey(nil, joinTopic, []byte(key)) }

// content lists the task's keys as "kind:key=value".
func content(t *testing.T, s *changelog.State) []string {
	t.Helper()
	it, err := s.Table.Scan(state.Range{From: []byte{state.KindTable}, To: []byte{state.KindPositions}})
	must(t, err)
	var got []string
	for it.Next() {
		k := it.Key()
		name := k[bytes.LastIndexByte(k, '.')+1:]
		got = append(got, fmt.Sprintf("%d:%s=%s", k[0], name, it.Value()))
	}
	must(t, it.Close())
	return got
}

func expect(t *testing.T, s *changelog.State, want ...string) {
	t.Helper()
	if got := content(t, s); !slices.Equal(got, want) {
		t.Errorf("content %q, want %q", got, want)
	}
}

func TestANewTaskIsEmptyAndHasNoPositions(t *testing.T) {
	w := newWorld(t)
	s := w.restore()
	if s.Positions() != nil || s.Replayed() != 0 || s.Wiped() != "" {
		t.Errorf("positions %v, replayed %d, wiped %q", s.Positions(), s.Replayed(), s.Wiped())
	}
	expect(t, s)
	must(t, s.Close(true))
}

func TestARestoredTaskEqualsOneThatNeverCrashed(t *testing.T) {
	for _, flush := range []bool{false, true} {
		t.Run(fmt.Sprint("flush ", flush), func(t *testing.T) {
			w := newWorld(t)
			w.join.put([]byte(".j1"), []byte("ann"))
			s := w.restore()
			expect(t, s, "3:j1=ann")
			set(t, s, table(".a"), "1")
			set(t, s, table(".b"), "1")
			set(t, s, named(".n"), "x")
			w.commit(s, 1)
			must(t, s.Table.Delete(table(".b")))
			set(t, s, table(".c"), "")
			w.commit(s, 1)
			set(t, s, table(".a"), "lost with the crash")
			s.Abort()
			want := []string{"1:a=1", "1:c=", "2:n=x", "3:j1=ann"}
			expect(t, s, want...)

			s = w.restart(s, flush)
			expect(t, s, want...)
			if p := s.Positions(); p == nil || p.Epoch != 2 || p.Inputs[0].Offset != 20 {
				t.Errorf("positions %+v", p)
			}
			if flush != (s.Replayed() == 0) {
				t.Errorf("replayed %d records", s.Replayed())
			}
			if s.Wiped() != "" {
				t.Errorf("wiped: %s", s.Wiped())
			}
			must(t, s.Close(false))
		})
	}
}

func TestOnlyTheTailIsReplayedAfterACrash(t *testing.T) {
	w := newWorld(t)
	s := w.restore()
	for i := range 50 {
		set(t, s, table(fmt.Sprint(".", i)), "x")
	}
	w.commit(s, 0)
	f, err := s.BeginFlush()
	must(t, err)
	set(t, s, table(".later"), "y")
	w.commit(s, 0) // while the flush runs
	err = f.Run()
	s.EndFlush(f, err)
	must(t, err)

	s = w.restart(s, false)
	if s.Replayed() != 2 { // the key and the positions
		t.Errorf("replayed %d records, want 2", s.Replayed())
	}
	if n := len(content(t, s)); n != 51 {
		t.Errorf("%d keys, want 51", n)
	}
	must(t, s.Close(false))
}

// filled is a world whose store has been flushed after two commits.
func filled(t *testing.T) *world {
	w := newWorld(t)
	w.join.put([]byte(".j1"), []byte("ann"))
	w.join.put([]byte(".j2"), []byte("bob"))
	s := w.restore()
	set(t, s, table(".a"), "1")
	w.commit(s, 2)
	set(t, s, named(".n"), "2")
	w.commit(s, 2)
	must(t, s.Close(true))
	return w
}

func TestAStoreThatDoesNotFitItsLogsIsWipedAndRebuilt(t *testing.T) {
	want := []string{"1:a=1", "2:n=2", "3:j1=ann", "3:j2=bob"}
	tests := []struct {
		name  string
		spoil func(w *world)
		why   string
	}{
		{"too old for the deletions", func(w *world) { w.now = w.now.Add(4 * 24 * time.Hour) }, "more than half"},
		{"table recreated", func(w *world) { w.table.ends.TopicID = record.TopicID{9} }, "created again"},
		{"state topic recreated", func(w *world) { w.state.ends.TopicID = record.TopicID{9} }, "created again"},
		{"position beyond the log", func(w *world) {
			w.table.records, w.table.ends.HighWatermark = nil, 0
			w.table.put([]byte(".a"), []byte("1"))
			w.table.ends.HighWatermark = 1
			w.setMeta(func(pos []record.Position) { pos[0].Offset = 5 })
		}, "beyond the log"},
		{"log start behind the position", func(w *world) {
			w.setMeta(func(pos []record.Position) { pos[0].Offset = 0 })
			w.table.ends.Start = 1
			w.table.records[0].Offset = 1
		}, "before the log"},
		{"leader epoch beyond the log's", func(w *world) {
			w.setMeta(func(pos []record.Position) { pos[1].LeaderEpoch = 8 })
		}, "leader epoch"},
		{"log truncated by another leader", func(w *world) {
			w.setMeta(func(pos []record.Position) { pos[1].LeaderEpoch = 2 })
			w.state.epochEnd = map[int32]int64{2: 1}
		}, "has lost"},
		{"join topic is not followed any more", func(w *world) {
			w.setMeta(func(pos []record.Position) { pos[0].Topic = "other" })
		}, "no longer has"},
		{"written in the future", func(w *world) { w.now = w.now.Add(-48 * time.Hour) }, "clock"},
		{"keys without meta", func(w *world) {
			w.write(func(b *state.Batch) { b.Delete([]byte{state.KindMeta}) })
		}, "does not say"},
		{"corrupt meta", func(w *world) {
			w.write(func(b *state.Batch) { b.Set([]byte{state.KindMeta}, []byte("kSto\x01x")) })
		}, "meta record"},
		{"newer meta", func(w *world) {
			w.write(func(b *state.Batch) { b.Set([]byte{state.KindMeta}, []byte("kSto\x02")) })
		}, "newer version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := filled(t)
			w.write(func(b *state.Batch) { b.Set(table(".deleted long ago"), []byte("back")) })
			tt.spoil(w)
			s := w.restore()
			if !strings.Contains(s.Wiped(), tt.why) || !strings.Contains(w.log.String(), "level=WARN") {
				t.Errorf("wiped: %q, log: %s", s.Wiped(), w.log.String())
			}
			expect(t, s, want...)
			must(t, s.Close(true))
			s = w.restore()
			if s.Wiped() != "" || s.Replayed() != 0 {
				t.Errorf("the rebuilt store: wiped %q, replayed %d", s.Wiped(), s.Replayed())
			}
			must(t, s.Close(false))
		})
	}
}

func TestAStoreOfAnotherClusterIsWiped(t *testing.T) {
	w := filled(t)
	w.config.Cluster = "c2"
	w.state.records = nil // its positions would be an error
	s := w.restore()
	if !strings.Contains(s.Wiped(), `cluster "c1"`) {
		t.Errorf("wiped: %q", s.Wiped())
	}
	must(t, s.Close(false))
}

func TestPositionsOfAnotherClusterAreAnError(t *testing.T) {
	w := filled(t)
	w.config.Cluster = "c2"
	_, err := changelog.Restore(t.Context(), w.config)
	if err == nil || !strings.Contains(err.Error(), `cluster "c1"`) {
		t.Fatalf("Restore: %v", err)
	}
	s, err := w.db.Open("g/3") // it was closed
	must(t, err)
	must(t, s.Close())
}

// write changes the local store behind the state's back.
func (w *world) write(fn func(b *state.Batch)) {
	w.t.Helper()
	s, err := w.db.Open("g/3")
	must(w.t, err)
	var b state.Batch
	fn(&b)
	must(w.t, s.Apply(&b))
	must(w.t, s.Close())
}

// setMeta edits the log positions in the local meta record.
func (w *world) setMeta(edit func(logs []record.Position)) {
	w.t.Helper()
	s, err := w.db.Open("g/3")
	must(w.t, err)
	v, found, err := s.Get([]byte{state.KindMeta}, nil)
	must(w.t, err)
	if !found {
		w.t.Fatal("no meta record")
	}
	must(w.t, s.Close())
	v, err = changelog.EditMeta(v, edit)
	must(w.t, err)
	w.write(func(b *state.Batch) { b.Set([]byte{state.KindMeta}, v) })
}

func TestALogThatLosesThePositionDuringTheReplayIsReadAgain(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.table.put(fmt.Appendf(nil, ".%02d", i), []byte("x"))
	}
	cut := false
	w.cluster.onNext = func(p record.Partition, at int64) {
		if p.Topic == tableTopic && at >= 10 && !cut {
			cut = true
			w.table.truncateBefore(20)
		}
	}
	s := w.restore()
	if got := content(t, s); len(got) != 10 || got[0] != "1:20=x" {
		t.Errorf("content %q", got)
	}
	if !strings.Contains(s.Wiped(), "no longer has") {
		t.Errorf("wiped: %q", s.Wiped())
	}
	must(t, s.Close(false))
}

func TestARestoreThatNeverFitsGivesUp(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		w.table.put([]byte("k"), []byte("x"))
	}
	w.cluster.onNext = func(p record.Partition, at int64) { w.table.truncateBefore(at + 1) }
	_, err := changelog.Restore(t.Context(), w.config)
	if err == nil || !strings.Contains(err.Error(), "gave up") {
		t.Fatalf("Restore: %v", err)
	}
}

func TestJoinsAreRestoredToTheirCommittedPosition(t *testing.T) {
	w := newWorld(t)
	w.join.put([]byte(".a"), []byte("1"))
	w.join.put([]byte(".a"), []byte("2"))
	w.join.put([]byte(".a"), []byte("3"))
	s := w.restore()
	expect(t, s, "3:a=3") // never committed: to the end
	if got := s.JoinPositions(); len(got) != 1 || got[0].Offset != 3 {
		t.Errorf("join positions %v", got)
	}
	w.commit(s, 2)
	s = w.restart(s, false)
	expect(t, s, "3:a=2")
	if got := s.JoinPositions(); got[0].Offset != 2 {
		t.Errorf("join positions %v", got)
	}
	must(t, s.Close(false))
}

func TestAJoinTopicMayGrowWhileTheTaskGoesOnElsewhere(t *testing.T) {
	w := newWorld(t)
	w.join.put([]byte(".a"), []byte("1"))
	owner := w.restore()
	w.commit(owner, 1)
	w.cluster.onNext = func(record.Partition, int64) {
		w.cluster.onNext = nil
		w.join.put([]byte(".a"), []byte("2"))
		w.commit(owner, 2)
	}
	w.config.Store = "late/3"
	s := w.restore()
	expect(t, s, "3:a=2")
	must(t, s.Close(false))
	must(t, owner.Close(false))
}

func TestAJoinLogThatBeginsBehindTheCommittedPositionIsTakenAsItIs(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.join.put([]byte(".a"), []byte("1"))
	}
	s := w.restore()
	w.commit(s, 2)
	must(t, s.Close(false))
	w.join.truncateBefore(4)
	s = w.restore()
	expect(t, s)
	if got := s.JoinPositions(); got[0].Offset != 4 {
		t.Errorf("join positions %v", got)
	}
	must(t, s.Close(false))
}

func TestAJoinTopicThatCannotBeFollowedIsAnError(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(w *world)
		is    error
	}{
		{"recreated", func(w *world) { w.join.ends.TopicID = record.TopicID{9} }, record.ErrRecreated},
		{"lost records", func(w *world) {
			w.join.records, w.join.ends.HighWatermark = w.join.records[:1], 1
		}, nil},
		{"deleted", func(w *world) { delete(w.cluster.logs, record.Partition{Topic: joinTopic, Partition: 3}) }, record.ErrUnknownTopic},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := filled(t)
			tt.spoil(w)
			_, err := changelog.Restore(t.Context(), w.config)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), joinTopic) {
				t.Fatalf("Restore: %v", err)
			}
		})
	}
}

func TestAJoinAheadOfTheCommittedPositionIsWiped(t *testing.T) {
	w := newWorld(t)
	w.config.Flush.Bytes = 1 // flushes during the restore
	w.join.put([]byte(".a"), []byte("1"))
	w.join.put([]byte(".a"), []byte("2"))
	s := w.restore()
	must(t, s.Close(true)) // at 2, never committed
	w.epoch = 1
	p := &changelog.Positions{Cluster: "c1", Inputs: []record.Position{{Topic: joinTopic, Partition: 3, Offset: 1}}}
	w.state.put(changelog.PositionsKey(), p.Append(nil))
	s = w.restore()
	expect(t, s, "3:a=1")
	if !strings.Contains(s.Wiped(), "beyond what the task has committed") {
		t.Errorf("wiped: %q", s.Wiped())
	}
	must(t, s.Close(false))
}

func TestARestoreLargerThanMemoryFlushesOnItsWay(t *testing.T) {
	w := newWorld(t)
	w.cluster.batch = 500
	for i := range 20_000 {
		w.table.put(fmt.Appendf(nil, ".%06d", i), bytes.Repeat([]byte("v"), 50))
	}
	w.table.put([]byte(".000000"), nil)
	w.config.Table.MemoryBytes = 256 << 10
	var seen []changelog.Progress
	w.config.OnProgress = func(p changelog.Progress) { seen = append(seen, p) }
	s := w.restore()
	if st := s.Table.Stats(); st.Bytes > 2*st.Limit {
		t.Errorf("%d bytes in memory, the limit is %d", st.Bytes, st.Limit)
	}
	if n := len(content(t, s)); n != 19_999 {
		t.Errorf("%d keys, want 19,999", n)
	}
	last := seen[0]
	if last.Partition.Topic != tableTopic || !last.Done || last.Next != 20_001 || last.To != 20_001 || last.Records != 20_001 {
		t.Errorf("progress %+v", last)
	}
	// What was flushed on the way is not replayed again.
	must(t, s.Close(false))
	s = w.restore()
	if s.Replayed() == 0 || s.Replayed() > 10_000 {
		t.Errorf("replayed %d records", s.Replayed())
	}
	must(t, s.Close(false))
}

func TestProgressTellsRateAndETA(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		w.table.put([]byte("k"), []byte("v"))
	}
	w.cluster.batch = 10
	w.cluster.onNext = func(record.Partition, int64) { w.now = w.now.Add(time.Second) }
	var first changelog.Progress
	w.config.OnProgress = func(p changelog.Progress) {
		if first.Records == 0 {
			first = p
		}
	}
	must(t, w.restore().Close(false))
	if first.Rate != 10 || first.ETA != 9*time.Second || first.Done {
		t.Errorf("progress %+v", first)
	}
}

func TestARecordThatIsNoTablesIsAnError(t *testing.T) {
	for _, tt := range []struct {
		name string
		put  func(w *world)
		want string
	}{
		{"no key", func(w *world) { w.table.put(nil, []byte("v")) }, "no key"},
		{"unknown kind", func(w *world) { w.state.put([]byte{1, 0x77}, []byte("v")) }, "newer"},
		{"unknown version", func(w *world) { w.state.put([]byte{2, state.KindStore}, []byte("v")) }, "newer"},
		{"broken positions", func(w *world) { w.state.put(changelog.PositionsKey(), []byte("v")) }, "positions record"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.put(w)
			_, err := changelog.Restore(t.Context(), w.config)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Restore: %v", err)
			}
		})
	}
}

func TestARestoreEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		w.table.put([]byte("k"), []byte("v"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.cluster.onNext = func(_ record.Partition, at int64) {
		if at > 50 {
			cancel()
		}
	}
	if _, err := changelog.Restore(ctx, w.config); !errors.Is(err, context.Canceled) {
		t.Fatalf("Restore: %v", err)
	}
	w.cluster.onNext = nil
	must(t, w.restore().Close(false)) // the store was given back
}
