package engine

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
)

func isPositionsKey(key []byte) bool { return bytes.Equal(key, changelog.PositionsKey()) }

// checkCommit holds a transaction against what may be committed, at the moment at
// which its coordinator decides: each task's positions follow those committed
// before them, without a gap and without a fork.
func (w *world) checkCommit(t *simTxnRun) {
	for _, l := range t.logs {
		switch l.part.Topic {
		case simPlan.Table.Topic:
			if !slices.Contains(t.logs, w.broker.log(simPlan.StateTopic, l.part.Partition)) && !w.mutant.positionsOutside {
				w.violate("%s commits changes of task %d without its positions", t.id.name, l.part.Partition)
			}
		case simPlan.StateTopic:
			w.checkEpoch(t, l)
		}
	}
}

func (w *world) checkEpoch(t *simTxnRun, l *simLog) {
	task, in := l.part.Partition, l.inTxn(t)
	for _, e := range l.entries[in.first:] {
		if e.txn != t || !isPositionsKey(e.rec.Key) {
			continue
		}
		p, err := changelog.ParsePositions(e.rec.Value)
		if err != nil {
			w.violate("%s: %v", t.id.name, err)
			return
		}
		if last := w.broker.last[task]; p.Epoch != last+1 {
			w.violate("%s commits positions %d of task %d, after %d", t.id.name, p.Epoch, task, last)
		}
		w.broker.last[task] = p.Epoch
	}
}

// checkInitialized: no task is restored before its worker's producer has dealt with
// what an earlier life left open.
func (w *world) checkInitialized(r *simRunner) {
	if r.client.epoch == 0 {
		w.violate("%s restores before its producer is initialized", r)
	}
}

// settled reports whether everything has been read, processed and committed.
func (w *world) settled() bool { return w.steps%32 == 0 && w.unsettled() == "" }

func (w *world) unsettled() string {
	if w.input.left > 0 {
		return "input is missing"
	}
	for _, l := range w.broker.order {
		if l.stable() < l.end() {
			return fmt.Sprintf("%s has an open transaction", l.part)
		}
	}
	for p := range int32(simTasks) {
		cores := w.cores(p)
		if len(cores) != 1 {
			return fmt.Sprintf("%d processes run task %d", len(cores), p)
		}
		for _, pos := range cores[0].Positions() {
			if end := w.broker.log(pos.Topic, p).end(); pos.Offset != end {
				return fmt.Sprintf("task %d is at %v, the log ends at %d", p, pos, end)
			}
		}
		for _, pos := range cores[0].Positions() {
			if at, ok := w.broker.offsets[pos.Of()]; w.faults.bounded && (!ok || at < pos.Offset) {
				return fmt.Sprintf("task %d is at the end of %v, the offset is not committed", p, pos)
			}
		}
		if cores[0].Touched() || cores[0].Moved() {
			return fmt.Sprintf("task %d has not committed", p)
		}
	}
	return ""
}

// cores are the running tasks of that number: there should be one.
func (w *world) cores(p int32) (out []*task.Task) {
	for _, proc := range w.procs {
		if !proc.alive {
			continue
		}
		for _, r := range proc.runners {
			if h := r.worker.task(p); h != nil && h.core != nil {
				out = append(out, h.core)
			}
		}
	}
	return out
}

// checkEnd holds what the run has left against the naive fold.
func (w *world) checkEnd() {
	f := fold(w.broker)
	w.checkOutputs(f)
	for p := range int32(simTasks) {
		w.checkCounts(p, f.fates[p])
		want := f.state(p)
		core := w.cores(p)[0]
		if d := difference(keyed(dump(w, core.State().Table)), want); d != "" {
			w.violate("task %d: state: %s", p, d)
		}
		if d := difference(keyed(w.restored(p)), want); d != "" {
			w.violate("task %d: restored state: %s", p, d)
		}
	}
}

// state is what the fold leaves in one task.
func (f *simFold) state(p int32) map[string]string {
	out := map[string]string{}
	add := func(key string, storeKey []byte, value any) {
		if simPlan.Hasher.Partition([]byte(key), simTasks) != p {
			return
		}
		data, ok := value.(string)
		if n, isNumber := value.(int64); isNumber && !ok {
			b, _ := new(codec.Int64).Encode(n)
			data = string(b)
		}
		out[string(storeKey)] = data
	}
	for k, v := range f.counts {
		add(k, state.TableKey(nil, []byte(k)), v)
	}
	for k, v := range f.hops {
		add(k, state.NamedKey(nil, simHops, []byte(k)), v)
	}
	for k, v := range f.users {
		add(k, state.JoinKey(nil, simUsers, []byte(k)), v)
	}
	return out
}

// restored is the state that a restore on an empty disk comes to.
func (w *world) restored(partition int32) map[string]string {
	p := &simProcess{w: w, name: "?", disk: newDisk(), states: map[*changelog.State]*simOpen{}}
	p.noteEnds()
	p.db = &simDB{p: p, disk: p.disk}
	out := map[string]string{}
	c := p.spawn("check", &w.faults.restores, func(c *coro) {
		s, err := changelog.Restore(context.Background(), p.changelogConfig(partition, &simLogs{p: p, c: c, o: &simOpen{}}))
		if err != nil {
			w.violate("restore: %v", err)
			return
		}
		out = dump(w, s.Table)
	})
	for n := 0; len(p.coros) > 0 && n < 10_000; n++ {
		c.act(w)
	}
	p.stopCoros()
	return out
}

func (w *world) checkOutputs(f *simFold) {
	got := map[string][]string{}
	for p := range int32(3) {
		for _, e := range w.broker.log(simOut, p).entries {
			if e.committed() {
				k, v := string(e.rec.Key), string(e.rec.Value)
				got[outKind(v)+k] = append(got[outKind(v)+k], v)
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.out)) {
		if !slices.Equal(got[k], f.out[k]) {
			w.violate("output %s:\n got %q\nwant %q", k, got[k], f.out[k])
		}
		delete(got, k)
	}
	if len(got) > 0 {
		w.violate("outputs that should not be: %v", got)
	}
	dead := map[string]int{}
	for _, e := range w.broker.log(simPlan.DeadLetter, 0).entries {
		if !e.committed() {
			continue
		}
		d, err := task.ParseDeadLetter(&e.rec)
		if err != nil {
			w.violate("dead letter: %v", err)
		}
		dead[fmt.Sprintf("%s/%d@%d", d.Record.Topic, d.Record.Partition, d.Record.Offset)]++
	}
	if !maps.Equal(dead, f.dead) {
		w.violate("dead letters: got %v, want %v", dead, f.dead)
	}
}

// checkCounts holds each commit of a task against its inputs: as many records have
// a fate as have been read, but for those of the joined table that were there before
// the task was: they were restored.
func (w *world) checkCounts(p int32, want record.Counts) {
	below := map[string][]int64{}
	for _, in := range simPlan.Inputs {
		n := []int64{0}
		for _, e := range w.broker.log(in.Topic, p).entries {
			k := n[len(n)-1]
			if e.committed() {
				k++
			}
			n = append(n, k)
		}
		below[in.Topic] = n
	}
	var last *changelog.Positions
	var restored int64
	for _, e := range w.broker.log(simPlan.StateTopic, p).entries {
		if !e.committed() || !isPositionsKey(e.rec.Key) {
			continue
		}
		pos, err := changelog.ParsePositions(e.rec.Value)
		if err != nil {
			w.violate("positions of task %d: %v", p, err)
			return
		}
		var read int64
		for _, in := range pos.Inputs {
			read += below[in.Topic][in.Offset]
		}
		if users, _ := pos.Input(simUsers); last == nil {
			restored = min(read-pos.Counts.Sum(), below[simUsers][users.Offset])
		}
		if read-restored != pos.Counts.Sum() {
			w.violate("task %d: commit %d at %v has read %d records, restored %d, and counts %v", p, pos.Epoch, pos.Inputs, read, restored, pos.Counts)
		}
		last = pos
	}
	want[record.Processed] -= restored
	if last != nil && last.Counts != want {
		w.violate("task %d: counts %v, want %v", p, last.Counts, want)
	}
}
