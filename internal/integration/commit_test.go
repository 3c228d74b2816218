package integration

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// on a broker that plays faults: what a commit can meet, and what it must come to.
func TestCommitsThatFailAreDoneAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault func(group string) kfake.Fault
		cause engine.AbortCause
		more  func(o *engine.Options)
	}{
		"a record is refused": {
			fault: func(group string) kfake.Fault {
				return kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: group + "-table", Err: kerr.InvalidRecord, Count: 3}
			},
			cause: engine.AbortProduce,
		},
		"the fence is stale": {
			fault: func(group string) kfake.Fault {
				return kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Group: group, Err: kerr.IllegalGeneration}
			},
			cause: engine.AbortStale,
			more:  func(o *engine.Options) { o.SessionTimeout = time.Second + time.Millisecond }, // no rebalance comes: it tries again
		},
		"the producer is fenced": {
			fault: func(group string) kfake.Fault {
				return kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.ProducerFenced, Count: 2}
			},
			cause: engine.AbortFenced,
		},
		"the outcome is unknown": {
			fault: func(group string) kfake.Fault {
				return kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError, Count: 2}
			},
			cause: engine.AbortUnknown,
		},
		"the transaction must be aborted": {
			fault: func(group string) kfake.Fault {
				return kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.TransactionAbortable, Count: 2}
			},
			cause: engine.AbortProduce,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, testenv.Fake(t))
			const n, keys = 1000, 50
			in, out, group := r.topic("in", 2), r.topic("out", 2), r.name("announce")
			o := r.oneWorker(t.TempDir())
			if c.more != nil {
				c.more(&o)
			}
			e := r.start(o, announcing(group, in, out))
			recs := numbers(in, n, keys)
			r.emit(recs[:n/2]...)
			r.processed(n/2, group, e)
			faults := r.env.Fake().Fault(c.fault(group))
			r.emit(recs[n/2:]...)
			r.processed(n, group, e)
			if faults.Hits() == 0 || stats(e, group).Aborts[c.cause] == 0 {
				t.Errorf("%d faults, aborts: %v", faults.Hits(), stats(e, group).Aborts)
			}
			r.stop(e)
			r.equal("table", r.table(group+"-table"), countsOf(n, keys))
			r.equal("output", r.announced(out), announcedBy(n, keys))
			r.settled(out)
		})
	}
}

// After an unknown outcome memory is rebuilt from the store and the log's tail, not
// from the whole changelog.
func TestAnUnknownOutcomeReplaysOnlyTheTail(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	const keys, tail = 3000, 40
	in, group, dir := r.topic("in", 2), r.name("count"), t.TempDir()
	e := r.start(r.oneWorker(dir), counting(group, in))
	r.emit(numbers(in, keys, keys)...)
	r.processed(keys, group, e)
	r.stop(e)
	e = r.start(r.oneWorker(dir), counting(group, in))
	r.running(e, group, 2)
	r.env.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError})
	r.emit(numbers(in, tail, tail)...)
	r.processed(keys+tail, group, e)
	s := stats(e, group)
	if s.Rebuilds == 0 || s.Aborts[engine.AbortUnknown] == 0 || s.ReplayedRecords > tail {
		t.Errorf("rebuilds %d, replayed %d, aborts %v", s.Rebuilds, s.ReplayedRecords, s.Aborts)
	}
	r.stop(e)
}

// Connections that break while commits are under way leave it open whether the
// broker has seen them, and whether they were answered.
func TestConnectionsThatBreakDuringCommits(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	const n, keys, breaks = 20_000, 90, 15
	in, out, group := r.topic("in", 3), r.topic("out", 3), r.name("announce")
	e := r.start(r.fast(t.TempDir()), announcing(group, in, out))
	finish := r.feed(numbers(in, n, keys))
	for range breaks {
		seen := r.env.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Observe: true, Count: 3})
		ctx, cancel := context.WithTimeout(r.ctx, patience)
		if err := seen.Wait(ctx, 3); err != nil {
			t.Fatal(err)
		}
		cancel()
		seen.Remove()
		r.env.Restart(1)
	}
	finish()
	r.processed(n, group, e)
	r.stop(e)
	r.equal("table", r.table(group+"-table"), countsOf(n, keys))
	r.equal("output", r.announced(out), announcedBy(n, keys))
	r.settled(out)
}

// A broker that stands still for longer than transactions and sessions last loses
// and doubles nothing.
func TestBrokersThatFreeze(t *testing.T) {
	t.Parallel()
	for _, k := range []testenv.Kind{testenv.KFake, testenv.KafkaTV2, testenv.KafkaTV1} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			// A broker that is fenced for its silence has no leader for a moment, see below.
			patient := map[string]string{"broker.session.timeout.ms": "60000"}
			newRig(t, cluster(t, k, testenv.Options{Properties: patient})).through(func(r *rig, progress func()) {
				r.env.Stop(1)
				r.pass(3 * time.Second)
				r.env.Cont(1)
				progress()
			})
		})
	}
}

// Brokers that die and come back, one after the other, lose and double nothing.
//
// Three of them: a single real broker that is killed may drop the markers of a
// commit that it has promised, because at its restart its partitions have no leader
// for a moment and its coordinator takes them for deleted ("Couldn't find leader
// endpoint … can be skipped"). No client can mend that.
func TestBrokersThatDie(t *testing.T) {
	t.Parallel()
	for k, nodes := range map[testenv.Kind]int{testenv.KFake: 1, testenv.KafkaTV2: 3} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			newRig(t, cluster(t, k, testenv.Options{Nodes: nodes})).through(func(r *rig, progress func()) {
				for i := range 2 {
					r.env.Kill(i%nodes + 1)
					if nodes > 1 {
						progress()
					}
					r.env.Restart(i%nodes + 1)
					progress()
				}
			})
		})
	}
}

// cluster starts a cluster of the test's own.
func cluster(t *testing.T, k testenv.Kind, o testenv.Options) *testenv.Cluster {
	if !k.Real() {
		return testenv.Fake(t)
	}
	o.TransactionVersion = int(k.TransactionVersion())
	return testenv.Kafka(t, o)
}

// through runs a group through trouble under a feed.
func (r *rig) through(trouble func(r *rig, progress func())) {
	r.t.Helper()
	const n, keys = 6000, 70
	in, out, group := r.topic("in", 3), r.topic("out", 3), r.name("announce")
	o := r.fast(r.t.TempDir())
	o.TransactionTimeout, o.SessionTimeout = 2*time.Second, 2*time.Second
	e := r.start(o, announcing(group, in, out))
	finish := r.feed(numbers(in, n, keys))
	progress := func() {
		r.t.Helper()
		before := stats(e, group).Commits
		r.until("progress", func() bool { return stats(e, group).Commits > before })
	}
	progress()
	trouble(r, progress)
	finish()
	taken := r.read(in) // the feed itself may have written a record twice
	r.processed(int64(len(taken)), group, e)
	r.stop(e)
	table, output := foldOf(taken)
	r.equal("table", r.table(group+"-table"), table)
	r.equal("output", r.announced(out), output)
	r.settled(out, group+"-table", group+"-state")
}

// foldOf is the naive fold of records: the counts, and every count that was emitted.
func foldOf(rs []record.Record) (table, output map[string]string) {
	all := map[string][]string{}
	table = map[string]string{}
	for _, x := range rs {
		k := string(x.Key)
		all[k] = append(all[k], strconv.Itoa(len(all[k])+1))
		table[k] = strconv.Itoa(len(all[k]))
	}
	return table, joined(all)
}

// pass lets time pass at the brokers.
func (r *rig) pass(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}
