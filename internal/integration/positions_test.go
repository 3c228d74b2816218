package integration

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// forget deletes a group with its offsets, as the broker does when they expire.
func (r *rig) forget(group string) {
	r.t.Helper()
	adm := r.admin()
	r.until("the group to be empty", func() bool {
		_, err := adm.DeleteGroup(r.ctx, group)
		return err == nil
	})
}

// The truth is in the positions: a group whose offsets are gone goes on where it
// was, with or without its store.
func TestAGroupWhoseOffsetsAreGoneGoesOn(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 900, 30
		in, group, dir := r.topic("in", 3), r.name("count"), r.t.TempDir()
		recs := numbers(in, n, keys)
		for i, dir := range []string{dir, dir, r.t.TempDir()} {
			e := r.start(r.fast(dir), counting(group, in))
			r.emit(recs[i*n/3 : (i+1)*n/3]...)
			r.processed(int64((i+1)*n/3), group, e)
			if err := e.Leave(r.ctx); err != nil {
				r.t.Fatal(err)
			}
			r.forget(group)
		}
		r.equal("table", r.table(group+"-table"), countsOf(n, keys))
	})
}

// State that nobody can place is an error, not a second start at the beginning.
func TestStateWithoutPositionsIsAnError(t *testing.T) {
	each(t, func(r *rig) {
		in, group := r.topic("in", 1), r.name("count")
		r.create(kafka.TableSpec(group+"-table", 1))
		r.emit(record.Record{Topic: group + "-table", Key: []byte("k0"), Value: []byte("12")})
		r.emit(numbers(in, 10, 2)...)
		e := r.start(r.fast(""), counting(group, in))
		err := e.Wait()
		if !errors.Is(err, engine.ErrNoPositions) || !strings.Contains(err.Error(), group+"-table") {
			r.t.Fatalf("the engine ended with %v", err)
		}
		r.equal("table", r.table(group+"-table"), map[string]string{"k0": "12"})
	})
}

func TestRecordsThatWereDeletedUnreadAreAnError(t *testing.T) {
	each(t, func(r *rig) {
		in, group, dir := r.topic("in", 1), r.name("count"), r.t.TempDir()
		e := r.start(r.fast(dir), counting(group, in))
		r.emit(numbers(in, 10, 2)...)
		r.processed(10, group, e)
		r.stop(e)
		r.emit(numbers(in, 10, 2)...)
		if err := r.k.DeleteRecords(r.ctx, map[record.Partition]int64{{Topic: in}: 15}); err != nil {
			r.t.Fatal(err)
		}
		e = r.start(r.fast(dir), counting(group, in))
		err := e.Wait()
		if !errors.Is(err, engine.ErrGap) || !strings.Contains(err.Error(), in+"/0 is to go on at 10, the log starts at 15: 5 records") {
			r.t.Fatalf("the engine ended with %v", err)
		}
	})
}

// A goka group that was stopped is taken over: its table, its offsets, its name.
func TestAStoppedGokaGroupIsAdopted(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 600, 25
		in, group := r.topic("in", 3), r.name("count")
		r.create(kafka.TableSpec(group+"-table", 3))
		recs := numbers(in, n, keys)
		r.emit(recs[:n/2]...)
		if r.env.Kind().Real() {
			graph, err := counting(group, in).GroupGraph()
			if err != nil {
				r.t.Fatal(err)
			}
			r.runGoka(graph, n/2)
		} else { // kfake does not serve goka's client
			r.leaveAsGoka(in, group)
		}
		r.emit(recs[n/2:]...)
		e := r.start(r.fast(r.t.TempDir()), counting(group, in))
		r.processed(n/2, group, e) // of ours
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(n, keys))

		e = r.start(r.fast(r.t.TempDir()), counting(group, in))
		r.emit(recs...)
		r.processed(n/2+n, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(2*n, keys))
	})
}

// leaveAsGoka writes what goka leaves of a group that has counted all of its input.
func (r *rig) leaveAsGoka(in, group string) {
	r.t.Helper()
	offsets := map[record.Partition]int64{}
	count := map[string]int{}
	var table []record.Record
	for _, x := range r.read(in) {
		offsets[record.Partition{Topic: in, Partition: x.Partition}] = x.Offset + 1
		count[string(x.Key)]++
		table = append(table, record.Record{Topic: group + "-table", Key: x.Key, Value: strconv.AppendInt(nil, int64(count[string(x.Key)]), 10)})
	}
	r.emit(table...)
	if err := r.k.CommitOffsets(r.ctx, group, offsets); err != nil {
		r.t.Fatal(err)
	}
}
