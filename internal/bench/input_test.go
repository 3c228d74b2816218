package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// input is a topic of generated records: the same description gives the same bytes,
// on every machine.
type input struct {
	Dist       string // how keys are drawn: hot and uniform evenly, zipf, cyclic one after the other
	Keys       int    // how many there are
	Records    int64
	ValueBytes int
	Partitions int32
}

// distributions are the three that most figures are taken on.
var distributions = []string{"hot", "zipf", "uniform"}

// keysOf is how many keys the distributions have.
var keysOf = map[string]int{"hot": 10_000, "zipf": 1_000_000, "uniform": 1_000_000}

const (
	partitions = 4
	valueBytes = 100
	zipf       = 1.1 // the exponent
	seed       = 42
)

func standard(dist string, records int64) input {
	return input{Dist: dist, Keys: keysOf[dist], Records: records, ValueBytes: valueBytes, Partitions: partitions}
}

// topic is a name that says what is in it.
func (in input) topic() string {
	return fmt.Sprintf("in-%s-%d-%d-%db-%dp", in.Dist, in.Keys, in.Records, in.ValueBytes, in.Partitions)
}

// generator draws the records of an input, in order.
type generator struct {
	draw  func(i int64) uint64 // the number of record i's key
	value int
	rand  *rand.Rand
	pad   []byte // values are windows of it
	arena []byte // keys are cut off its end
}

func newGenerator(in input) *generator {
	g := &generator{value: in.ValueBytes, rand: rand.New(rand.NewPCG(seed, 0)), pad: make([]byte, in.ValueBytes+64<<10)}
	for i := range g.pad {
		g.pad[i] = digits[g.rand.IntN(len(digits))]
	}
	keys := uint64(in.Keys)
	switch in.Dist {
	case "zipf":
		z := rand.NewZipf(g.rand, zipf, 1, keys-1)
		g.draw = func(int64) uint64 { return z.Uint64() }
	case "cyclic":
		g.draw = func(i int64) uint64 { return uint64(i) % keys }
	default:
		g.draw = func(int64) uint64 { return g.rand.Uint64N(keys) }
	}
	return g
}

const digits = "abcdefghijklmnopqrstuvwxyz234567"

// appendKey appends the key with a number below 2³²: 8 to 16 bytes, no two alike,
// neighbours far apart.
func appendKey(b []byte, number uint64) []byte {
	scrambled := uint32(number) * 2654435761 // odd, so no two numbers meet
	b = append(b, 'k')
	for shift := 0; shift < 35; shift += 5 {
		b = append(b, digits[uint64(scrambled)>>shift&31])
	}
	for i := range scrambled % 9 {
		b = append(b, digits[scrambled>>(i+3)&31])
	}
	return b
}

// next returns the key and value of record i; they stay valid.
func (g *generator) next(i int64) (key, value []byte) {
	const chunk, longest = 64 << 10, 16
	if cap(g.arena)-len(g.arena) < longest {
		g.arena = make([]byte, 0, chunk)
	}
	from := len(g.arena)
	g.arena = appendKey(g.arena, g.draw(i))
	at := g.rand.IntN(64 << 10)
	return g.arena[from:len(g.arena):len(g.arena)], g.pad[at : at+g.value]
}

// feeder produces the records of an input, each once.
type feeder struct {
	in     input
	topic  string
	gen    *generator
	client *kgo.Client
	fed    atomic.Int64 // records
	slab   []kgo.Record
	failed atomic.Pointer[error]
}

func newFeeder(brokers []string, topic string, in input, linger time.Duration) (*feeder, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(linger), kgo.MaxBufferedRecords(200_000))
	if err != nil {
		return nil, err
	}
	return &feeder{in: in, topic: topic, gen: newGenerator(in), client: client}, nil
}

// feed produces the next n records with one timestamp, and does not wait for them.
func (f *feeder) feed(ctx context.Context, n int64, at time.Time) {
	for range n {
		if len(f.slab) == 0 {
			f.slab = make([]kgo.Record, 1024)
		}
		r := &f.slab[0]
		f.slab = f.slab[1:]
		r.Key, r.Value = f.gen.next(f.fed.Load())
		r.Topic, r.Partition, r.Timestamp = f.topic, record.FNV1a.Partition(r.Key, f.in.Partitions), at
		f.fed.Add(1)
		f.client.Produce(ctx, r, f.produced)
	}
}

func (f *feeder) produced(_ *kgo.Record, err error) {
	if err != nil {
		f.failed.CompareAndSwap(nil, &err)
	}
}

// close waits for what was fed and returns the first error of any record.
func (f *feeder) close(ctx context.Context) error {
	err := f.client.Flush(ctx)
	f.client.Close()
	if failed := f.failed.Load(); failed != nil {
		err = *failed
	}
	if err != nil {
		return fmt.Errorf("produce to %s: %w", f.topic, err)
	}
	return nil
}

// fill produces a whole input to a topic.
func fill(ctx context.Context, brokers []string, topic string, in input) error {
	// Many partitions take longer until each has a batch that is worth sending.
	linger := time.Duration(5+in.Partitions/10) * time.Millisecond
	f, err := newFeeder(brokers, topic, in, linger)
	if err != nil {
		return err
	}
	for left := in.Records; left > 0; left = in.Records - f.fed.Load() {
		f.feed(ctx, min(10_000, left), time.Now())
	}
	return f.close(ctx)
}

// pace feeds rate records a second until ctx ends, each with the timestamp at which
// it was due: who is late does not hide it.
func (f *feeder) pace(ctx context.Context, rate float64) {
	const step = 2 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	begin, first := time.Now(), f.fed.Load()
	for due := begin; ; due = due.Add(step) {
		for time.Now().Before(due) {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		if ctx.Err() != nil {
			return
		}
		want := first + int64(rate*due.Sub(begin).Seconds())
		f.feed(context.WithoutCancel(ctx), want-f.fed.Load(), due)
	}
}
