package task

import (
	"bytes"
	"cmp"
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
	t        *Task
	plan     *topology.Plan
	rec      *record.Record
	own      ownValue // what the callback has written under rec's key in the group table
	writes   writeSet // what it has written elsewhere
	emits    []Out
	muted    bool // rec leads to nothing in outputs …
	silenced int  // … and so many records for them were dropped
	fate     record.Fate
	key      string // of rec, once asked for
	hasKey   bool
	// preloaded says that storeK is the last one that was taken from the task's list.
	preloaded bool
	headers   goka.Headers
	storeK    state.Key // rec's key in the group table
	keyBuf    []byte    // of storeK where the record was not preloaded
	joinK     []byte
	scratch   []byte
	value     []byte
	arena     arena
	defers    []func(error) // releases of the running callback's DeferCommit
	stores    map[string]*namedStore
	outputs   map[string]*output
	last      *output // that was asked for last
	loop      *output
	joins     map[string]*topology.InputPlan
	lookups   map[string]*topology.TablePlan

	tableDecode func([]byte) (any, error)
	tableCopies bool // the table's codec does
	tableLimit  int  // of a record of the table's topic, 0: none
	stateLimit  int
}

// ownValue is a pending write to the record's own key.
type ownValue struct {
	data    []byte
	written bool
	deleted bool
}

// output is a topic that callbacks emit to; limit is what a record may measure.
type output struct {
	*topology.OutputPlan
	limit int
}

func (c *taskContext) init(t *Task) {
	c.t, c.plan = t, t.plan
	c.stores = map[string]*namedStore{}
	for i := range c.plan.Stores {
		s := &c.plan.Stores[i]
		c.stores[s.Name] = &namedStore{ctx: c, plan: s, prefix: state.NamedKey(nil, s.Name, nil)}
	}
	limits := t.cfg.MaxRecord
	c.outputs = map[string]*output{}
	for i := range c.plan.Outputs {
		o := &c.plan.Outputs[i]
		c.outputs[o.Topic] = &output{o, limits[o.Topic]}
	}
	if l := c.plan.Loop; l != nil {
		c.loop = &output{l, limits[l.Topic]}
	}
	if tbl := c.plan.Table; tbl != nil {
		c.tableCopies, c.tableLimit = decodesCopy(tbl.Codec), limits[tbl.Topic]
		c.tableDecode = schema.Decoding(tbl.Codec)
	}
	c.stateLimit = limits[c.plan.StateTopic]
	c.joins = map[string]*topology.InputPlan{}
	for i := range c.plan.Inputs {
		if in := &c.plan.Inputs[i]; in.Kind == topology.JoinInput {
			c.joins[cmp.Or(in.Name, in.Topic)] = in
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
	c.muted = in.mutes(r)
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
	c.rec, c.fate, c.hasKey, c.preloaded, c.headers, c.muted = r, record.Processed, false, false, nil, false
	c.defers = c.defers[:0]
	c.drop()
	if c.plan.Table != nil {
		c.storeK = c.storeKey(r.Key)
	}
}

// storeKey returns a key of the group table, hashed: that of the next preloaded
// record where it is this one.
func (c *taskContext) storeKey(key []byte) state.Key {
	k, ok := c.t.keys.take(key)
	if c.preloaded = ok; ok {
		return k
	}
	c.keyBuf = state.TableKey(c.keyBuf[:0], key)
	return c.t.cfg.State.Table.Key(c.keyBuf)
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
	c.own.written = false
	c.writes.reset()
	c.emits, c.silenced = c.emits[:0], 0
}

// apply makes the writes of the callback that has returned.
func (c *taskContext) apply() error {
	table := c.t.cfg.State.Table
	table.SetStamp(c.stamp())
	var err error
	switch own := &c.own; {
	case !own.written:
	case own.deleted:
		err = table.DeleteKey(c.storeK)
	default:
		err = table.SetKey(c.storeK, own.data)
	}
	for i := 0; i < len(c.writes.list) && err == nil; i++ {
		if key, value, deleted := c.writes.at(i); deleted {
			err = table.Delete(key)
		} else {
			err = table.Set(key, value)
		}
	}
	if err != nil {
		return storeError{fmt.Errorf("write state: %w", err)}
	}
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
	return c.read(c.t.cfg.State.Table.Get(storeKey))
}

// getOwn reads the record's own key in the group table.
func (c *taskContext) getOwn() (value []byte, found bool) {
	if c.own.written {
		return c.own.data, !c.own.deleted
	}
	return c.read(c.t.cfg.State.Table.GetKey(c.storeK))
}

func (c *taskContext) read(value []byte, found bool, err error) ([]byte, bool) {
	if err != nil {
		c.Fail(storeError{fmt.Errorf("read state: %w", err)})
	}
	return value, found
}

func (c *taskContext) joinKey(topic string, key []byte) []byte {
	c.joinK = state.JoinKey(c.joinK[:0], topic, key)
	return c.joinK
}

// decode decodes state for a callback. The codec may keep the slice it is given
// and the callback may change the value, so the codec gets a copy unless it is
// known to make one.
func (c *taskContext) decode(name string, codec decoder, data []byte) any {
	if !decodesCopy(codec) {
		data = bytes.Clone(data)
	}
	return c.decoded(name, codec.Decode, data)
}

// decoded decodes what the codec may keep.
func (c *taskContext) decoded(name string, decode func([]byte) (any, error), data []byte) any {
	v, err := decode(data)
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
		c.key, c.hasKey = c.keyString(), true
	}
	return c.key
}

// keyString makes a string of the record's key, out of one for it and its neighbours
// where the record was preloaded.
func (c *taskContext) keyString() string {
	if c.preloaded {
		return c.t.keys.text()
	}
	return string(c.rec.Key)
}

func (c *taskContext) Headers() goka.Headers {
	if c.headers == nil {
		c.headers = make(goka.Headers, len(c.rec.Headers))
		for _, h := range c.rec.Headers {
			if h.Key == HeaderMuted {
				continue // the loop's, not the callback's
			}
			c.headers[h.Key] = bytes.Clone(h.Value)
		}
	}
	return c.headers
}

func (c *taskContext) Value() any {
	plan := c.table()
	data, found := c.getOwn()
	if !found {
		return nil
	}
	if !c.tableCopies {
		data = bytes.Clone(data)
	}
	return c.decoded(plan.Topic, c.tableDecode, data)
}

func (c *taskContext) SetValue(value any, options ...goka.ContextOption) {
	plan := c.table()
	if value == nil {
		c.Fail(errors.New("cannot set nil as value: use Delete"))
	}
	c.refuseHeaders("SetValue", options)
	data := c.encode(plan.Topic, plan.Codec, value)
	c.checkOwn(data)
	c.own.data, c.value = data, c.own.data // what is read is not what the next value is encoded into
	c.own.written, c.own.deleted = true, false
}

func (c *taskContext) Delete(options ...goka.ContextOption) {
	c.table()
	c.refuseHeaders("Delete", options)
	c.own.written, c.own.deleted = true, true
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
	c.emitValue(c.loop, key, value, options)
}

func (c *taskContext) emitValue(out *output, key string, value any, options []goka.ContextOption) {
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
	c.emit(out, &o)
}

func (c *taskContext) emit(out *output, o *Out) {
	if out.limit > 0 {
		c.checkSize(o.Topic, o.size(), out.limit)
	}
	if c.muted && c.silence(out, o) {
		return
	}
	c.emits = append(c.emits, *o)
}

func (c *taskContext) output(topic goka.Stream) *output {
	if c.last != nil && c.last.Topic == string(topic) {
		return c.last
	}
	out := c.outputs[string(topic)]
	if out == nil {
		c.Fail(fmt.Errorf("topic %q is no output of group %s: add an Output edge (SetValue writes the table, Loopback the loop)", topic, c.plan.Group))
	}
	c.last = out
	return out
}

func (c *taskContext) checkSize(topic string, size, limit int) {
	if limit > 0 && size > limit {
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
	return c.getOwn()
}

func (c *taskContext) SetValueBytes(value []byte) {
	c.table()
	c.checkOwn(value)
	c.own.data = append(c.own.data[:0], value...)
	c.own.written, c.own.deleted = true, false
}

// checkOwn sees to it that the table's topic takes a value of the record's key.
func (c *taskContext) checkOwn(value []byte) {
	c.checkSize(c.plan.Table.Topic, len(c.rec.Key)+len(value)+recordOverhead, c.tableLimit)
}

func (c *taskContext) Store(name string) processors.Store {
	s := c.stores[name]
	if s == nil {
		c.Fail(fmt.Errorf("group %s has no store %q: add a Store edge", c.plan.Group, name))
	}
	return s
}

func (c *taskContext) EmitRecord(topic goka.Stream, r processors.Emit) {
	r.Key, r.Value = c.arena.copy(r.Key), c.arena.copy(r.Value)
	c.EmitKept(topic, r)
}

func (c *taskContext) EmitKept(topic goka.Stream, r processors.Emit) {
	out := c.output(topic)
	o := Out{Topic: out.Topic, Key: r.Key, Value: r.Value, Headers: c.arena.headers(r.Headers), Timestamp: r.Timestamp}
	if o.Timestamp == 0 {
		o.Timestamp = c.rec.Timestamp
	}
	c.emit(out, &o)
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
