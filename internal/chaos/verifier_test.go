package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// verifier reads input and output as any consumer of committed records does, and
// holds the one against the other while it goes: each input record is announced
// once, in the order of its key, with the fold of all before it.
type verifier struct {
	in, out string
	tasks   int32
	stalls  *stalls

	mu      sync.Mutex
	folds   []fold     // by key, of what was announced
	pending [][]uint64 // by key: input without output so far
	early   [][]announced
	last    []uint64 // by task: the number of the last input record
	read    []int64  // by task: input records
	seen    []int64  // by task: output records
	next    map[record.Partition]int64
	err     error
}

// announced is an output record.
type announced struct {
	key int
	fold
	at string
}

func newVerifier(in, out string, tasks int32, keys int, s *stalls) *verifier {
	return &verifier{
		in: in, out: out, tasks: tasks, stalls: s, folds: make([]fold, keys), pending: make([][]uint64, keys),
		early: make([][]announced, tasks), last: make([]uint64, tasks), read: make([]int64, tasks), seen: make([]int64, tasks),
		next: map[record.Partition]int64{},
	}
}

// follow reads both topics, which are new, until ctx ends or something is wrong.
func (v *verifier) follow(ctx context.Context, brokers []string, outs int32) error {
	from := map[string]map[int32]kgo.Offset{v.in: {}, v.out: {}}
	for p := range v.tasks {
		from[v.in][p] = kgo.NewOffset().AtStart()
	}
	for p := range outs {
		from[v.out][p] = kgo.NewOffset().AtStart()
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(from), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(250*time.Millisecond),
		// Without them the client remembers the epoch of the last record before a marker,
		// and takes the marker for lost when the leader changes.
		kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer cl.Close()
	for v.failure() == nil {
		fetched := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetched.Errors() {
			if errors.Is(e.Err, kerr.OffsetOutOfRange) {
				v.fail(fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err))
			}
		}
		v.take(fetched, time.Now())
	}
	return v.failure()
}

func (v *verifier) take(fetched kgo.Fetches, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	counts := make([]int64, v.tasks)
	fetched.EachRecord(func(r *kgo.Record) {
		at := record.Partition{Topic: r.Topic, Partition: r.Partition}
		if v.err != nil || r.Offset < v.next[at] {
			return // never twice: the client goes back where it thinks that a log has lost its end
		}
		v.next[at] = r.Offset + 1
		if r.Attrs.IsControl() {
			return
		}
		if r.Topic == v.in {
			v.err = v.input(r)
		} else {
			v.err = v.output(r, counts)
		}
	})
	for p, n := range counts {
		if n > 0 {
			v.seen[p] += n
			v.stalls.seen(int32(p), n, now)
		}
		if v.err == nil {
			v.err = v.settle(p)
		}
	}
}

// input notes a record. That their numbers rise, and that there are as many as the
// feeder has written, is proof that they are those.
func (v *verifier) input(r *kgo.Record) error {
	key, err := parseKey(r.Key, len(v.folds))
	if err != nil {
		return fmt.Errorf("%s: %w", place(r), err)
	}
	seq, err := parseSeq(r.Value)
	if err != nil {
		return fmt.Errorf("%s: %w", place(r), err)
	}
	if seq <= v.last[r.Partition] {
		return fmt.Errorf("%s: the feed is not exact: record %d after %d", place(r), seq, v.last[r.Partition])
	}
	v.last[r.Partition] = seq
	v.read[r.Partition]++
	v.pending[key] = append(v.pending[key], seq)
	return nil
}

func (v *verifier) output(r *kgo.Record, counts []int64) error {
	key, err := parseKey(r.Key, len(v.folds))
	if err != nil {
		return fmt.Errorf("%s: %w", place(r), err)
	}
	f, err := parseFold(r.Value)
	if err != nil {
		return fmt.Errorf("%s: %w", place(r), err)
	}
	task := record.FNV1a.Partition(r.Key, v.tasks)
	counts[task]++
	v.early[task] = append(v.early[task], announced{key, f, place(r)})
	return nil
}

// settle compares the output of a task as far as its input has been read.
func (v *verifier) settle(task int) error {
	out := v.early[task]
	for ; len(out) > 0; out = out[1:] {
		a := out[0]
		waiting := v.pending[a.key]
		if len(waiting) == 0 {
			break
		}
		want := v.folds[a.key].add(waiting[0])
		if a.fold != want {
			return fmt.Errorf("%s: key %s has fold %+v, want %+v (before it %+v, next record %d)", a.at, keyOf(a.key), a.fold, want, v.folds[a.key], waiting[0])
		}
		v.folds[a.key] = want
		if v.pending[a.key] = waiting[1:]; len(waiting) == 1 {
			v.pending[a.key] = nil
		}
	}
	if len(out) == 0 {
		out = nil
	}
	v.early[task] = out
	return nil
}

func place(r *kgo.Record) string { return fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset) }

func (v *verifier) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		v.err = err
	}
}

func (v *verifier) failure() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// whole reports whether all that was fed has been announced, and nothing else.
func (v *verifier) whole(fed []int64) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return false, v.err
	}
	done := true
	for p, n := range fed {
		if v.read[p] > n {
			return false, fmt.Errorf("the feed is not exact: %d records in partition %d, %d were fed", v.read[p], p, n)
		}
		if v.seen[p] > n {
			return false, fmt.Errorf("task %d has announced %d times, %d records were fed", p, v.seen[p], n)
		}
		done = done && v.read[p] == n && v.seen[p] == n && len(v.early[p]) == 0
	}
	return done, nil
}

// lacking says where output is owed.
func (v *verifier) lacking(fed []int64) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var s string
	for p, n := range fed {
		if v.read[p] != n || v.seen[p] != n || len(v.early[p]) > 0 {
			s += fmt.Sprintf("task %d: %d records fed, %d read, %d announced, of which %d before their input\n", p, n, v.read[p], v.seen[p], len(v.early[p]))
		}
	}
	return s
}

// table returns what the table must hold.
func (v *verifier) table() map[string]fold {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := map[string]fold{}
	for k, f := range v.folds {
		if f.N > 0 {
			m[string(keyOf(k))] = f
		}
	}
	return m
}

func TestTheVerifierSeesWhatIsWrong(t *testing.T) {
	in := func(seq uint64, key int) *kgo.Record {
		v, _ := seqCodec{}.Encode(seq)
		return &kgo.Record{Topic: "in", Key: keyOf(key), Value: v}
	}
	out := func(key int, f fold) *kgo.Record {
		v, _ := foldCodec{}.Encode(f)
		return &kgo.Record{Topic: "out", Key: keyOf(key), Value: v}
	}
	one := fold{}.add(1)
	two := one.add(2)
	for name, c := range map[string]struct {
		records []*kgo.Record
		good    bool
		whole   bool
	}{
		"exact":                      {[]*kgo.Record{in(1, 0), in(2, 0), out(0, one), out(0, two)}, true, true},
		"output read before input":   {[]*kgo.Record{out(0, one), in(1, 0), in(2, 0), out(0, two)}, true, true},
		"output that nobody fed":     {[]*kgo.Record{in(1, 0), in(2, 0), out(0, one), out(0, two), out(1, one)}, false, false},
		"one is missing":             {[]*kgo.Record{in(1, 0), in(2, 0), out(0, one)}, true, false},
		"one is twice":               {[]*kgo.Record{in(1, 0), in(2, 0), out(0, one), out(0, one)}, false, false},
		"one is left out":            {[]*kgo.Record{in(1, 0), in(2, 0), out(0, fold{}.add(2))}, false, false},
		"in another order":           {[]*kgo.Record{in(1, 0), in(2, 0), out(0, fold{}.add(2)), out(0, fold{}.add(2).add(1))}, false, false},
		"input that was fed twice":   {[]*kgo.Record{in(1, 0), in(1, 0)}, false, false},
		"input that nobody accounts": {[]*kgo.Record{in(1, 0), in(2, 0), in(3, 1), out(0, one), out(0, two), out(1, fold{}.add(3))}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier("in", "out", 1, 3, newStalls(1))
			for i, r := range c.records {
				r.Offset = int64(i)
				v.take(kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: r.Topic, Partitions: []kgo.FetchPartition{{Records: []*kgo.Record{r}}}}}}}, time.Now())
			}
			whole, err := v.whole([]int64{2})
			if (err == nil) != c.good || whole != c.whole {
				t.Errorf("whole %v, error %v", whole, err)
			}
		})
	}
}
