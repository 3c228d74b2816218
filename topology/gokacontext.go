package topology

import (
	"errors"
	"fmt"
	"time"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
)

var errNoStreamTime = errors.New("stock goka has no stream time; run the group on kappa")

// gokasContext gives goka.Context a field name that does not collide with its
// method Context.
type gokasContext = goka.Context

// gokaContext is a processors.Context over one of stock goka's. It lives for one
// callback.
type gokaContext struct {
	gokasContext
	plan    *Plan
	record  record.Record
	scratch []byte
}

var _ processors.Context = (*gokaContext)(nil)

// read makes the record of goka's context and the message, which it encodes
// again; it reports whether it could.
func (c *gokaContext) read(codec schema.Appender, msg any) bool {
	c.record = record.Record{
		Topic: string(c.Topic()), Partition: c.Partition(), LeaderEpoch: -1, Offset: c.Offset(),
		Key: []byte(c.Key()),
	}
	if t := c.Timestamp(); !t.IsZero() {
		c.record.Timestamp = t.UnixMilli()
	}
	for k, v := range c.Headers() {
		c.record.Headers = append(c.record.Headers, record.Header{Key: k, Value: v})
	}
	if msg == nil {
		return true
	}
	value, err := codec.Encode(msg)
	if err != nil {
		c.Fail(err)
		return false
	}
	c.record.Value = value
	return true
}

func (c *gokaContext) Record() *record.Record { return &c.record }

func (c *gokaContext) ValueBytes() ([]byte, bool) {
	v := c.Value()
	if v == nil {
		return nil, false
	}
	data, err := c.plan.Table.Codec.Encode(v)
	if err != nil {
		c.Fail(err)
	}
	return data, err == nil
}

func (c *gokaContext) SetValueBytes(data []byte) {
	if c.plan.Table == nil {
		c.Fail(fmt.Errorf("group %s has no table; add topology.PersistOf", c.plan.Group))
		return
	}
	v, err := c.plan.Table.Codec.Decode(data)
	if err != nil {
		c.Fail(err)
		return
	}
	c.SetValue(v)
}

func (c *gokaContext) EmitRecord(topic goka.Stream, r processors.Emit) {
	if r.Timestamp != 0 && r.Timestamp != c.record.Timestamp {
		c.Fail(fmt.Errorf("emit to %s: goka cannot set the timestamp of a record; leave it 0 to run on stock goka", topic))
		return
	}
	value, err := c.decodeEmit(topic, r.Value)
	if err != nil {
		c.Fail(fmt.Errorf("emit to %s: %w", topic, err))
		return
	}
	if len(r.Headers) == 0 {
		c.Emit(topic, string(r.Key), value)
		return
	}
	headers := make(goka.Headers, len(r.Headers))
	for _, h := range r.Headers {
		headers[h.Key] = h.Value
	}
	c.Emit(topic, string(r.Key), value, goka.WithCtxEmitHeaders(headers))
}

// decodeEmit makes the value that goka is to encode again. Of a topic that is no
// output goka itself complains.
func (c *gokaContext) decodeEmit(topic goka.Stream, data []byte) (any, error) {
	if data == nil {
		return nil, nil
	}
	for _, o := range c.plan.Outputs {
		if o.Topic == string(topic) {
			return o.Codec.Decode(data)
		}
	}
	return nil, nil
}

func (c *gokaContext) Count(record.Fate) {}

func (c *gokaContext) Scratch() []byte { return c.scratch }

func (c *gokaContext) SetScratch(s []byte) { c.scratch = s }

// StreamTime fails the callback: goka does not know it.
func (c *gokaContext) StreamTime() time.Time {
	c.Fail(errNoStreamTime)
	return time.Time{}
}

// Store fails the callback: goka has no named stores.
func (c *gokaContext) Store(name string) processors.Store {
	c.Fail(fmt.Errorf("store %q: stock goka has no named stores; run the group on kappa", name))
	return nil
}
