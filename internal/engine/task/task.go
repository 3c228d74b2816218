// Package task is the pure core of one task: one partition of a group's
// co-partitioned inputs, with its state.
//
// A [Task] is stepped with input records and answers with the records to emit;
// the changes to its state wait in its table until they are sealed into a
// changelog and committed or aborted. It starts no goroutine, does no I/O beyond
// its store, and reads no clock: production, the test driver and the simulation
// run this same code.
//
// Life of a transaction, all from one goroutine:
//
//	effects, err := t.Step(topic, &record) // any number of times
//	t.Seal(write)                          // the changelog, ending with the positions
//	t.Commit(ends) or t.Abort()
package task

import (
	"context"
	"fmt"
	"sync"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// Lookup is a table that the process keeps whole. It is safe for concurrent use.
type Lookup interface {
	// Get decodes the value of key, nil where there is none.
	Get(key string) (any, error)
	// GetBytes returns the encoded value of key; it belongs to the caller.
	GetBytes(key []byte) (value []byte, found bool, err error)
}

// Config is what a task is made of.
type Config struct {
	Plan      *topology.Plan
	Partition int32
	Cluster   string
	State     *changelog.State
	// Start are the next offsets to read where the state has no committed
	// positions, by input topic; missing means 0.
	Start map[string]int64
	// Mute says, by input topic, below which offset records emit nothing to outputs;
	// loop, table and stores go on, dead letters are written. Missing means 0.
	Mute map[string]int64
	// Lookups are the tables of the plan's Lookup edges, by topic.
	Lookups map[string]Lookup
	// MaxRecord is the largest record, key and value together, that a topic
	// takes; a topic that is missing takes any.
	MaxRecord map[string]int
	// Context is what goka.Context.Context returns; default context.Background().
	Context context.Context
}

// Out is a record to emit within the open transaction. Its slices are not changed
// until the transaction has ended.
type Out struct {
	Topic     string
	Key       []byte
	Value     []byte
	Headers   []record.Header
	Timestamp int64
}

// Effects is what stepping a record asks of the caller.
type Effects struct {
	Emits []Out // valid until the next call of Step or Visit
	// Muted is how many records for outputs were dropped, see Config.Mute.
	Muted int
}

// Task is the core of one partition. One goroutine owns it.
type Task struct {
	cfg     Config
	plan    *topology.Plan
	inputs  map[string]*input
	ordered []*input // by topic
	pos     changelog.Positions
	last    changelog.Positions // as of the last commit
	touched bool
	moved   bool
	ctx     taskContext
	recent  *input // that was stepped last
	seal    sealBuffer
	hold    *hold
	keys    keyList
}

type input struct {
	plan    *topology.InputPlan
	handler topology.Handler
	at      int   // index in pos.Inputs
	mute    int64 // records below it are muted
}

// New makes a task over its restored state. Committed positions in the state win
// over Start.
func New(c Config) (*Task, error) {
	if c.Context == nil {
		c.Context = context.Background()
	}
	t := &Task{cfg: c, plan: c.Plan, inputs: map[string]*input{}, hold: &hold{}}
	t.ctx.init(t)
	t.adopt(c.State.Positions())
	for i := range c.Plan.Inputs {
		p := &c.Plan.Inputs[i]
		in := &input{plan: p, at: t.position(p.Topic), mute: c.Mute[p.Topic]}
		if p.Kind != topology.JoinInput {
			in.handler = p.NewHandler()
		}
		t.inputs[p.Topic] = in
		t.ordered = append(t.ordered, in)
	}
	t.pos.Cluster, t.pos.Fingerprint = c.Cluster, c.Plan.Fingerprint
	t.last = clonePositions(t.pos)
	return t, nil
}

// adopt takes the committed positions of inputs that the plan still has; an input
// that it no longer has keeps its position for the day it comes back.
func (t *Task) adopt(p *changelog.Positions) {
	if p != nil {
		t.pos = clonePositions(*p)
	}
}

// position returns the index of the topic's position, adding one at its start.
func (t *Task) position(topic string) int {
	for i, p := range t.pos.Inputs {
		if p.Topic == topic {
			return i
		}
	}
	t.pos.Inputs = append(t.pos.Inputs, record.Position{
		Cluster: t.cfg.Cluster, Topic: topic, Partition: t.cfg.Partition,
		Offset: t.cfg.Start[topic], LeaderEpoch: -1,
	})
	return len(t.pos.Inputs) - 1
}

// Partition returns the task's number.
func (t *Task) Partition() int32 { return t.cfg.Partition }

// State returns the task's state.
func (t *Task) State() *changelog.State { return t.cfg.State }

// Positions returns the next offsets to read, of the open transaction. The result
// is the caller's.
func (t *Task) Positions() []record.Position {
	return t.AppendPositions(make([]record.Position, 0, len(t.ordered)))
}

// AppendPositions appends Positions to dst.
func (t *Task) AppendPositions(dst []record.Position) []record.Position {
	for _, in := range t.ordered {
		dst = append(dst, t.pos.Inputs[in.at])
	}
	return dst
}

// Next returns the next offset to read of an input.
func (t *Task) Next(topic string) int64 { return t.pos.Inputs[t.inputs[topic].at].Offset }

// SetTopicID notes the id of an input topic, to travel with its positions.
func (t *Task) SetTopicID(topic string, id record.TopicID) {
	if in := t.inputs[topic]; in != nil {
		t.pos.Inputs[in.at].TopicID = id
		t.last.Inputs[in.at].TopicID = id
	}
}

// Counts returns the records by fate, the open transaction included.
func (t *Task) Counts() record.Counts { return t.pos.Counts }

// Committed returns the records by fate as of the last commit.
func (t *Task) Committed() record.Counts { return t.last.Counts }

// Touched reports whether the open transaction holds anything of this task.
func (t *Task) Touched() bool { return t.touched }

// Settle asks for the positions to be committed as they are, though nothing has moved.
func (t *Task) Settle() { t.moved = true }

// Moved reports whether positions moved over markers only since the last commit, or
// are to be settled.
func (t *Task) Moved() bool { return t.moved && !t.touched }

// Step processes one record. A record before the task's position has been
// processed already and is passed over. An error means that the record could not
// be processed and the group's policy is to fail: nothing of it took effect, and
// the task must not be stepped again.
func (t *Task) Step(topic string, r *record.Record) (Effects, error) {
	in := t.input(topic)
	if in == nil {
		return Effects{}, fmt.Errorf("task %s/%d: record of %s, which is no input", t.plan.Group, t.cfg.Partition, topic)
	}
	pos := &t.pos.Inputs[in.at]
	if r.Offset < pos.Offset {
		return Effects{}, nil
	}
	t.ctx.drop()
	fate, err := t.process(in, r)
	if err != nil {
		return Effects{}, err
	}
	pos.Offset, pos.LeaderEpoch = r.Offset+1, r.LeaderEpoch
	t.pos.StreamTime = max(t.pos.StreamTime, r.Timestamp)
	t.pos.Counts[fate]++
	t.touched = true
	return Effects{Emits: t.ctx.emits, Muted: t.ctx.silenced}, nil
}

// input returns the input of a topic, nil where it is none. Neighbours in order
// share one.
func (t *Task) input(topic string) *input {
	if t.recent == nil || t.recent.plan.Topic != topic {
		t.recent = t.inputs[topic]
	}
	return t.recent
}

// Advance moves an input's position over control records and holes.
func (t *Task) Advance(topic string, next int64) {
	in := t.inputs[topic]
	if in != nil && next > t.pos.Inputs[in.at].Offset {
		t.pos.Inputs[in.at].Offset, t.pos.Inputs[in.at].LeaderEpoch = next, -1
		t.moved = true
	}
}

func (t *Task) process(in *input, r *record.Record) (record.Fate, error) {
	var err error
	fate := record.Processed
	switch {
	case r.Key == nil && (in.plan.NeedsKey || in.plan.Kind == topology.JoinInput):
		err = ErrNoKey
	case in.plan.Kind == topology.JoinInput:
		return fate, t.follow(in, r)
	case r.Value == nil && !t.plan.ProcessNil:
		return record.Filtered, nil
	default:
		fate, err = t.ctx.run(in, r)
	}
	if err == nil {
		err = t.ctx.apply()
	}
	if err != nil {
		return t.reject(r, err)
	}
	return fate, nil
}

// follow applies a record of a co-partitioned table.
func (t *Task) follow(in *input, r *record.Record) error {
	key := t.ctx.joinKey(in.plan.Topic, r.Key)
	table := t.cfg.State.Table
	var err error
	if r.Tombstone() {
		err = table.Delete(key)
	} else {
		err = table.Set(key, r.Value)
	}
	if err != nil {
		return t.fail(r, err)
	}
	return nil
}

// reject applies the error policy to a record whose effects have been dropped.
func (t *Task) reject(r *record.Record, cause error) (record.Fate, error) {
	t.ctx.fail()
	failed := t.fail(r, cause)
	if t.plan.OnError != topology.DeadLetters || isStoreError(cause) {
		return 0, failed
	}
	letter := deadLetter(t.plan.Group, t.plan.DeadLetter, r, cause)
	if limit := t.cfg.MaxRecord[letter.Topic]; limit > 0 && letter.size() > limit {
		return 0, t.fail(r, fmt.Errorf("%w; and its dead letter of %d bytes is more than %s takes (%d)", cause, letter.size(), letter.Topic, limit))
	}
	t.ctx.emits = append(t.ctx.emits, letter)
	return record.Dead, nil
}

func (t *Task) fail(r *record.Record, cause error) *RecordError {
	return &RecordError{
		Group: t.plan.Group, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		Key: append([]byte(nil), r.Key...), Err: cause,
	}
}

func (o *Out) size() int {
	n := len(o.Key) + len(o.Value)
	for _, h := range o.Headers {
		n += len(h.Key) + len(h.Value) + 4
	}
	return n + recordOverhead
}

// recordOverhead bounds what a record batch adds to the bytes of one record.
const recordOverhead = 128

// hold counts the commits that callbacks have deferred. Its methods are safe for
// concurrent use: deferred work runs on goroutines of the user's.
type hold struct {
	mu   sync.Mutex
	used bool
	open int
	err  error
}

func (h *hold) add() func(error) {
	h.mu.Lock()
	h.used = true
	h.open++
	h.mu.Unlock()
	var once sync.Once
	return func(err error) {
		once.Do(func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.open--
			if h.err == nil {
				h.err = err
			}
		})
	}
}

// next returns the hold of the next transaction: what is released too late is of the
// one before.
func (h *hold) next() *hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.used {
		return h
	}
	return &hold{}
}

// Deferred returns how many commits callbacks have deferred and not yet released,
// and the first error that a release reported.
func (t *Task) Deferred() (open int, err error) {
	t.hold.mu.Lock()
	defer t.hold.mu.Unlock()
	return t.hold.open, t.hold.err
}

func clonePositions(p changelog.Positions) changelog.Positions {
	p.Inputs = append([]record.Position(nil), p.Inputs...)
	return p
}

var _ processors.Context = (*taskContext)(nil)

// Preload brings the group table's entries of the records' keys into memory in
// one pass, so that the cache misses and the disk reads of many records overlap.
func (t *Task) Preload(topic string, records []record.Record) error {
	in := t.inputs[topic]
	if in == nil || in.plan.Kind == topology.JoinInput || t.plan.Table == nil {
		return nil
	}
	return t.keys.preload(t.cfg.State.Table, records)
}
