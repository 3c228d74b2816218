// Package sourcetest is the suite that every source of records must pass.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
)

// Log is where a source's records come from, as its tests write them.
type Log interface {
	// Topic makes a topic and returns its name.
	Topic(partitions int32) string
	// Write writes a transaction of these values, which commits or aborts, and
	// returns when a reader of committed records can see past its end.
	Write(p record.Partition, commit bool, values ...string)
}

// Bed is one log with one source.
type Bed struct {
	Log    Log
	Source sources.Source
}

// patience bounds every wait for records that must come.
const patience = 30 * time.Second

// Run runs the suite. The bed is made anew for each test; the suite closes the
// source.
func Run(t *testing.T, bed func(t *testing.T) Bed) {
	for name, test := range map[string]func(*poller){
		"committed records come once, in order, from the offset asked for": exactOffsets,
		"records that are written later follow":                            later,
		"aborted records never come, and the position passes them":         aborted,
		"partitions are independent":                                       independent,
		"a stopped partition is silent":                                    stopped,
		"a paused partition loses nothing":                                 paused,
		"a seek starts anew and its epoch says so":                         again,
		"a seek wakes a poll":                                              wakes,
		"a poll ends with its context":                                     ends,
		"released memory is nobody else's":                                 released,
		"an offset beyond the log is an error of its partition alone":      beyond,
		"a topic that was created again is an error":                       recreated,
		"the ends are those of the log":                                    extent,
		"a time stands for the first record that is as late":               times,
	} {
		t.Run(strings.ReplaceAll(name, ",", ""), func(t *testing.T) {
			t.Parallel()
			b := bed(t)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			t.Cleanup(cancel)
			t.Cleanup(b.Source.Close)
			test(&poller{T: t, Bed: b, ctx: ctx, values: map[record.Partition][]string{}, next: map[record.Partition]int64{}})
		})
	}
}

// poller keeps what a source has delivered.
type poller struct {
	*testing.T
	Bed
	ctx    context.Context
	epoch  map[record.Partition]uint64
	values map[record.Partition][]string
	next   map[record.Partition]int64
	failed map[record.Partition]error

	lenient bool // the seek is still to come
}

func (p *poller) seek(part record.Partition, offset int64, epoch uint64) {
	if p.epoch == nil {
		p.epoch, p.failed = map[record.Partition]uint64{}, map[record.Partition]error{}
	}
	p.epoch[part] = epoch
	p.values[part], p.next[part] = nil, offset
	delete(p.failed, part)
	p.Source.Seek(sources.Seek{Partition: part, Offset: offset, Epoch: epoch})
}

// poll takes what one Poll brings and checks that it goes on where it was.
func (p *poller) poll(ctx context.Context) error {
	fetched, err := p.Source.Poll(ctx)
	for i := range fetched {
		p.take(&fetched[i])
	}
	return err
}

func (p *poller) take(f *sources.Fetched) {
	p.Helper()
	defer f.Release()
	if p.lenient && f.Epoch < p.epoch[f.Partition] {
		return // fetched before the seek
	}
	if f.Epoch != p.epoch[f.Partition] {
		p.Fatalf("%s of epoch %d, not %d", f.Partition, f.Epoch, p.epoch[f.Partition])
	}
	if f.Err != nil {
		p.failed[f.Partition] = f.Err
		return
	}
	for _, r := range f.Records {
		if r.Topic != f.Partition.Topic || r.Partition != f.Partition.Partition || r.Offset < p.next[f.Partition] {
			p.Fatalf("%s: record of %s/%d at %d, position %d", f.Partition, r.Topic, r.Partition, r.Offset, p.next[f.Partition])
		}
		p.values[f.Partition] = append(p.values[f.Partition], string(r.Value))
		p.next[f.Partition] = r.Offset + 1
	}
	if f.Next < p.next[f.Partition] || f.HighWatermark >= 0 && f.HighWatermark < f.Next {
		p.Fatalf("%s: next %d after a record at %d, high watermark %d", f.Partition, f.Next, p.next[f.Partition]-1, f.HighWatermark)
	}
	p.next[f.Partition] = f.Next
}

// until polls until a partition has delivered values.
func (p *poller) until(part record.Partition, want ...string) {
	p.Helper()
	for len(p.values[part]) < len(want) && p.failed[part] == nil {
		if err := p.poll(p.ctx); err != nil {
			p.Fatalf("%s: %v; have %q, want %q", part, err, p.values[part], want)
		}
	}
	p.is(part, want...)
}

func (p *poller) is(part record.Partition, want ...string) {
	p.Helper()
	if !slices.Equal(p.values[part], want) || p.failed[part] != nil {
		p.Fatalf("%s: %q, want %q; error %v", part, p.values[part], want, p.failed[part])
	}
}

// quiet polls for a while in which nothing may come.
func (p *poller) quiet() {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 300*time.Millisecond)
	defer cancel()
	before := len(p.failed)
	for _, v := range p.values {
		before += len(v)
	}
	for p.poll(ctx) == nil {
	}
	after := len(p.failed)
	for _, v := range p.values {
		after += len(v)
	}
	if after != before {
		p.Fatalf("something came: %v %v", p.values, p.failed)
	}
}

// failure polls until a partition reports an error.
func (p *poller) failure(part record.Partition) error {
	p.Helper()
	for p.failed[part] == nil {
		if err := p.poll(p.ctx); err != nil {
			p.Fatal(err)
		}
	}
	return p.failed[part]
}

func at(topic string, partition int32) record.Partition {
	return record.Partition{Topic: topic, Partition: partition}
}

func exactOffsets(p *poller) {
	part := at(p.Log.Topic(1), 0)
	p.Log.Write(part, true, "a", "b", "c", "d")
	p.Log.Write(part, true, "e")
	p.seek(part, 0, 1)
	p.until(part, "a", "b", "c", "d", "e")
	p.seek(part, 2, 2)
	p.until(part, "c", "d", "e")
	p.quiet()
}

func later(p *poller) {
	part := at(p.Log.Topic(1), 0)
	p.Log.Write(part, true, "a")
	p.seek(part, 0, 1)
	p.until(part, "a")
	p.Log.Write(part, true, "b")
	p.until(part, "a", "b")
	p.Log.Write(part, true, "c", "d")
	p.until(part, "a", "b", "c", "d")
}

func aborted(p *poller) {
	part := at(p.Log.Topic(1), 0)
	p.Log.Write(part, false, "x", "y")
	p.Log.Write(part, true, "a")
	p.Log.Write(part, false, "z")
	p.Log.Write(part, true, "b")
	// x y - a - z - b -
	for from, want := range [][]string{{"a", "b"}, {"a", "b"}, {"a", "b"}, {"a", "b"}, {"b"}, {"b"}, {"b"}, {"b"}} {
		p.seek(part, int64(from), uint64(1+from))
		p.until(part, want...)
	}
}

func independent(p *poller) {
	topic, other := p.Log.Topic(3), p.Log.Topic(1)
	for i := range int32(3) {
		p.Log.Write(at(topic, i), true, fmt.Sprint("v", i), fmt.Sprint("w", i))
		p.seek(at(topic, i), int64(i%2), uint64(10+i))
	}
	p.Log.Write(at(other, 0), true, "o")
	p.seek(at(other, 0), 0, 99)
	p.until(at(topic, 0), "v0", "w0")
	p.until(at(topic, 1), "w1")
	p.until(at(topic, 2), "v2", "w2")
	p.until(at(other, 0), "o")
}

func stopped(p *poller) {
	topic := p.Log.Topic(2)
	for i := range int32(2) {
		p.Log.Write(at(topic, i), true, "a")
		p.seek(at(topic, i), 0, 1)
	}
	p.until(at(topic, 0), "a")
	p.until(at(topic, 1), "a")
	p.Source.Stop(at(topic, 0))
	for i := range int32(2) {
		p.Log.Write(at(topic, i), true, "b")
	}
	p.until(at(topic, 1), "a", "b")
	p.quiet()
	p.is(at(topic, 0), "a")
	p.seek(at(topic, 0), 0, 2)
	p.until(at(topic, 0), "a", "b")
}

func paused(p *poller) {
	topic := p.Log.Topic(2)
	for i := range int32(2) {
		p.Log.Write(at(topic, i), true, "a", "b")
	}
	p.seek(at(topic, 0), 0, 1)
	p.seek(at(topic, 1), 0, 1)
	p.Source.Pause(at(topic, 0))
	p.until(at(topic, 1), "a", "b")
	p.quiet()
	p.is(at(topic, 0))
	p.Log.Write(at(topic, 0), true, "c")
	p.Source.Resume(at(topic, 0))
	p.until(at(topic, 0), "a", "b", "c")
}

func again(p *poller) {
	part := at(p.Log.Topic(1), 0)
	p.Log.Write(part, true, "a", "b", "c")
	p.seek(part, 0, 1)
	p.until(part, "a", "b", "c")
	for epoch := uint64(2); epoch < 6; epoch++ {
		p.seek(part, int64(epoch%3), epoch)
		p.until(part, []string{"a", "b", "c"}[epoch%3:]...)
	}
	p.Source.Pause(part)
	p.seek(part, 1, 7)
	p.until(part, "b", "c")
}

func wakes(p *poller) {
	part := at(p.Log.Topic(1), 0)
	p.Log.Write(part, true, "a")
	p.seek(part, 0, 1)
	p.until(part, "a")
	p.epoch[part], p.values[part], p.next[part], p.lenient = 2, nil, 0, true
	wake := time.AfterFunc(100*time.Millisecond, func() { // a poll for news is under way
		p.Source.Seek(sources.Seek{Partition: part, Epoch: 2})
	})
	defer wake.Stop()
	p.until(part, "a")
}

func ends(p *poller) {
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Millisecond)
	defer cancel()
	if got, err := p.Source.Poll(ctx); !errors.Is(err, context.DeadlineExceeded) || len(got) > 0 {
		p.Fatalf("%v, %v", got, err)
	}
}

func released(p *poller) {
	part := at(p.Log.Topic(1), 0)
	for i := range 50 {
		p.Log.Write(part, true, fmt.Sprintf("value %02d", i))
	}
	p.epoch, p.failed = map[record.Partition]uint64{}, map[record.Partition]error{}
	p.Source.Seek(sources.Seek{Partition: part, Epoch: 1})
	var kept []sources.Fetched
	n := 0
	for n < 50 {
		fetched, err := p.Source.Poll(p.ctx)
		if err != nil {
			p.Fatal(err)
		}
		for _, f := range fetched {
			n += len(f.Records)
			kept = append(kept, f)
		}
	}
	n = 0
	for i := range kept {
		for _, r := range kept[i].Records {
			if want := fmt.Sprintf("value %02d", n); string(r.Value) != want {
				p.Errorf("%q at the place of %q", r.Value, want)
			}
			n++
		}
		kept[i].Release()
	}
}

func beyond(p *poller) {
	topic := p.Log.Topic(2)
	for i := range int32(2) {
		p.Log.Write(at(topic, i), true, "a")
	}
	p.seek(at(topic, 0), 1000, 1)
	p.seek(at(topic, 1), 0, 1)
	if err := p.failure(at(topic, 0)); !errors.Is(err, record.ErrOffsetOutOfRange) {
		p.Errorf("beyond the end: %v", err)
	}
	p.until(at(topic, 1), "a")
}

func recreated(p *poller) {
	part := at(p.Log.Topic(1), 0)
	p.Log.Write(part, true, "a")
	got, err := p.Source.Ends(p.ctx, part)
	if err != nil {
		p.Fatal(err)
	}
	p.seek(part, 0, 1)
	p.Source.Seek(sources.Seek{Partition: part, Epoch: 1, TopicID: record.TopicID{1, 2, 3}})
	if err := p.failure(part); !errors.Is(err, record.ErrRecreated) {
		p.Errorf("another topic's id: %v", err)
	}
	p.seek(part, 0, 2)
	p.Source.Seek(sources.Seek{Partition: part, Epoch: 2, TopicID: got[part].TopicID})
	p.until(part, "a")
}

func extent(p *poller) {
	topic := p.Log.Topic(2)
	p.Log.Write(at(topic, 1), true, "a", "b")
	got, err := p.Source.Ends(p.ctx, at(topic, 0), at(topic, 1))
	if err != nil {
		p.Fatal(err)
	}
	if e := got[at(topic, 0)]; e.Start != 0 || e.HighWatermark != 0 {
		p.Errorf("of an empty partition: %+v", e)
	}
	if e := got[at(topic, 1)]; e.Start != 0 || e.HighWatermark < 2 || e.LastStable != e.HighWatermark {
		p.Errorf("of two records: %+v", e)
	}
}

// times: neither markers, whose time is the broker's, nor aborted records count.
func times(p *poller) {
	topic := p.Log.Topic(2)
	part, empty := at(topic, 0), at(topic, 1)
	p.Log.Write(part, true, "a", "b") // at 0 and 1; the marker at 2
	p.Log.Write(part, false, "x")     // at 3
	p.Log.Write(part, true, "c", "d") // at 5 and 6; the marker at 7
	for _, of := range []struct{ time, want int64 }{{-1, 0}, {0, 0}, {1, 1}, {1000, 1}, {1001, 5}, {5000, 5}, {5001, 6}, {6001, 8}, {1 << 50, 8}} {
		got, err := p.Source.OffsetsAt(p.ctx, of.time, part, empty)
		if err != nil {
			p.Fatal(err)
		}
		if got[part] != of.want || got[empty] != 0 {
			p.Errorf("time %d: offsets %d and %d, want %d and 0", of.time, got[part], got[empty], of.want)
		}
	}
}
