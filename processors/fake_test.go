package processors_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
)

type kappaGoka = goka.Context

// fake is a small processors.Context over memory, of one key. Failing panics with
// a failure, as contexts do.
type fake struct {
	kappaGoka // nil: methods that a test does not need
	rec       record.Record
	value     []byte
	found     bool
	isNil     bool              // what was set last
	tables    map[string][]byte // of joins and lookups: table/key
	codec     schema.Appender   // of the tables
	store     fakeStore
	emitted   []string
	scratch   []byte
	discard   bool // do not note emits
}

type failure struct{ error }

var _ processors.Context = (*fake)(nil)

func (f *fake) Topic() goka.Stream            { return "in" }
func (f *fake) Key() string                   { return "k" }
func (f *fake) Fail(err error)                { panic(failure{err}) }
func (f *fake) Context() context.Context      { return context.Background() }
func (f *fake) Record() *record.Record        { return &f.rec }
func (f *fake) StreamTime() time.Time         { return time.UnixMilli(5).UTC() }
func (f *fake) ValueBytes() ([]byte, bool)    { return f.value, f.found }
func (f *fake) Store(string) processors.Store { return &f.store }
func (f *fake) Count(record.Fate)             {}
func (f *fake) Scratch() []byte               { return f.scratch }
func (f *fake) SetScratch(s []byte)           { f.scratch = s }

func (f *fake) SetValueBytes(v []byte) {
	f.value, f.found, f.isNil = append(f.value[:0], v...), true, v == nil
}

func (f *fake) EmitRecord(topic goka.Stream, r processors.Emit) {
	if f.discard {
		return
	}
	text := fmt.Sprintf("%s %q=%q", topic, r.Key, r.Value)
	if r.Value == nil {
		text = fmt.Sprintf("%s %q deleted", topic, r.Key)
	}
	if r.Timestamp != 0 || r.Headers != nil {
		text += fmt.Sprintf(" at %d with %v", r.Timestamp, r.Headers)
	}
	f.emitted = append(f.emitted, text)
}

func (f *fake) Join(t goka.Table) any { return f.Lookup(t, "k") }

func (f *fake) Lookup(t goka.Table, key string) any {
	data, ok := f.tables[string(t)+"/"+key]
	if !ok {
		return nil
	}
	v, err := f.codec.Decode(data)
	if err != nil {
		f.Fail(err)
	}
	return v
}

// failureOf runs fn and returns the error that it failed with.
func failureOf(fn func()) (err error) {
	defer func() {
		if f, ok := recover().(failure); ok {
			err = f.error
		}
	}()
	fn()
	return nil
}

// lending is a fake that lends memory and encoded values.
type lending struct {
	fake
	chunk []byte
}

func (l *lending) Arena() []byte    { return l.chunk[len(l.chunk):] }
func (l *lending) Keep(used []byte) { l.chunk = l.chunk[:len(l.chunk)+len(used)] }

func (l *lending) EmitKept(topic goka.Stream, r processors.Emit) { l.EmitRecord(topic, r) }

func (l *lending) JoinBytes(t goka.Table) ([]byte, bool) { return l.LookupBytes(t, "k") }

func (l *lending) LookupBytes(t goka.Table, key string) ([]byte, bool) {
	data, ok := l.tables[string(t)+"/"+key]
	return data, ok
}

// fakeStore is a sorted slice.
type fakeStore struct{ pairs []pair }

type pair struct {
	key   string
	value []byte
}

func (s *fakeStore) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(s.pairs, key, func(p pair, k []byte) int { return cmp.Compare(p.key, string(k)) })
}

func (s *fakeStore) Get(string) any                      { return nil }
func (s *fakeStore) Set(string, any)                     {}
func (s *fakeStore) Delete(string)                       {}
func (s *fakeStore) Scan(string, func(string, any) bool) {}

func (s *fakeStore) GetBytes(key []byte) ([]byte, bool) {
	i, ok := s.find(key)
	if !ok {
		return nil, false
	}
	return s.pairs[i].value, true
}

func (s *fakeStore) SetBytes(key, value []byte) {
	i, ok := s.find(key)
	if !ok {
		s.pairs = slices.Insert(s.pairs, i, pair{key: string(key)})
	}
	s.pairs[i].value = append(s.pairs[i].value[:0], value...)
}

func (s *fakeStore) DeleteBytes(key []byte) {
	if i, ok := s.find(key); ok {
		s.pairs = slices.Delete(s.pairs, i, i+1)
	}
}

func (s *fakeStore) ScanBytes(from, to []byte, fn func(key, value []byte) bool) {
	for _, p := range s.pairs {
		if p.key >= string(from) && (to == nil || p.key < string(to)) && !fn([]byte(p.key), p.value) {
			return
		}
	}
}

func (s *fakeStore) String() string {
	var b strings.Builder
	for _, p := range s.pairs {
		fmt.Fprintf(&b, "%s=%s ", p.key, p.value)
	}
	return strings.TrimSpace(b.String())
}
