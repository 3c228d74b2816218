package views

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// fakeCluster is Kafka as a view sees it: logs in memory.
type fakeCluster struct {
	mu      sync.Mutex // guards what follows
	topics  map[string]*fakeTopic
	aliases map[string]string
	changed chan struct{} // closed at each change
	opened  []record.Position
	id      byte
}

type fakeTopic struct {
	src   source
	parts []*fakeLog
}

type fakeLog struct {
	start   int64
	epoch   int32
	entries []fakeEntry // offset = index
}

type fakeEntry struct {
	record *record.Record // nil: a control record
	last   bool           // of a transaction: readers stop only behind such entries
}

const day = 24 * time.Hour

func newFakeCluster(topics ...string) *fakeCluster {
	c := &fakeCluster{topics: map[string]*fakeTopic{}, aliases: map[string]string{}, changed: make(chan struct{})}
	for _, t := range topics {
		c.create(t, 2)
	}
	return c
}

func (c *fakeCluster) create(topic string, partitions int32) {
	c.change(func() {
		c.id++
		t := &fakeTopic{src: source{Cluster: "c1", Topic: topic, ID: record.TopicID{c.id}, Partitions: partitions, DeleteRetention: 7 * day}}
		for range partitions {
			t.parts = append(t.parts, &fakeLog{})
		}
		c.topics[topic] = t
	})
}

func (c *fakeCluster) change(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *fakeCluster) log(topic string, p int32) *fakeLog { return c.topics[topic].parts[p] }

// put commits one transaction to a partition: "k=v" sets, "k" deletes. It returns
// the position after it.
func (c *fakeCluster) put(topic string, p int32, changes ...string) record.Position {
	var rs []record.Record
	for _, ch := range changes {
		rs = append(rs, parseChange(ch))
	}
	return c.append(topic, p, true, rs...)
}

func parseChange(s string) record.Record {
	for i := range s {
		if s[i] == '=' {
			return record.Record{Key: []byte(s[:i]), Value: []byte(s[i+1:])}
		}
	}
	return record.Record{Key: []byte(s)}
}

// append adds records; committed ones are followed by a control record.
func (c *fakeCluster) append(topic string, p int32, committed bool, rs ...record.Record) record.Position {
	var at record.Position
	c.change(func() {
		l := c.log(topic, p)
		for _, r := range rs {
			r.Topic, r.Partition, r.Offset, r.LeaderEpoch = topic, p, int64(len(l.entries)), l.epoch
			l.entries = append(l.entries, fakeEntry{record: &r})
		}
		if committed {
			l.entries = append(l.entries, fakeEntry{last: true})
		}
		at = record.Position{Cluster: "c1", Topic: topic, TopicID: c.topics[topic].src.ID, Partition: p, Offset: int64(len(l.entries))}
	})
	return at
}

func (c *fakeCluster) commitInputs(group string, task int32, inputs ...record.Position) {
	ps := changelog.Positions{Cluster: "c1", Inputs: inputs}
	c.append(group+"-state", task, true, record.Record{Key: changelog.PositionsKey(), Value: ps.Append(nil)})
}

func (c *fakeCluster) Ends(ctx context.Context, p record.Partition) (record.Ends, error) {
	ends, err := c.EndsOf(ctx, p)
	return ends[p], err
}

func (c *fakeCluster) EndsOf(_ context.Context, ps ...record.Partition) (map[record.Partition]record.Ends, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ends := map[record.Partition]record.Ends{}
	for _, p := range ps {
		t := c.topics[p.Topic]
		if t == nil || int(p.Partition) >= len(t.parts) {
			return nil, fmt.Errorf("%s: %w", p, record.ErrUnknownTopic)
		}
		l := t.parts[p.Partition]
		ends[p] = record.Ends{TopicID: t.src.ID, LeaderEpoch: l.epoch, Start: l.start,
			LastStable: int64(len(l.entries)), HighWatermark: int64(len(l.entries))}
	}
	return ends, nil
}

func (c *fakeCluster) Open(p record.Partition, from int64) record.LogReader {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened = append(c.opened, record.Position{Topic: p.Topic, Partition: p.Partition, Offset: from})
	return &fakeReader{c: c, p: p, next: from, id: c.topics[p.Topic].src.ID}
}

func (c *fakeCluster) describe(_ context.Context, topic string) (source, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.topics[topic]; t != nil {
		return t.src, nil
	}
	return source{}, record.ErrUnknownTopic
}

func (c *fakeCluster) resolve(_ context.Context, name string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.aliases[name]; ok {
		return t, nil
	}
	return name + "-table", nil
}

func (c *fakeCluster) watch(ctx context.Context, changed func()) error {
	var seen map[string]string
	for {
		c.mu.Lock()
		wake, now := c.changed, maps.Clone(c.aliases)
		c.mu.Unlock()
		if !maps.Equal(seen, now) {
			seen = now
			changed()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
	}
}

type fakeReader struct {
	c    *fakeCluster
	p    record.Partition
	id   record.TopicID
	next int64
}

func (r *fakeReader) Close() {}

func (r *fakeReader) Next(ctx context.Context) (record.Batch, error) {
	for {
		b, wake, err := r.take()
		if err != nil || b.Next > 0 {
			return b, err
		}
		select {
		case <-ctx.Done():
			return record.Batch{}, ctx.Err()
		case <-wake:
		}
	}
}

// take returns whole transactions, two at most, so that batches end in the middle
// of logs.
func (r *fakeReader) take() (record.Batch, <-chan struct{}, error) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	t := r.c.topics[r.p.Topic]
	if t == nil {
		return record.Batch{}, nil, record.ErrUnknownTopic
	}
	l := t.parts[r.p.Partition]
	switch {
	case t.src.ID != r.id:
		return record.Batch{}, nil, record.ErrRecreated
	case r.next < l.start || r.next > int64(len(l.entries)):
		return record.Batch{}, nil, fmt.Errorf("%s@%d: %w", r.p, r.next, record.ErrOffsetOutOfRange)
	}
	b := record.Batch{LeaderEpoch: l.epoch}
	var open []record.Record
	for i, ended := r.next, 0; i < int64(len(l.entries)) && ended < 2; i++ {
		e := l.entries[i]
		if e.record != nil {
			open = append(open, e.record.Clone())
		}
		if e.last {
			b.Records, open = append(b.Records, open...), nil
			b.Next = i + 1
			ended++
		}
	}
	if b.Next > 0 {
		r.next = b.Next
	}
	return b, r.c.changed, nil
}

// openView opens a view of "t" on fakes and closes it when the test ends.
func openView(t *testing.T, c *fakeCluster, change ...func(*Config)) *View {
	t.Helper()
	cfg := Config{Table: "t", DB: state.NewMemory()}
	for _, fn := range change {
		fn(&cfg)
	}
	v, err := open(t.Context(), cfg, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return v
}

func caughtUp(t *testing.T, v *View) {
	t.Helper()
	if err := v.WaitCaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// rows returns "k=v" of all rows.
func rows(t *testing.T, v *View, q Query) string {
	t.Helper()
	s := ""
	if err := v.Iterate(q, func(r Row) error { s += r.Key + "=" + string(r.Bytes) + " "; return nil }); err != nil {
		t.Fatal(err)
	}
	return s
}

type upper struct{}

func (upper) Decode(b []byte) (any, error) {
	if string(b) == "bad" {
		return nil, errors.New("no such value")
	}
	return "decoded " + string(b), nil
}
