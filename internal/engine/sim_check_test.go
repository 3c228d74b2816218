package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

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

// storeMeta is what a store says of itself (docs/format/store.md).
func storeMeta(b []byte) map[string]int64 {
	out := map[string]int64{}
	b = b[len("kSto")+1:]
	text := func() string {
		n, k := binary.Uvarint(b)
		s := string(b[k : k+int(n)])
		b = b[k+int(n):]
		return s
	}
	number := func() int64 {
		n, k := binary.Varint(b)
		b = b[k:]
		return n
	}
	text() // cluster
	number()
	for range 2 { // logs, joins
		n, k := binary.Uvarint(b)
		b = b[k:]
		for range n {
			text()
			topic := text()
			b = b[len(record.TopicID{}):]
			number()
			out[topic] = number()
			number()
		}
	}
	return out
}

// checkStore holds a store against the logs: its keys are what is committed up to
// the positions that it names, no more and no less.
func (w *world) checkStore(name string, s state.Store) {
	var partition int32
	if _, err := fmt.Sscanf(name, "sim/%d", &partition); err != nil {
		w.violate("store %s: %v", name, err)
		return
	}
	got := dump(w, s)
	meta, ok := got[string(rune(state.KindMeta))]
	delete(got, string(rune(state.KindMeta)))
	at := map[string]int64{}
	if ok {
		at = storeMeta([]byte(meta))
	}
	want, loose := w.committed(partition, at)
	maps.DeleteFunc(got, func(k, _ string) bool { return loose[k] })
	if d := difference(got, want); d != "" {
		w.violate("store %s at %v does not fit the logs: %s", name, at, d)
	}
}

func dump(w *world, r interface {
	Scan(state.Range) (state.Iterator, error)
}) map[string]string {
	out := map[string]string{}
	it, err := r.Scan(state.Range{})
	if err != nil {
		w.violate("scan: %v", err)
		return out
	}
	for it.Next() {
		out[string(it.Key())] = string(it.Value())
	}
	if err := it.Close(); err != nil {
		w.violate("scan: %v", err)
	}
	return out
}

// keyed drops what is no user's.
func keyed(all map[string]string) map[string]string {
	delete(all, string(rune(state.KindMeta)))
	delete(all, string(rune(state.KindPositions)))
	return all
}

// committed folds a task's logs up to some offsets into store keys. loose are those
// whose value at that point was compacted away: a restore that has come so far does
// not have them.
func (w *world) committed(partition int32, at map[string]int64) (out map[string]string, loose map[string]bool) {
	out, loose = map[string]string{}, map[string]bool{}
	each := func(topic string, key func([]byte) []byte) {
		for i, e := range w.broker.log(topic, partition).entries {
			if int64(i) >= at[topic] {
				return
			}
			if !e.committed() {
				continue
			}
			k := string(key(e.rec.Key))
			out[k] = string(e.rec.Value)
			loose[k] = e.gone
			if e.rec.Value == nil {
				loose[k] = false
			}
			if e.gone || e.rec.Value == nil {
				delete(out, k)
			}
		}
	}
	each(simPlan.Table.Topic, func(k []byte) []byte { return state.TableKey(nil, k) })
	each(simPlan.StateTopic, func(k []byte) []byte { return k[1:] })
	each(simUsers, func(k []byte) []byte { return state.JoinKey(nil, simUsers, k) })
	return out, loose
}

func difference(got, want map[string]string) string {
	var d []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[k]; !ok {
			d = append(d, fmt.Sprintf("%q=%q is missing", k, want[k]))
		} else if g != want[k] {
			d = append(d, fmt.Sprintf("%q=%q instead of %q", k, g, want[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			d = append(d, fmt.Sprintf("%q=%q is too much", k, got[k]))
		}
	}
	return strings.Join(d, "; ")
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

// checkStopped: who had a task when it stopped has written all of it.
func (w *world) checkStopped() {
	for p := range int32(simTasks) {
		name, whole := fmt.Sprintf("sim/%d", p), false
		for _, proc := range w.procs {
			whole = whole || w.wholeStore(proc.disk, name)
		}
		if !whole {
			w.violate("no process has left %s complete", name)
		}
	}
}

// wholeStore reports whether a disk has a store that stands at the ends of its logs.
func (w *world) wholeStore(d *simDisk, name string) bool {
	if d.stores[name] == nil {
		return false
	}
	s, err := d.db.Open(name)
	if err != nil {
		w.violate("%v", err) // it was left open
		return false
	}
	defer s.Close()
	w.checkStore(name, s)
	b, found, err := s.Get([]byte{state.KindMeta}, nil)
	if err != nil || !found {
		return false
	}
	var partition int32
	_, _ = fmt.Sscanf(name, "sim/%d", &partition)
	pos, found, err := s.Get(state.PositionsKey(nil), nil)
	if err != nil || !found {
		return false
	}
	last, err := changelog.ParsePositions(pos)
	return err == nil && last.Epoch == w.broker.last[partition] && len(storeMeta(b)) == 3
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
