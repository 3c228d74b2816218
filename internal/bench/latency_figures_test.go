package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// histogram counts latencies by the millisecond; the last bucket has all that are
// longer.
type histogram struct {
	buckets [10_001]int64
	n       int64
}

func (h *histogram) observe(d time.Duration) {
	h.buckets[min(max(0, int(d.Milliseconds())), len(h.buckets)-1)]++
	h.n++
}

// quantile returns the upper end, in ms, of the bucket that a share of all lies below.
func (h *histogram) quantile(q float64) float64 {
	var seen int64
	for ms, n := range h.buckets {
		if seen += n; seen > 0 && float64(seen) >= q*float64(h.n) {
			return float64(ms + 1)
		}
	}
	return 0
}

// latencyFigures are P9: from the moment at which an input record was due at its
// producer until the count of its key is seen by a consumer that reads committed.
func latencyFigures(l *lab) error {
	for _, c := range []struct {
		commit time.Duration
		bound  float64
	}{{100 * time.Millisecond, 150}, {10 * time.Millisecond, 40}} {
		rate, err := l.halfLoad(c.commit)
		if err != nil {
			return err
		}
		h, err := l.latencies(c.commit, rate)
		if err != nil {
			return err
		}
		for _, q := range []struct {
			name   string
			share  float64
			target target
		}{{"p50", .5, target{}}, {"p99", .99, atMost(c.bound)}} {
			l.report.add(row{
				Figure: "P9", Case: fmt.Sprintf("%v commits, %s", c.commit, q.name), Values: []float64{h.quantile(q.share)}, Unit: "ms", Of: "end to end",
				Target: q.target, Note: fmt.Sprintf("%s records/s, half of what it reaches beside its producer; %s seen", number(rate), number(float64(h.n))),
			})
		}
	}
	return nil
}

// halfLoad is half of the rate that the count with its output reaches while its input is
// written as fast as the brokers take it, by this process on the same machine: load is
// that of all who take part.
func (l *lab) halfLoad(commit time.Duration) (float64, error) {
	v, err := l.startLive(standard("zipf", 1000), time.Millisecond, "--output", outHere, "--commit-interval", commit.String())
	if err != nil {
		return 0, err
	}
	defer v.proc.kill()
	v.pace(atOnce)
	if err := l.sleep(warmUp); err != nil {
		return 0, err
	}
	c, err := v.look(l.span / 2)
	if err != nil {
		return 0, err
	}
	rate := float64(c.records) / c.seconds
	l.logf("%v commits: %s records/s at full load", commit, number(rate))
	return rate / 2, v.close()
}

// atOnce is a rate beyond what any broker takes: the producer's buffer holds it back.
const atOnce = 1e7

func (l *lab) latencies(commit time.Duration, rate float64) (*histogram, error) {
	v, err := l.startLive(standard("zipf", 1000), time.Millisecond, "--output", outHere, "--commit-interval", commit.String())
	if err != nil {
		return nil, err
	}
	defer v.proc.kill()
	client, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.ConsumeTopics(v.out()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	v.pace(rate)
	from := time.Now().Add(warmUp)
	h, err := l.observe(client, from, from.Add(l.span))
	if err != nil {
		return nil, err
	}
	return h, v.close()
}

// observe takes the latencies of the records that are due in a span of time.
func (l *lab) observe(client *kgo.Client, from, to time.Time) (*histogram, error) {
	h := new(histogram)
	ctx, cancel := context.WithDeadline(l.ctx, to.Add(2*time.Second)) // the last ones arrive later
	defer cancel()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil && ctx.Err() == nil {
			return nil, err
		}
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Timestamp.Before(from) && r.Timestamp.Before(to) {
				h.observe(now.Sub(r.Timestamp))
			}
		})
	}
	if h.n == 0 {
		return nil, fmt.Errorf("no record of the span was seen")
	}
	return h, l.ctx.Err()
}
