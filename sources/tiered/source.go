// Package tiered is the source that reads a topic's past from an archive and its
// present from Kafka, as one log.
//
// An archive holds the offsets up to some a of a partition, Kafka those from some b on.
// The source reads the archive up to a, looks whether both tell the same where they
// overlap, and goes on in Kafka at a+1: by offset, partition by partition. Positions
// are Kafka's throughout. Where b > a+1 the range between is lost, and a [GapError]
// names it. A partition that Kafka's retention overtakes goes back to the archive.
package tiered

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
)

// Config says what is joined. Archive, Live and Cluster are needed.
type Config struct {
	Archive *archive.Archive
	// Live reads from the brokers; the source closes it.
	Live sources.Source
	// Cluster is whose topics Live reads: its id is part of the archive's names, and
	// its logs are compared with the archive where they overlap.
	Cluster Cluster
	// Past are topics that Kafka does not know any more: they end where the archive of
	// the topic of that id ends, and hold nobody back then.
	Past map[string]record.TopicID
	// Budget bounds the memory of what is read ahead, and the bandwidth, of all
	// partitions. Default: 64 MiB, any bandwidth.
	Budget *archive.Budget
	// Near is how many offsets before the archive's end a partition starts in Kafka
	// all the same, if Kafka has them: a restart need not ask the bucket. Default
	// [DefaultNear], negative: none.
	Near int64
	// Skew is how far, in event time, a partition may run ahead of another that still
	// reads the archive. Default an hour, negative: any distance.
	Skew time.Duration
	Log  *slog.Logger // default: discards
}

// DefaultNear is Near's default.
const DefaultNear = 10_000

// Cluster is what the source needs to know of Kafka beside the records.
type Cluster interface {
	// ID returns the cluster's id, under which the archive keeps its logs.
	ID() string
	// OpenRaw returns a reader of a partition's batches in Kafka, which the source
	// closes.
	OpenRaw(p record.Partition, from int64) *kafka.RawReader
	// EpochEnd returns where the records of a leader epoch end in a partition's log, -1
	// where the broker does not know.
	EpochEnd(ctx context.Context, p record.Partition, epoch int32) (int64, error)
}

func (c Config) withDefaults() Config {
	if c.Budget == nil {
		c.Budget = archive.NewBudget(archive.BudgetConfig{MemoryBytes: 64 << 20})
	}
	if c.Near == 0 {
		c.Near = DefaultNear
	}
	if c.Skew == 0 {
		c.Skew = time.Hour
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Source joins an archive with a live source.
//
// Each partition that reads the archive has a goroutine, and one polls the live
// source; they put what they have where Poll finds it, and wait until it has been
// taken.
type Source struct {
	c       Config
	decoder *kafka.Decoder
	ctx     context.Context
	cancel  context.CancelFunc
	run     sync.WaitGroup
	news    chan struct{} // holds a token when Poll should look again
	room    chan struct{} // holds a token when the live source should

	mu    sync.Mutex // guards what follows
	parts map[record.Partition]*part
	turn  uint64 // counts seeks: the live source's epochs
	shut  bool
	err   error // of the live source
}

var _ sources.Source = (*Source)(nil)

// part is a partition's state.
type part struct {
	p      record.Partition
	seek   sources.Seek
	turn   uint64 // of its seek; what has another is of the past
	paused bool
	held   bool // the live source was told to wait, for the skew

	stage stage
	end   context.CancelFunc // of its goroutine, nil where it has none
	ready []sources.Fetched  // to be polled, in order
	taken chan struct{}      // holds a token when its goroutine may put something there
	clock int64              // timestamp of the last record that was polled, or none
}

// stage is where a partition's records come from.
type stage uint8

const (
	deciding stage = iota // its goroutine finds out
	past                  // the archive
	present               // the live source
	over                  // nowhere: nothing will come any more
)

// none stands for a clock that has not been set.
const none = -1 << 63

// Open returns a source of no partitions. The caller closes it.
func Open(c Config) *Source {
	s := &Source{c: c.withDefaults(), decoder: kafka.NewVerifiedDecoder(), news: make(chan struct{}, 1), room: make(chan struct{}, 1), parts: make(map[record.Partition]*part)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.run.Go(s.pollLive)
	return s
}

// Close ends the source and the live one.
func (s *Source) Close() {
	s.mu.Lock()
	if s.shut {
		s.mu.Unlock()
		return
	}
	s.shut = true
	for _, p := range s.parts {
		s.drop(p)
	}
	s.mu.Unlock()
	s.cancel()
	s.run.Wait()
	s.c.Live.Close()
	s.wake()
}

// Seek starts partitions at exact offsets, in the archive or in Kafka.
func (s *Source) Seek(seeks ...sources.Seek) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range seeks {
		if old := s.parts[k.Partition]; old != nil {
			s.drop(old)
		}
		if s.shut {
			continue
		}
		s.turn++
		p := &part{p: k.Partition, seek: k, turn: s.turn, clock: none, taken: make(chan struct{}, 1)}
		s.parts[k.Partition] = p
		s.begin(p, k.Offset, nil)
	}
	signal(s.room)
}

// begin gives a partition the goroutine that finds out where it starts, or what to do
// when the live source could not go on; mu is held.
func (s *Source) begin(p *part, offset int64, cause error) {
	ctx, cancel := context.WithCancel(s.ctx)
	p.stage, p.end = deciding, cancel
	p.free()
	h := &history{s: s, part: p, next: offset, cause: cause, log: s.c.Log.With("partition", p.p.String())}
	s.run.Go(func() {
		defer cancel()
		h.run(ctx)
	})
}

// drop forgets a partition; mu is held.
func (s *Source) drop(p *part) {
	delete(s.parts, p.p)
	if p.end != nil {
		p.end()
	}
	if p.stage == present {
		s.c.Live.Stop(p.p)
	}
	for i := range p.ready {
		p.ready[i].Release()
	}
	p.ready = nil
}

// free lets the partition's goroutine put something, where there is nothing; mu is
// held.
func (p *part) free() {
	if len(p.ready) > 0 {
		return
	}
	select {
	case p.taken <- struct{}{}:
	default:
	}
}

// Stop ends the fetching of partitions.
func (s *Source) Stop(parts ...record.Partition) {
	s.each(parts, s.drop)
	s.wake() // others may have waited for them
	signal(s.room)
}

// Pause holds partitions back.
func (s *Source) Pause(parts ...record.Partition) {
	s.each(parts, func(p *part) {
		p.paused = true
		if p.stage == present {
			s.c.Live.Pause(p.p)
		}
	})
	signal(s.room)
}

// Resume lets paused partitions go on.
func (s *Source) Resume(parts ...record.Partition) {
	s.each(parts, func(p *part) {
		p.paused = false
		if p.stage == present && !p.held {
			s.c.Live.Resume(p.p)
		}
	})
	s.wake()
}

func (s *Source) each(parts []record.Partition, do func(*part)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range parts {
		if p := s.parts[name]; p != nil {
			do(p)
		}
	}
}

// wake makes Poll look again.
func (s *Source) wake() { signal(s.news) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Poll returns what has been fetched, from wherever.
func (s *Source) Poll(ctx context.Context) ([]sources.Fetched, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out, err := s.collect()
		if len(out) > 0 || err != nil {
			return out, err
		}
		select {
		case <-s.news:
		case <-ctx.Done():
		}
	}
}

// collect takes what is ready and not held back.
func (s *Source) collect() (out []sources.Fetched, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limits := [...]int64{deciding: math.MaxInt64, past: s.limit(past), present: s.limit(present), over: s.limit(past)}
	for _, p := range s.parts {
		out = s.takeFrom(p, limits[p.stage], out)
	}
	if len(out) > 0 {
		signal(s.room)
		if s.limit(past) > limits[past] {
			s.wake() // what was taken lets others go on
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case s.shut:
		return nil, sources.ErrClosed
	}
	return nil, s.err
}

func (s *Source) takeFrom(p *part, limit int64, out []sources.Fetched) []sources.Fetched {
	n := 0
	for !p.paused && n < len(p.ready) && first(&p.ready[n]) <= limit {
		f := p.ready[n]
		if last := len(f.Records) - 1; last >= 0 {
			p.clock = max(p.clock, f.Records[last].Timestamp)
		}
		out = append(out, f)
		n++
	}
	p.ready = append(p.ready[:0], p.ready[n:]...)
	s.holdBack(p)
	p.free()
	return out
}

// Ends says where partitions begin, in the archive or in Kafka, and end, in Kafka. An
// archive that cannot be asked is a sources.ErrAway: without it nobody knows.
func (s *Source) Ends(ctx context.Context, parts ...record.Partition) (map[record.Partition]record.Ends, error) {
	ends, err := s.endsOf(ctx, parts)
	if err != nil {
		return nil, err
	}
	for p, e := range ends {
		if _, ok := s.c.Past[p.Topic]; ok {
			continue
		}
		m, err := s.manifest(ctx, p, e.TopicID)
		if err != nil {
			return nil, fmt.Errorf("where the archive of %s begins: %w", p, away(err))
		}
		if m != nil && m.Start() < e.Start {
			e.Start = m.Start()
			ends[p] = e
		}
	}
	return ends, nil
}
