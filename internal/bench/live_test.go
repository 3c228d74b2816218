package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// live is a count that runs while its input is fed.
type live struct {
	l     *lab
	in    input
	topic string
	group string
	feed  *feeder
	proc  *process
	end   context.CancelFunc
	done  chan struct{} // of pacing
}

// outHere, as a flag of the count, stands for the topic of its output.
const outHere = "{out}"

// newLive creates an input and a topic for an output, and fills the input. Its producer
// waits for linger to fill its batches.
func (l *lab) newLive(in input, linger time.Duration) (*live, error) {
	group := l.name("live-" + in.Dist)
	v := &live{l: l, in: in, group: group, topic: group + "-in", done: make(chan struct{})}
	close(v.done)
	err := l.topic(v.topic, in.Partitions)
	if err == nil {
		err = l.topic(v.out(), in.Partitions)
	}
	if err != nil {
		return nil, err
	}
	if v.feed, err = newFeeder(l.brokers, v.topic, in, linger); err != nil {
		return nil, err
	}
	v.feed.feed(l.ctx, in.Records, time.Now())
	return v, v.feed.client.Flush(l.ctx)
}

// startLive makes a live input that lets each of its partitions have something to do,
// and returns when a count with the given flags has done that.
func (l *lab) startLive(in input, linger time.Duration, flags ...string) (*live, error) {
	v, err := l.newLive(in, linger)
	if err != nil {
		return nil, err
	}
	flags = slices.Clone(flags)
	if i := slices.Index(flags, outHere); i >= 0 {
		flags[i] = v.out()
	}
	if v.proc, err = l.startCount(l.count, v.group, v.topic, flags...); err != nil {
		return nil, err
	}
	_, err = l.follow(v.proc, v.group, v.topic, v.feed.fed.Load())
	return v, err
}

// out is a topic that the count may write to.
func (v *live) out() string { return v.group + "-out" }

// pace begins to feed at a rate.
func (v *live) pace(rate float64) {
	ctx, cancel := context.WithCancel(v.l.ctx)
	v.end, v.done = cancel, make(chan struct{})
	go func() {
		defer close(v.done)
		v.feed.pace(ctx, rate)
	}()
}

// rest ends the feeding; what was fed is counted when it returns.
func (v *live) rest() error {
	if v.end != nil {
		v.end()
	}
	<-v.done
	if err := v.feed.client.Flush(v.l.ctx); err != nil {
		return err
	}
	_, err := v.l.follow(v.proc, v.group, v.topic, v.feed.fed.Load())
	return err
}

// close stops the count, checks its result and sweeps up.
func (v *live) close() error {
	if err := v.rest(); err != nil {
		return err
	}
	if err := v.feed.close(v.l.ctx); err != nil {
		return err
	}
	if err := v.proc.stop(); err != nil {
		return err
	}
	all := v.in
	all.Records = v.feed.fed.Load()
	if _, err := v.l.counted(v.group+"-table", all); err != nil {
		return err
	}
	return v.l.sweep(v.group)
}

// cost is what a program used in a span of time.
type cost struct {
	seconds, cpu float64
	records      int64 // committed
	fed          int64
}

// look measures the count for a span.
func (v *live) look(span time.Duration) (cost, error) {
	begun, cpu, records, fed := time.Now(), v.proc.cpu(), v.l.committed(v.group, v.topic), v.feed.fed.Load()
	if err := v.l.sleep(span); err != nil {
		return cost{}, err
	}
	c := cost{time.Since(begun).Seconds(), (v.proc.cpu() - cpu).Seconds(), v.l.committed(v.group, v.topic) - records, v.feed.fed.Load() - fed}
	return c, v.proc.ended()
}

func (c cost) micros() float64 { return c.cpu * 1e6 / float64(c.records) }

// sleep lets time pass, but not after the run was ended.
func (l *lab) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-l.ctx.Done():
		return fmt.Errorf("ended: %w", context.Cause(l.ctx))
	}
}

const warmUp = 5 * time.Second
