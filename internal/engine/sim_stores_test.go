package engine

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// storeMeta is what a store says of itself (docs/format/store.md): when it was
// written, and how far it holds each log.
func storeMeta(b []byte) (written time.Time, out map[string]int64) {
	out = map[string]int64{}
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
	written = time.UnixMilli(number())
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
	return written, out
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
		var written time.Time
		if written, at = storeMeta([]byte(meta)); w.faults.retention < time.Hour && w.now.Sub(written) > w.faults.retention/2 {
			return // it may have missed deletions, and will not be used for that
		}
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
	_, at := storeMeta(b)
	return err == nil && last.Epoch == w.broker.last[partition] && len(at) == 3
}
