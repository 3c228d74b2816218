package integration

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// echoing emits each record as it came.
func echoing(group, in, out string) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) { ctx.Emit(goka.Stream(out), ctx.Key(), msg) }),
		topology.Output(goka.Stream(out), new(gcodec.String)),
	)
}

// spinning keeps a processor busy for a while with each record.
func spinning(group, in string) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.String), func(ctx goka.Context, msg any) {
			n, _ := ctx.Value().(int64)
			for began := time.Now(); time.Since(began) < 100*time.Microsecond; {
				n++
			}
			ctx.SetValue(n)
		}),
		topology.Persist(new(gcodec.Int64)),
	)
}

// latencies sends records one by one through a group that echoes them, and returns how
// long each was on its way until readers of committed records saw it.
func (r *rig) latencies(in, out string, n int) []time.Duration {
	r.t.Helper()
	e, err := r.k.NewEmitter(kafka.EmitterConfig{})
	r.must(err)
	defer e.Close()
	ends, err := r.k.Ends(r.ctx, record.Partition{Topic: out})
	r.must(err)
	l := r.k.Open(record.Partition{Topic: out}, ends.HighWatermark)
	defer l.Close()
	var took []time.Duration
	for range n {
		sent := time.Now()
		value := strconv.FormatInt(sent.UnixNano(), 10)
		r.must(e.Emit(r.ctx, record.Record{Topic: in, Key: []byte("k"), Value: []byte(value), Timestamp: sent.UnixMilli()}))
		r.must(e.Flush(r.ctx))
		for seen := false; !seen; {
			b, err := l.Next(r.ctx)
			r.must(err)
			for i := range b.Records {
				seen = seen || string(b.Records[i].Value) == value
			}
		}
		took = append(took, time.Since(sent))
	}
	slices.Sort(took)
	return took
}

// history makes a topic that only the archive has, and returns how large that is.
func (r *rig) history(a *archive.Archive, topic string, n, keys int) (bytes int64) {
	r.t.Helper()
	for part := range 4 {
		r.emit(sent(topic, part*n/4, n/4, keys)...)
	}
	r.archived(a, topic, 16<<10)
	r.cut(topic)
	logs, err := a.LogsOf(r.ctx, r.k.ID(), topic)
	r.must(err)
	for _, l := range logs {
		m, err := a.Latest(r.ctx, l)
		r.must(err)
		bytes += m.Bytes()
	}
	return bytes
}

// A group that is live goes on while another in the same process reads a long history
// with callbacks that keep all processors busy: each has workers, a source and queues of
// its own, and Go shares the processors among them. What a record waits for is some
// turns of these workers, not the end of the history.
func TestALiveGroupKeepsItsLatencyBesideAReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	const n, parts, samples = 100_000, 32, 20
	a := r.archive()
	past, in, out, live, replay := r.topic("past", parts), r.topic("in", 1), r.topic("out", 1), r.name("live"), r.name("replay")
	r.history(a, past, n, 5000)
	e := r.start(r.withArchive(a), echoing(live, in, out), spinning(replay, past))
	r.until("the replay", func() bool { return counts(e, replay).Sum() > 0 })
	took := r.latencies(in, out, samples)
	done := counts(e, replay).Sum()
	e.Kill()
	t.Logf("median %v, most %v; %d of %d records were replayed meanwhile", took[samples/2], took[samples-1], done, n)
	if done == n {
		t.Error("the replay was over before the measurement")
	}
	if took[samples/2] > time.Second || took[samples-1] > 5*time.Second {
		t.Errorf("a live record took %v, the slowest %v", took[samples/2], took[samples-1])
	}
}

// The rate bounds what all groups of the process read from the archive together.
func TestAReplayKeepsToItsRate(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	const n, keys = 20_000, 100
	a := r.archive()
	past := r.topic("past", 4)
	size := r.history(a, past, n, keys)
	o := r.withArchive(a)
	o.Until, o.ReplayBytesPerSecond = untilNow(), size/2
	began := time.Now()
	r.concluded(r.start(o, counting(r.name("one"), past), counting(r.name("two"), past)))
	if took := time.Since(began); took < 2500*time.Millisecond {
		t.Errorf("%d bytes were read twice within %v, at half of it a second", size, took)
	}
	r.equal("one", r.table(r.name("one")+"-table"), countsOf(n, keys))
	r.equal("two", r.table(r.name("two")+"-table"), countsOf(n, keys))
}
