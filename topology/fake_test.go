package topology_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

type gokaBase = goka.Context

// fake is a small processors.Context over one key's value; what happens is
// written to its log.
type fake struct {
	gokaBase // nil: methods that a test does not need
	codec    schema.Appender
	rec      *record.Record
	value    []byte
	scratch  []byte
	log      []string
}

var _ processors.Context = (*fake)(nil)

func (f *fake) Topic() goka.Stream            { return goka.Stream(f.rec.Topic) }
func (f *fake) Key() string                   { return string(f.rec.Key) }
func (f *fake) Fail(err error)                { panic(err) }
func (f *fake) Record() *record.Record        { return f.rec }
func (f *fake) StreamTime() time.Time         { return f.rec.Time() }
func (f *fake) ValueBytes() ([]byte, bool)    { return f.value, f.value != nil }
func (f *fake) SetValueBytes(v []byte)        { f.value = append([]byte{}, v...) }
func (f *fake) Store(string) processors.Store { return nil }
func (f *fake) Count(record.Fate)             {}
func (f *fake) Scratch() []byte               { return f.scratch }
func (f *fake) SetScratch(s []byte)           { f.scratch = s }

func (f *fake) Value() any {
	if f.value == nil {
		return nil
	}
	v, err := f.codec.Decode(f.value)
	if err != nil {
		panic(err)
	}
	return v
}

func (f *fake) SetValue(v any, _ ...goka.ContextOption) {
	data, err := f.codec.Encode(v)
	if err != nil {
		panic(err)
	}
	f.value = data
}

func (f *fake) EmitRecord(topic goka.Stream, r processors.Emit) {
	f.log = append(f.log, fmt.Sprintf("%s %s=%s", topic, r.Key, r.Value))
}

// feed runs the handler of a topic over key=value pairs; "key" alone is a
// tombstone.
func feed(f *fake, p *topology.Plan, topic string, pairs ...string) error {
	if p.Table != nil {
		f.codec = p.Table.Codec
	}
	for _, in := range p.Inputs {
		if in.Topic != topic {
			continue
		}
		handle := in.NewHandler()
		for _, pair := range pairs {
			key, value, ok := strings.Cut(pair, "=")
			f.rec = &record.Record{Topic: topic, Key: []byte(key)}
			if ok {
				f.rec.Value = []byte(value)
			}
			if err := handle(f, f.rec); err != nil {
				return err
			}
		}
	}
	return nil
}
