package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// BenchmarkTransactionOverTasks is what a worker itself spends on a transaction, the
// broker answering at once: the same 10,000 records over more and more tasks, and
// one record for each.
func BenchmarkTransactionOverTasks(b *testing.B) {
	for _, tasks := range []int32{1, 10, 100, 1000} {
		for _, each := range []int{10_000 / int(tasks), 1} {
			b.Run(fmt.Sprintf("%d tasks/%d records each", tasks, each), func(b *testing.B) {
				w := newLoad(b, tasks, each)
				b.ReportAllocs()
				for b.Loop() {
					w.transaction()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*int(tasks)*each), "ns/record")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*int(tasks)), "ns/task")
			})
		}
	}
}

// load is a worker that is given transaction after transaction.
type load struct {
	b       *testing.B
	w       *worker
	now     time.Time
	epochs  uint64
	records [][]record.Record // of each task
	offset  int64
	ends    map[record.Partition]int64
	acks    []record.Position
}

func newLoad(b *testing.B, tasks int32, each int) *load {
	plan, err := topology.Group("g", topology.PersistOf(schema.Int64()),
		topology.InputOf("in", schema.Nothing(), nil, func(ctx *processors.Typed[int64], _ struct{}) {
			n, _ := ctx.Value()
			ctx.Set(n + 1)
		})).Build()
	if err != nil {
		b.Fatal(err)
	}
	l := &load{b: b, now: time.UnixMilli(0), ends: map[record.Partition]int64{}}
	l.w = newWorker(workerConfig{
		plan: plan, commitInterval: 100 * time.Millisecond, batchBytes: 1 << 40, overlayBytes: 1 << 40, txnTimeout: time.Hour,
		produce: l.produce, nextEpoch: func() uint64 { l.epochs++; return l.epochs },
	})
	l.step(evInit{})
	var assigned []kafka.TaskTopics
	for p := range tasks {
		assigned = append(assigned, kafka.TaskTopics{Task: p, Topics: []string{"in"}})
		var records []record.Record
		for i := range each {
			records = append(records, record.Record{Topic: "in", Partition: p, Key: fmt.Appendf(nil, "key-%d", i), Value: []byte("v")})
		}
		l.records = append(l.records, records)
	}
	l.w.await = awaitNothing
	l.w.ready = true
	for _, e := range slices.Clone(l.w.step(l.now, evAssigned{tasks: assigned})) {
		if r, ok := e.(doRestore); ok {
			l.step(evRestored{r.partition, r.epoch, l.core(r.partition), nil})
		}
	}
	return l
}

func (l *load) core(p int32) *task.Task {
	plan := l.w.cfg.plan
	st, err := changelog.Restore(context.Background(), changelog.Config{
		Store: fmt.Sprintf("g/%d", p), DB: state.NewMemory(), Cluster: "c", Partition: p,
		TableTopic: plan.Table.Topic, StateTopic: plan.StateTopic, Logs: scriptLog{},
		Clock: func() time.Time { return l.now }, Flush: changelog.FlushOptions{Age: time.Hour, Bytes: 1 << 40, Tail: 1 << 40},
	})
	if err != nil {
		l.b.Fatal(err)
	}
	core, err := task.New(task.Config{Plan: plan, Partition: p, Cluster: "c", State: st})
	if err != nil {
		l.b.Fatal(err)
	}
	return core
}

func (l *load) produce(o *kafka.Out) {
	if o.Track {
		p := record.Partition{Topic: o.Topic, Partition: o.Partition}
		l.ends[p]++
		l.acks = append(l.acks, record.Position{Topic: o.Topic, Partition: o.Partition, Offset: l.ends[p], LeaderEpoch: -1})
	}
}

// step steps the worker and answers what it asks.
func (l *load) step(ev event) {
	for ev != nil {
		effects := l.w.step(l.now, ev)
		ev = nil
		for _, e := range effects {
			switch e.(type) {
			case doFlush:
				slices.SortFunc(l.acks, func(a, b record.Position) int {
					return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
				})
				ev = evFlushed{acks: l.acks}
			case doOffsets:
				ev = evOffsets{}
			case doEnd:
				ev = evEnded{}
			case doFatal, doTaskFailed, doNote:
				l.b.Fatalf("%+v", e)
			}
		}
	}
}

// transaction steps all records, one batch for each task, and commits.
func (l *load) transaction() {
	l.acks = l.acks[:0]
	var next int64
	for p, records := range l.records {
		for i := range records {
			records[i].Offset = l.offset + int64(i)
		}
		next = l.offset + int64(len(records))
		h := l.w.task(int32(p))
		l.step(&evBatch{
			part: record.Partition{Topic: "in", Partition: int32(p)}, epoch: h.epoch, records: records, next: next, bytes: 1, release: func() {},
		})
	}
	l.offset = next
	for l.w.busy(l.now) {
		l.step(evTick{})
	}
	l.now = l.now.Add(100 * time.Millisecond)
	if l.step(evTick{}); l.w.txn.open {
		l.b.Fatal("not committed")
	}
}
