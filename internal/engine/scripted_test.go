package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// scripted is a worker of group g whose surroundings are a script: events go in by
// name, effects come out as text. Its group counts the records of topic in per key;
// the values "emit", "panic" and "defer" do that, too.
type scripted struct {
	t         *testing.T
	plan      *topology.Plan
	w         *worker
	now       time.Time
	epoch     uint64
	said      []string
	committed scriptLog           // what restores find
	open      []kafka.Out         // produced in the open transaction
	next      map[int32]int64     // of the input
	restores  map[int32]doRestore // the last asked for
	seeks     map[int32]uint64    // epoch of the last seek
	stores    map[int32]doStore   // the last begun
	release   []func(error)       // of deferred commits
}

func newScripted(t *testing.T) *scripted {
	s := &scripted{
		t: t, now: time.UnixMilli(0), committed: scriptLog{}, next: map[int32]int64{},
		restores: map[int32]doRestore{}, seeks: map[int32]uint64{}, stores: map[int32]doStore{},
	}
	plan, err := topology.Group("g",
		topology.Input("in", new(gcodec.String), s.process),
		topology.Persist(new(gcodec.Int64)),
		topology.Output("out", new(gcodec.String)),
		topology.Visitor("raise", func(ctx goka.Context, meta any) { ctx.SetValue(ctx.Value().(int64) + 100) }),
	).Build()
	if err != nil {
		t.Fatal(err)
	}
	s.plan = plan
	s.w = newWorker(workerConfig{
		plan: plan, commitInterval: 100 * time.Millisecond, batchBytes: 1000, overlayBytes: 1 << 20,
		txnTimeout: 10 * time.Second, fenceWait: 2 * time.Second, partitions: map[string]int32{"out": 1},
		produce:   s.produce,
		nextEpoch: func() uint64 { s.epoch++; return s.epoch },
	})
	return s
}

func (s *scripted) process(ctx goka.Context, msg any) {
	n, _ := ctx.Value().(int64)
	ctx.SetValue(n + 1)
	switch msg {
	case "emit":
		ctx.Emit("out", ctx.Key(), fmt.Sprint(n+1))
	case "panic":
		panic("powder")
	case "defer":
		s.release = append(s.release, ctx.DeferCommit())
	}
}

func (s *scripted) produce(o *kafka.Out) {
	c := *o
	c.Key, c.Value = slices.Clone(o.Key), slices.Clone(o.Value)
	s.open = append(s.open, c)
	what := fmt.Sprintf("%s=%s", o.Key, o.Value)
	if o.Topic == s.plan.StateTopic {
		p, err := changelog.ParsePositions(o.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		what = fmt.Sprintf("positions %v processed=%d", p.Inputs, p.Counts[record.Processed])
	}
	if o.Track {
		what += " (tracked)"
	}
	s.say("  produce %s/%d %s", o.Topic, o.Partition, what)
}

// command carries out one line of a script.
func (s *scripted) command(name string, args []string) {
	s.t.Helper()
	switch name {
	case "start":
		s.show(s.w.start())
	case "tick":
		s.tick(args)
	case "state":
		s.state()
	case "batch":
		s.step(s.batch(args))
	case "inputerror":
		p := s.task(args[0])
		s.step(evInputError{record.Partition{Topic: "in", Partition: p}, s.seeks[p], errors.New(strings.Join(args[1:], " "))})
	case "past":
		s.w.cfg.past = args
	case "end":
		p := s.task(args[0])
		s.step(evInputEnd{record.Partition{Topic: "in", Partition: p}, s.seeks[p]})
	case "assign":
		s.step(s.assigned(args))
	case "revoke":
		s.step(evRevoked{s.taskList(args), func() { s.say("  revoke acknowledged") }})
	case "lost":
		s.step(evLost{s.taskList(args)})
	case "drain":
		s.step(evDrain{})
	case "visit":
		s.step(evVisit{&s.plan.Visitors[0], nil, func(keys int64, err error) { s.say("  visited %d: %v", keys, err) }})
	case "release":
		s.releaseDeferred(args)
	default:
		s.answer(name, args)
	}
}

// answer carries out a line that answers an effect.
func (s *scripted) answer(name string, args []string) {
	s.t.Helper()
	switch name {
	case "restored":
		s.step(s.restored(args))
	case "stored":
		d := s.stores[s.task(args[0])]
		err := d.flush.Run()
		if len(args) > 1 {
			err = errors.New(strings.Join(args[1:], " "))
		}
		s.step(evStored{d.partition, d.state, d.flush, err})
	case "init":
		s.step(evInit{s.result(args)})
	case "rebuilt":
		s.step(evRebuilt{})
	case "flushed":
		s.step(s.flushed(args))
	case "offsets":
		s.step(evOffsets{s.result(args)})
	case "ended":
		s.ended(args)
	default:
		s.t.Fatalf("unknown command %q", name)
	}
}

func (s *scripted) step(e event) { s.show(s.w.step(s.now, e)) }

// tick lets time pass, and then the worker look, as often as it is busy.
func (s *scripted) tick(args []string) {
	if len(args) > 0 {
		d, err := time.ParseDuration(args[0])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	}
	s.step(evTick{})
	for s.w.busy(s.now) {
		s.step(evTick{})
	}
}

func (s *scripted) task(word string) int32 {
	n, err := strconv.Atoi(word)
	if err != nil {
		s.t.Fatal(err)
	}
	return int32(n)
}

func (s *scripted) taskList(args []string) (out []int32) {
	for _, a := range args {
		out = append(out, s.task(a))
	}
	return out
}

// assigned is "assign GENERATION TASK…".
func (s *scripted) assigned(args []string) event {
	e := evAssigned{fence: kafka.Fence{Group: "g", Member: "m", Generation: s.task(args[0])}}
	for _, p := range s.taskList(args[1:]) {
		e.tasks = append(e.tasks, kafka.TaskTopics{Task: p, Topics: []string{"in"}})
	}
	return e
}

// batch is "batch TASK KEY[:VALUE]… [next=OFFSET]": records as fetched.
func (s *scripted) batch(args []string) event {
	p := s.task(args[0])
	b := &evBatch{part: record.Partition{Topic: "in", Partition: p}, epoch: s.seeks[p], release: func() { s.say("  release batch of in/%d", p) }}
	next := s.next[p]
	for _, a := range args[1:] {
		if offset, ok := strings.CutPrefix(a, "next="); ok {
			next = int64(s.task(offset))
			continue
		}
		key, value, _ := strings.Cut(a, ":")
		b.records = append(b.records, record.Record{Topic: "in", Partition: p, Offset: next, Timestamp: 1, Key: []byte(key), Value: []byte(value)})
		b.bytes += 100
		next++
	}
	b.next, s.next[p] = next, next
	return b
}

// restored is "restored TASK [ERROR]": the last restore asked for is done, and has
// found what was committed.
func (s *scripted) restored(args []string) event {
	r := s.restores[s.task(args[0])]
	if len(args) > 1 {
		return evRestored{r.partition, r.epoch, nil, errors.New(strings.Join(args[1:], " "))}
	}
	st, err := changelog.Restore(context.Background(), changelog.Config{
		Store: fmt.Sprintf("g/%d", r.partition), DB: state.NewMemory(), Cluster: "c", Partition: r.partition,
		TableTopic: s.plan.Table.Topic, StateTopic: s.plan.StateTopic, Logs: s.committed,
		Clock: func() time.Time { return s.now }, Flush: changelog.FlushOptions{Age: 5 * time.Second},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	core, err := task.New(task.Config{Plan: s.plan, Partition: r.partition, Cluster: "c", State: st})
	if err != nil {
		s.t.Fatal(err)
	}
	s.next[r.partition] = core.Next("in")
	return evRestored{r.partition, r.epoch, core, nil}
}

// result is an outcome's name.
func (s *scripted) result(args []string) kafka.Result {
	for _, o := range []kafka.Outcome{kafka.OK, kafka.Retry, kafka.Stale, kafka.Fenced, kafka.Aborted, kafka.Unknown, kafka.Fatal} {
		if o.String() != args[0] {
			continue
		}
		if o == kafka.OK {
			return kafka.Result{}
		}
		return kafka.Result{Outcome: o, Err: errors.New("as scripted")}
	}
	s.t.Fatalf("no outcome %q", args[0])
	return kafka.Result{}
}

func (s *scripted) flushed(args []string) event {
	e := evFlushed{Result: s.result(args)}
	ends := map[record.Partition]int64{}
	for _, o := range s.open {
		p := record.Partition{Topic: o.Topic, Partition: o.Partition}
		if _, ok := ends[p]; !ok {
			ends[p] = int64(len(s.committed[p]))
		}
		ends[p]++
		if o.Track {
			e.acks = append(e.acks, record.Position{Cluster: "c", Topic: p.Topic, Partition: p.Partition, Offset: ends[p], LeaderEpoch: -1})
		}
	}
	return e
}

// ended is "ended OUTCOME [committed]": where the outcome does not say so itself,
// whether the broker has committed.
func (s *scripted) ended(args []string) {
	r := s.result(args)
	if s.w.await == awaitCommit && (r.Outcome == kafka.OK || len(args) > 1) {
		for _, o := range s.open {
			p := record.Partition{Topic: o.Topic, Partition: o.Partition}
			s.committed[p] = append(s.committed[p], record.Record{Topic: o.Topic, Partition: o.Partition, Offset: int64(len(s.committed[p])), Key: o.Key, Value: o.Value, Timestamp: o.Timestamp, LeaderEpoch: -1})
		}
	}
	s.open = nil
	s.step(evEnded{r})
}

func (s *scripted) releaseDeferred(args []string) {
	var err error
	if len(args) > 0 {
		err = errors.New(strings.Join(args, " "))
	}
	for _, release := range s.release {
		release(err)
	}
	s.release = nil
}

// state says how the worker stands.
func (s *scripted) state() {
	f := &s.w.figures
	s.say("  fence %d, %d commits, %d rebuilds, wakes in %v", s.w.fence.Generation, f.commits, f.rebuilds, s.w.wake(s.now).Sub(s.now))
	for _, c := range AbortCauses() {
		if f.aborts[c] > 0 {
			s.say("  %d aborts: %s", f.aborts[c], c)
		}
	}
	for _, p := range s.w.order {
		h := s.w.task(p)
		line := fmt.Sprintf("  task %d %s", p, h.phase)
		if h.core != nil {
			line += fmt.Sprintf(" at %d, %d processed", h.core.Next("in"), h.core.Committed()[record.Processed])
		}
		s.say("%s", line)
	}
}

// show notes effects, and runs those that are functions.
func (s *scripted) show(effects []effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case doRestore:
			s.restores[e.partition] = e
			s.say("  restore %d, epoch %d", e.partition, e.epoch)
		case doSeek:
			for _, k := range e.seeks {
				s.seeks[k.Partition.Partition], s.next[k.Partition.Partition] = k.Epoch, k.Offset
				s.say("  seek %s@%d, epoch %d", k.Partition, k.Offset, k.Epoch)
			}
		case doStore:
			s.stores[e.partition] = e
			s.say("  store %d", e.partition)
		case doCall:
			e.fn()
		default:
			s.say("  %s", effectText(e))
		}
	}
}

func effectText(e effect) string {
	switch e := e.(type) {
	case doInit:
		return fmt.Sprintf("init after %v", e.wait)
	case doRebuild:
		return fmt.Sprintf("rebuild after %v", e.wait)
	case doFlush:
		return "flush"
	case doOffsets:
		return fmt.Sprintf("offsets %v under fence %d", e.positions, e.fence.Generation)
	case doEnd:
		return map[bool]string{true: "commit", false: "abort"}[e.commit]
	case doReady:
		return "ready"
	case doStop:
		return fmt.Sprintf("stop %v", e.parts)
	case doClose:
		return fmt.Sprintf("close %d, flush %v", e.partition, e.flush)
	case doAbandon:
		return fmt.Sprintf("abandon the restore of %d, epoch %d", e.partition, e.epoch)
	case doTaskFailed:
		text, _, _ := strings.Cut(e.err.Error(), "\n")
		return fmt.Sprintf("task %d failed: %s", e.partition, text)
	case doNote:
		return "note " + e.Result.String()
	case doFatal:
		return "fatal: " + e.err.Error()
	case doStopped:
		return "stopped"
	}
	return fmt.Sprintf("%T %+v", e, e)
}

// scriptLog holds what was committed, by partition.
type scriptLog map[record.Partition][]record.Record

func (l scriptLog) Ends(_ context.Context, p record.Partition) (record.Ends, error) {
	n := int64(len(l[p]))
	return record.Ends{LeaderEpoch: -1, LastStable: n, HighWatermark: n}, nil
}

func (l scriptLog) Open(p record.Partition, from int64) record.LogReader {
	return &scriptReader{l[p], from}
}

type scriptReader struct {
	records []record.Record
	next    int64
}

func (r *scriptReader) Next(ctx context.Context) (record.Batch, error) {
	b := record.Batch{Next: int64(len(r.records)), LeaderEpoch: -1}
	for i := range r.records[r.next:] {
		b.Records = append(b.Records, r.records[r.next+int64(i)].Clone())
	}
	r.next = b.Next
	return b, ctx.Err()
}

func (r *scriptReader) Close() {}
