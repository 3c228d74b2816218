package task

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/topology"
)

// taskContext is the context of every callback of a task, one after the other. It
// holds the effects of the running callback back until that has returned: apply
// makes them, drop forgets them.
type taskContext struct {
	t       *Task
	plan    *topology.Plan
	rec     *record.Record
	writes  writeSet
	emits   []Out
	fate    record.Fate
	key     string // of rec, once asked for
	hasKey  bool
	headers goka.Headers
	storeK  []byte // store key of rec's key in the group table
	joinK   []byte
	scratch []byte
	value   []byte
	arena   arena
	defers  []func(error) // releases of the running callback's DeferCommit
	stores  map[string]*namedStore
	outputs map[string]*topology.OutputPlan
	joins   map[string]*topology.InputPlan
	lookups map[string]*topology.TablePlan
}

func (c *taskContext) init(t *Task) {
	c.t, c.plan = t, t.plan
	c.stores = map[string]*namedStore{}
	for i := range c.plan.Stores {
		s := &c.plan.Stores[i]
		c.stores[s.Name] = &namedStore{ctx: c, plan: s, prefix: state.NamedKey(nil, s.Name, nil)}
	}
	c.outputs = map[string]*topology.OutputPlan{}
	for i := range c.plan.Outputs {
		c.outputs[c.plan.Outputs[i].Topic] = &c.plan.Outputs[i]
	}
	c.joins = map[string]*topology.InputPlan{}
	for i := range c.plan.Inputs {
		if in := &c.plan.Inputs[i]; in.Kind == topology.JoinInput {
			c.joins[in.Topic] = in
		}
	}
	c.lookups = map[string]*topology.TablePlan{}
	for i := range c.plan.Lookups {
		c.lookups[c.plan.Lookups[i].Topic] = &c.plan.Lookups[i]
	}
}

// run calls the handler and turns panics into errors.
func (c *taskContext) run(in *input, r *record.Record) (fate record.Fate, err error) {
	c.begin(r)
	defer c.recover(&err)
	if err := in.handler(c, r); err != nil {
		return 0, err
	}
	return c.fate, nil
}

func (c *taskContext) recover(err *error) {
	switch p := recover().(type) {
	case nil:
	case failure:
		*err = p.err
	default:
		*err = newPanicError(p)
	}
}

func (c *taskContext) begin(r *record.Record) {
	c.rec, c.fate, c.hasKey, c.headers = r, record.Processed, false, nil
	c.defers = c.defers[:0]
	c.storeK = state.TableKey(c.storeK[:0], r.Key)
	c.drop()
}

// fail drops what the callback that has failed has done, a deferred commit with it:
// nobody may be there to release that.
func (c *taskContext) fail() {
	c.drop()
	for _, release := range c.defers {
		release(nil)
	}
}

// drop forgets the effects of the running callback.
func (c *taskContext) drop() {
	c.writes.reset()
	c.emits = c.emits[:0]
}

// apply makes the effects of the callback that has returned.
func (c *taskContext) apply() error {
	table := c.t.cfg.State.Table
	table.SetStamp(c.stamp())
	for i := range c.writes.list {
		key, value, deleted := c.writes.at(i)
		var err error
		if deleted {
			err = table.Delete(key)
		} else {
			err = table.Set(key, value)
		}
		if err != nil {
			return storeError{fmt.Errorf("write state: %w", err)}
		}
	}
	c.t.emits = append(c.t.emits, c.emits...)
	c.drop()
	return nil
}

// stamp is the event time of what the callback changes: that of its record, and the
// stream time where the record has none.
func (c *taskContext) stamp() int64 {
	if c.rec.Timestamp < 0 {
		return c.t.pos.StreamTime
	}
	return c.rec.Timestamp
}

// get reads a key as the callback sees it: its own writes first.
func (c *taskContext) get(storeKey []byte) (value []byte, found bool) {
	if v, deleted, ok := c.writes.find(storeKey); ok {
		return v, !deleted
	}
	v, found, err := c.t.cfg.State.Table.Get(storeKey)
	if err != nil {
		c.Fail(storeError{fmt.Errorf("read state: %w", err)})
	}
	return v, found
}

func (c *taskContext) joinKey(topic string, key []byte) []byte {
	c.joinK = state.JoinKey(c.joinK[:0], topic, key)
	return c.joinK
}

// decode decodes state for a callback. The codec may keep the slice it is given
// and the callback may change the value, so the codec gets a copy unless it is
// known to make one.
func (c *taskContext) decode(name string, codec interface{ Decode([]byte) (any, error) }, data []byte) any {
	v, err := codec.Decode(owned(codec, data))
	if err != nil {
		c.Fail(fmt.Errorf("decode the value of %s: %w", name, err))
	}
	return v
}

// encode encodes a value for a topic or store into memory that lives until the next
// encode.
func (c *taskContext) encode(name string, codec schema.Appender, value any) []byte {
	data, err := codec.AppendEncode(c.value[:0], value)
	if err != nil {
		c.Fail(fmt.Errorf("encode a value for %s: %w", name, err))
	}
	c.value = data
	return data
}

func (c *taskContext) table() *topology.TablePlan {
	if c.plan.Table == nil {
		c.Fail(fmt.Errorf("group %s has no table: add a Persist edge", c.plan.Group))
	}
	return c.plan.Table
}

// ---- goka.Context

func (c *taskContext) Topic() goka.Stream       { return goka.Stream(c.rec.Topic) }
func (c *taskContext) Partition() int32         { return c.rec.Partition }
func (c *taskContext) Offset() int64            { return c.rec.Offset }
func (c *taskContext) Group() goka.Group        { return goka.Group(c.plan.Group) }
func (c *taskContext) Context() context.Context { return c.t.cfg.Context }

// Fail leaves the callback. A nil error is a failure, too.
func (c *taskContext) Fail(err error) {
	if err == nil {
		err = errFailed
	}
	panic(failure{err})
}

// Timestamp returns the zero time where the record has none, as goka does.
func (c *taskContext) Timestamp() time.Time {
	if c.rec.Timestamp < 0 {
		return time.Time{}
	}
	return c.rec.Time()
}

func (c *taskContext) Key() string {
	if !c.hasKey {
		c.key, c.hasKey = string(c.rec.Key), true
	}
	return c.key
}

func (c *taskContext) Headers() goka.Headers {
	if c.headers == nil {
		c.headers = make(goka.Headers, len(c.rec.Headers))
		for _, h := range c.rec.Headers {
			c.headers[h.Key] = bytes.Clone(h.Value)
		}
	}
	return c.headers
}

func (c *taskContext) Value() any {
	plan := c.table()
	data, found := c.get(c.storeK)
	if !found {
		return nil
	}
	return c.decode(plan.Topic, plan.Codec, data)
}

func (c *taskContext) SetValue(value any, options ...goka.ContextOption) {
	plan := c.table()
	if value == nil {
		c.Fail(errors.New("cannot set nil as value: use Delete"))
	}
	c.refuseHeaders("SetValue", options)
	c.SetValueBytes(c.encode(plan.Topic, plan.Codec, value))
}

func (c *taskContext) Delete(options ...goka.ContextOption) {
	c.table()
	c.refuseHeaders("Delete", options)
	c.writes.add(c.storeK, nil, true)
}

// refuseHeaders says that a table's records carry no headers: only the last of a
// transaction's values per key is written, and headers of the others would vanish
// without a word.
func (c *taskContext) refuseHeaders(method string, options []goka.ContextOption) {
	if len(options) > 0 && len(processors.EmitHeaders(options...)) > 0 {
		c.Fail(fmt.Errorf("%s: headers on a table's record are not kept, for a transaction writes only the last value of a key; emit them to an output instead", method))
	}
}

func (c *taskContext) join(table goka.Table) *topology.InputPlan {
	in := c.joins[string(table)]
	if in == nil {
		c.Fail(fmt.Errorf("table %s is not joined: add a Join edge", table))
	}
	return in
}

func (c *taskContext) Join(table goka.Table) any {
	in := c.join(table)
	data, found := c.get(c.joinKey(in.Topic, c.rec.Key))
	if !found {
		return nil
	}
	return c.decode(in.Topic, in.Codec, data)
}

func (c *taskContext) lookup(table goka.Table) Lookup {
	if c.lookups[string(table)] == nil {
		c.Fail(fmt.Errorf("table %s is not looked up: add a Lookup edge", table))
	}
	return c.t.cfg.Lookups[string(table)]
}

func (c *taskContext) Lookup(table goka.Table, key string) any {
	v, err := c.lookup(table).Get(key)
	if err != nil {
		c.Fail(fmt.Errorf("look up %q in %s: %w", key, table, err))
	}
	return v
}

func (c *taskContext) Emit(topic goka.Stream, key string, value any, options ...goka.ContextOption) {
	c.emitValue(c.output(topic), key, value, options)
}

func (c *taskContext) Loopback(key string, value any, options ...goka.ContextOption) {
	if c.plan.Loop == nil {
		c.Fail(fmt.Errorf("group %s has no loop: add a Loop edge", c.plan.Group))
	}
	c.emitValue(c.plan.Loop, key, value, options)
}

func (c *taskContext) emitValue(out *topology.OutputPlan, key string, value any, options []goka.ContextOption) {
	o := Out{Topic: out.Topic, Key: c.arena.string(key), Timestamp: c.rec.Timestamp}
	if value != nil {
		o.Value = c.arena.bytes(c.encode(out.Topic, out.Codec, value))
	}
	if len(options) > 0 {
		for k, v := range processors.EmitHeaders(options...) {
			o.Headers = append(o.Headers, record.Header{Key: k, Value: c.arena.bytes(v)})
		}
		sortHeaders(o.Headers)
	}
	c.emit(o)
}

func (c *taskContext) emit(o Out) {
	c.checkSize(o.Topic, o.size())
	c.emits = append(c.emits, o)
}

func (c *taskContext) output(topic goka.Stream) *topology.OutputPlan {
	out := c.outputs[string(topic)]
	if out == nil {
		c.Fail(fmt.Errorf("topic %q is no output of group %s: add an Output edge (SetValue writes the table, Loopback the loop)", topic, c.plan.Group))
	}
	return out
}

func (c *taskContext) checkSize(topic string, size int) {
	if limit := c.t.cfg.MaxRecord[topic]; limit > 0 && size > limit {
		c.Fail(fmt.Errorf("%w: %d bytes, %s takes %d (max.message.bytes)", ErrTooLarge, size, topic, limit))
	}
}

func (c *taskContext) DeferCommit() func(error) {
	release := c.t.hold.add()
	c.defers = append(c.defers, release)
	return release
}

// ---- processors.Context

func (c *taskContext) Record() *record.Record { return c.rec }

// StreamTime includes the record's own timestamp; a visit's is the wall clock's,
// which is not the stream's.
func (c *taskContext) StreamTime() time.Time {
	ms := c.t.pos.StreamTime
	if c.rec.Offset >= 0 {
		ms = max(ms, c.rec.Timestamp)
	}
	return time.UnixMilli(ms).UTC()
}

func (c *taskContext) ValueBytes() ([]byte, bool) {
	c.table()
	return c.get(c.storeK)
}

func (c *taskContext) SetValueBytes(value []byte) {
	plan := c.table()
	c.checkSize(plan.Topic, len(c.rec.Key)+len(value)+recordOverhead)
	c.writes.add(c.storeK, value, false)
}

func (c *taskContext) Store(name string) processors.Store {
	s := c.stores[name]
	if s == nil {
		c.Fail(fmt.Errorf("group %s has no store %q: add a Store edge", c.plan.Group, name))
	}
	return s
}

func (c *taskContext) EmitRecord(topic goka.Stream, r processors.Emit) {
	out := c.output(topic)
	o := Out{Topic: out.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
	if o.Timestamp == 0 {
		o.Timestamp = c.rec.Timestamp
	}
	c.emit(o)
}

func (c *taskContext) Count(fate record.Fate) {
	if fate >= record.Dead {
		c.Fail(fmt.Errorf("count %s (%d): a callback counts a record as processed, filtered, duplicate or late; use Fail for one that is dead", fate, fate))
	}
	c.fate = fate
}

func (c *taskContext) Scratch() []byte     { return c.scratch }
func (c *taskContext) SetScratch(b []byte) { c.scratch = b }

// ---- processors.Arena and processors.Tables

func (c *taskContext) Arena() []byte    { return c.arena.spare() }
func (c *taskContext) Keep(used []byte) { c.arena.keep(used) }

func (c *taskContext) JoinBytes(table goka.Table) ([]byte, bool) {
	return c.get(c.joinKey(c.join(table).Topic, c.rec.Key))
}

func (c *taskContext) LookupBytes(table goka.Table, key string) ([]byte, bool) {
	data, found, err := c.lookup(table).GetBytes([]byte(key))
	if err != nil {
		c.Fail(fmt.Errorf("look up %q in %s: %w", key, table, err))
	}
	return data, found
}

var (
	_ processors.Arena  = (*taskContext)(nil)
	_ processors.Tables = (*taskContext)(nil)
)
