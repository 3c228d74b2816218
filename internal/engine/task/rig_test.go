package task_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// rig is a task over logs in memory, stepped by hand.
type rig struct {
	t       testing.TB
	plan    *topology.Plan
	logs    logs
	task    *task.Task
	lookups map[string]task.Lookup
	max     map[string]int
	mute    map[string]int64
	ctx     context.Context
	now     int64
}

// logs hold what was committed, by topic; the rig has one partition.
type logs map[string][]record.Record

func (l logs) Ends(_ context.Context, p record.Partition) (record.Ends, error) {
	n := int64(len(l[p.Topic]))
	return record.Ends{LastStable: n, HighWatermark: n}, nil
}

func (l logs) Open(p record.Partition, from int64) record.LogReader {
	return &logReader{l[p.Topic], from}
}

type logReader struct {
	records []record.Record
	next    int64
}

func (r *logReader) Next(ctx context.Context) (record.Batch, error) {
	b := record.Batch{Next: int64(len(r.records))}
	for i := range r.records[r.next:] {
		b.Records = append(b.Records, r.records[r.next+int64(i)].Clone())
	}
	r.next = b.Next
	return b, ctx.Err()
}

func (r *logReader) Close() {}

func newRig(t testing.TB, edges ...topology.Edge) *rig {
	t.Helper()
	plan, err := topology.Group("g", edges...).Build()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, plan: plan, logs: logs{}, lookups: map[string]task.Lookup{}, max: map[string]int{}, now: 1_000}
	for _, l := range plan.Lookups {
		r.lookups[l.Topic] = &table{codec: l.Codec, values: map[string]string{}}
	}
	r.restore()
	return r
}

// restore makes the task anew from the logs, as after a crash.
func (r *rig) restore() {
	r.t.Helper()
	c := changelog.Config{
		Store: "g/0", DB: state.NewMemory(), Cluster: "c", StateTopic: r.plan.StateTopic,
		Clock: func() time.Time { return time.UnixMilli(0) }, Logs: r.logs,
	}
	if r.plan.Table != nil {
		c.TableTopic = r.plan.Table.Topic
	}
	for _, in := range r.plan.Inputs {
		if in.Kind == topology.JoinInput {
			c.JoinTopics = append(c.JoinTopics, in.Topic)
		}
	}
	s, err := changelog.Restore(context.Background(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	r.task, err = task.New(task.Config{
		Plan: r.plan, Cluster: "c", State: s, Lookups: r.lookups, MaxRecord: r.max, Mute: r.mute, Context: r.ctx,
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// input appends a record to an input and returns it. A nil value is a tombstone.
func (r *rig) input(topic, key string, value any, headers ...record.Header) *record.Record {
	r.now++
	rec := record.Record{Topic: topic, Offset: int64(len(r.logs[topic])), Timestamp: r.now, Key: []byte(key), Headers: headers}
	if value != nil {
		rec.Value = []byte(fmt.Sprint(value))
	}
	r.logs[topic] = append(r.logs[topic], rec)
	c := rec.Clone()
	return &c
}

// try steps a new record and overwrites it afterwards: nobody may have kept it.
func (r *rig) try(topic, key string, value any, headers ...record.Header) ([]task.Out, error) {
	rec := r.input(topic, key, value, headers...)
	effects, err := r.task.Step(topic, rec)
	emits := cloneOuts(effects.Emits)
	scribble(rec.Key)
	scribble(rec.Value)
	return emits, err
}

func (r *rig) step(topic, key string, value any, headers ...record.Header) []task.Out {
	r.t.Helper()
	emits, err := r.try(topic, key, value, headers...)
	if err != nil {
		r.t.Fatal(err)
	}
	return emits
}

func cloneOuts(outs []task.Out) []task.Out {
	var all []task.Out
	for _, o := range outs {
		o.Key, o.Value = bytes.Clone(o.Key), bytes.Clone(o.Value)
		all = append(all, o)
	}
	return all
}

func scribble(b []byte) {
	for i := range b {
		b[i] = '#'
	}
}

// commit seals, appends to the logs and commits; it returns the changelog.
func (r *rig) commit() []task.Change {
	r.t.Helper()
	changes := r.seal()
	for _, c := range changes {
		r.logs[c.Topic] = append(r.logs[c.Topic], record.Record{
			Topic: c.Topic, Offset: int64(len(r.logs[c.Topic])), Timestamp: c.Timestamp, Key: c.Key, Value: c.Value,
		})
	}
	ends := []record.Position{{Topic: r.plan.StateTopic, Offset: int64(len(r.logs[r.plan.StateTopic]))}}
	if r.plan.Table != nil {
		ends = append(ends, record.Position{Topic: r.plan.Table.Topic, Offset: int64(len(r.logs[r.plan.Table.Topic]))})
	}
	r.task.Commit(ends)
	return changes
}

func (r *rig) seal() []task.Change {
	r.t.Helper()
	var changes []task.Change
	err := r.task.Seal(func(c task.Change) error {
		c.Key, c.Value = bytes.Clone(c.Key), bytes.Clone(c.Value)
		changes = append(changes, c)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return changes
}

// value returns the encoded value of a key in the group table, "-" where there is
// none.
func (r *rig) value(key string) string { return r.get(state.TableKey(nil, []byte(key))) }

func (r *rig) get(storeKey []byte) string {
	r.t.Helper()
	v, found, err := r.task.State().Table.Get(storeKey)
	switch {
	case err != nil:
		r.t.Fatal(err)
	case !found:
		return "-"
	}
	return string(v)
}

// dump returns all of the task's state but its positions, a line for each key.
func (r *rig) dump() string {
	r.t.Helper()
	it, err := r.task.State().Table.Scan(state.Range{})
	if err != nil {
		r.t.Fatal(err)
	}
	var s strings.Builder
	for it.Next() {
		fmt.Fprintf(&s, "%q=%q\n", it.Key(), it.Value())
	}
	if err := it.Close(); err != nil {
		r.t.Fatal(err)
	}
	return s.String()
}

// table is a task.Lookup over a map.
type table struct {
	codec interface{ Decode([]byte) (any, error) }

	values map[string]string
}

func (l *table) Get(key string) (any, error) {
	v, ok := l.values[key]
	if !ok {
		return nil, nil
	}
	return l.codec.Decode([]byte(v))
}

func (l *table) GetBytes(key []byte) ([]byte, bool, error) {
	v, ok := l.values[string(key)]
	return []byte(v), ok, nil
}

func show(outs []task.Out) string {
	var s strings.Builder
	for _, o := range outs {
		fmt.Fprintf(&s, "%s %q=%s", o.Topic, o.Key, text(o.Value))
		for _, h := range o.Headers {
			fmt.Fprintf(&s, " %s:%s", h.Key, h.Value)
		}
		fmt.Fprintf(&s, " @%d\n", o.Timestamp)
	}
	return s.String()
}

func text(v []byte) string {
	if v == nil {
		return "nil"
	}
	return fmt.Sprintf("%q", v)
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}
