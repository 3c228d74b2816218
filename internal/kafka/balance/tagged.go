package balance

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Tags of the optional fields.
const (
	freshTag    = 1 // of a join: list of (task, position)
	standbysTag = 2 // of a join: uvarint
	followTag   = 1 // of an assignment: list of tasks
)

// tagged collects optional fields.
type tagged struct {
	n uint64
	b []byte
}

func (t *tagged) add(tag uint64, content []byte) {
	t.n++
	t.b = binary.AppendUvarint(t.b, tag)
	t.b = append(binary.AppendUvarint(t.b, uint64(len(content))), content...)
}

func (t *tagged) appendTo(b []byte) []byte {
	return append(binary.AppendUvarint(b, t.n), t.b...)
}

// tagged reads the optional fields and hands each to the function of its tag;
// others are skipped.
func (r *reader) tagged(known map[uint64]func(*reader)) {
	for n := r.count(); n > 0 && r.err == nil; n-- {
		tag := r.uvarint()
		field := &reader{b: r.take(r.uvarint()), err: r.err}
		read, ok := known[tag]
		if !ok || r.err != nil {
			continue
		}
		if read(field); field.end() != nil {
			r.err = fmt.Errorf("optional field %d: %w", tag, field.err)
		}
	}
}

// task reads the number of a task.
func (r *reader) task() int32 {
	n := r.uvarint()
	if n > math.MaxInt32 && r.err == nil {
		r.err = fmt.Errorf("task %d", n)
	}
	return int32(n)
}

func appendFresh(b []byte, fresh map[int32]int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(fresh)))
	for _, task := range slices.Sorted(maps.Keys(fresh)) {
		b = binary.AppendUvarint(b, uint64(task))
		b = binary.AppendUvarint(b, uint64(max(0, fresh[task])))
	}
	return b
}

func (r *reader) fresh() map[int32]int64 {
	n := r.count()
	fresh := make(map[int32]int64, n)
	for ; n > 0 && r.err == nil; n-- {
		task, at := r.task(), r.uvarint()
		fresh[task] = int64(min(at, math.MaxInt64))
	}
	return fresh
}

func appendTasks(b []byte, tasks []int32) []byte {
	b = binary.AppendUvarint(b, uint64(len(tasks)))
	for _, t := range tasks {
		b = binary.AppendUvarint(b, uint64(t))
	}
	return b
}

func (r *reader) tasks() (tasks []int32) {
	for n := r.count(); n > 0 && r.err == nil; n-- {
		tasks = append(tasks, r.task())
	}
	return tasks
}
