package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// FetchConfig bounds a fetcher.
type FetchConfig struct {
	// MaxBytes is how much is asked for at a time from all brokers together, but at
	// least 1 MiB from each; as much again may be buffered. A batch of the log that
	// is larger is fetched all the same, alone. Default 16 MiB.
	MaxBytes int32
	// MaxPartitionBytes is how much is asked for at a time from one partition.
	// Default 512 KiB: what is decoded of it still lies in the processor's cache when
	// it is converted.
	MaxPartitionBytes int32
	// MaxWait is how long a broker may keep a request when there is nothing to
	// say. Default 500 ms.
	MaxWait time.Duration
}

// Seek starts a partition, or starts it anew, at an exact offset.
type Seek struct {
	Partition record.Partition
	Offset    int64
	// Epoch is repeated in all that is fetched until the next Seek of the
	// partition, so that its owner can tell old from new.
	Epoch uint64
	// TopicID is compared with the topic's, where it is known.
	TopicID record.TopicID
}

// Fetched is what one poll brought of one partition.
type Fetched struct {
	Partition record.Partition
	Epoch     uint64
	// Records are committed data records in order. They are valid until Release.
	Records []record.Record
	// Next is the offset after the last record or transaction marker seen. Offsets
	// that compaction or an abort emptied are passed together with what follows
	// them. Something always does: brokers never compact the newest segment, and an
	// aborted transaction ends with its marker. So, unless a transaction is open,
	// Next comes to equal the high watermark at the end of a log.
	Next          int64
	HighWatermark int64
	// Err says why the partition was stopped: it wraps record.ErrOffsetOutOfRange,
	// record.ErrUnknownTopic or record.ErrRecreated, or is a lack of permission or
	// a log that cannot be decoded. It comes after all records before it.
	Err error

	slab *records
}

// Release gives the records' memory back. It may be called once, from any
// goroutine; the records and their headers are dead afterwards.
func (f *Fetched) Release() {
	if f.slab != nil {
		f.slab.release()
		f.slab, f.Records = nil, nil
	}
}

// Fetcher reads many partitions for one poller. Poll and Close belong to that
// poller; the other methods may be called from any goroutine, and hold from the
// next return of Poll on.
type Fetcher struct {
	c    *Cluster
	cl   *kgo.Client
	pool recordPool

	mu    sync.Mutex // guards what follows
	todo  []command
	wake  context.CancelFunc // ends the poll under way, nil where there is none
	parts map[record.Partition]*fetching

	held []Fetched // fetched before their partition was paused; the poller's
}

// fetching is the state of one partition. The poller alone changes it.
type fetching struct {
	epoch  uint64
	next   int64
	id     record.TopicID
	paused bool
}

// ErrFetcherClosed is returned by Poll after Close.
var ErrFetcherClosed = errors.New("the fetcher is closed")

// command is a wish of another goroutine that the poller will carry out.
type command struct {
	kind commandKind
	seek Seek // or only its Partition
}

type commandKind uint8

const (
	seekCommand commandKind = iota
	stopCommand
	pauseCommand
	resumeCommand
)

// NewFetcher returns a fetcher of no partitions.
func (c *Cluster) NewFetcher(fc FetchConfig) (*Fetcher, error) {
	f := &Fetcher{c: c, parts: make(map[record.Partition]*fetching)}
	cl, err := c.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(max(1<<20, cmp.Or(fc.MaxBytes, 16<<20)/c.brokers())),
		kgo.FetchMaxPartitionBytes(cmp.Or(fc.MaxPartitionBytes, 512<<10)),
		kgo.FetchMaxWait(cmp.Or(fc.MaxWait, 500*time.Millisecond)),
		kgo.WithPools(&f.pool),
	)
	if err != nil {
		return nil, fmt.Errorf("fetcher: %w", err)
	}
	f.cl = cl
	return f, nil
}

// Close ends the fetcher. Records that were handed out stay valid.
func (f *Fetcher) Close() {
	f.cl.Close()
	for i := range f.held {
		f.held[i].Release()
	}
	f.held = nil
}

// Seek starts partitions at exact offsets. Whatever of them was fetched before is
// dropped; a paused partition is paused no more.
func (f *Fetcher) Seek(seeks ...Seek) {
	cs := make([]command, len(seeks))
	for i, s := range seeks {
		cs[i] = command{seekCommand, s}
	}
	f.enqueue(cs)
}

// Stop ends the fetching of partitions.
func (f *Fetcher) Stop(parts ...record.Partition) { f.each(stopCommand, parts) }

// Pause holds partitions back without losing what was fetched already.
func (f *Fetcher) Pause(parts ...record.Partition) { f.each(pauseCommand, parts) }

// Resume lets paused partitions go on.
func (f *Fetcher) Resume(parts ...record.Partition) { f.each(resumeCommand, parts) }

func (f *Fetcher) each(kind commandKind, parts []record.Partition) {
	cs := make([]command, len(parts))
	for i, p := range parts {
		cs[i] = command{kind, Seek{Partition: p}}
	}
	f.enqueue(cs)
}

func (f *Fetcher) enqueue(cs []command) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.todo = append(f.todo, cs...)
	if f.wake != nil && len(cs) > 0 {
		f.wake()
	}
}

// Poll returns what was fetched. It blocks until there is something, and returns
// ctx's error when ctx ends first.
func (f *Fetcher) Poll(ctx context.Context) ([]Fetched, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out := f.obey(ctx)
		if len(out) == 0 {
			var err error
			if out, err = f.pollOnce(ctx); err != nil {
				return nil, err
			}
		}
		if out = f.current(out); len(out) > 0 {
			return out, nil
		}
	}
}

// pollOnce waits for records, for ctx, or for a command.
func (f *Fetcher) pollOnce(ctx context.Context) ([]Fetched, error) {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	if !f.arm(cancel) {
		return nil, nil
	}
	fetches := f.cl.PollFetches(wait)
	f.arm(nil)
	if fetches.IsClientClosed() {
		return nil, ErrFetcherClosed
	}
	return f.convert(ctx, fetches), nil
}

// arm says how to interrupt the poll; it reports whether one may begin.
func (f *Fetcher) arm(cancel context.CancelFunc) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wake = cancel
	return cancel == nil || len(f.todo) == 0
}

// current drops what commands have overtaken while it was fetched, and keeps for
// later what belongs to partitions that are to be paused.
func (f *Fetcher) current(out []Fetched) []Fetched {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.todo) == 0 {
		return out
	}
	latest := make(map[record.Partition]commandKind, len(f.todo))
	for _, c := range f.todo {
		if was, ok := latest[c.seek.Partition]; ok && (was == seekCommand || was == stopCommand) {
			continue // decides over all that was fetched before
		}
		latest[c.seek.Partition] = c.kind
	}
	kept := out[:0]
	for i := range out {
		kind, ok := latest[out[i].Partition]
		switch {
		case !ok || kind == resumeCommand:
			kept = append(kept, out[i])
		case kind == pauseCommand:
			f.held = append(f.held, out[i])
		default:
			out[i].Release()
		}
	}
	return kept
}

var errDecode = errors.New("the log cannot be decoded")
