package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa"
)

// secondAct changes the rule for what is on time, and has it count from the first flight
// on.
//
// The rule is one of route-stats, so route-stats alone is reset: with a new table, to the
// beginning of its input, route-events, which the archive has. flight-status goes on
// where it is: what it has told of the flights stands in route-events, each thing once,
// and none of that has changed. Were it reset, too, it would have to be mute (--outputs
// mute) until it comes to what is new, or else it would tell everything a second time,
// and route-stats would count it twice.
func (d *demonstration) secondAct(ctx context.Context, before, after []Row) error {
	d.began = time.Now()
	old, err := d.table(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nFrom now on, a landing is on time up to %d minutes late, and that shall count from the first day on.\n", d.newRule)
	if err := d.cut(ctx); err != nil {
		return err
	}
	if d.reader, err = d.read(ctx); err != nil {
		return err
	}
	defer d.reader.Close()
	if err := d.reset(ctx); err != nil {
		return err
	}
	oldRule := d.onTime
	d.onTime, d.done = d.newRule, d.sent // flight-status's, as route-stats begins anew
	done, err := d.replay(ctx, d.disturbed(after))
	if err != nil {
		return err
	}
	got, err := tableOf(d.reader.View)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "a reader that looked all the while saw the old table with %d events, then the new one with %d and more\n", d.reader.old, d.reader.new)
	printRules(d.out, old, got, oldRule, d.onTime)
	return d.verdict(done, got, Fold(append(before[:len(before):len(before)], after...), d.onTime))
}

// cut waits until everything is archived, and deletes it from the broker.
func (d *demonstration) cut(ctx context.Context) error {
	if err := d.past.WaitCaughtUp(ctx, archivedTopics...); err != nil {
		return err
	}
	n, err := d.past.Trim(ctx, archivedTopics...)
	if err == nil {
		fmt.Fprintf(d.out, "%d offsets are cut from the broker's topics %s, all but the last batch of each partition; the archive has them\n", n, strings.Join(archivedTopics, " and "))
	}
	return err
}

// reset sets route-stats to the archive's beginning.
func (d *demonstration) reset(ctx context.Context) error {
	plan, err := d.client.Reset(ctx, kappa.ResetOptions{Group: routeGroup, Groups: groups(d.newRule), Bucket: d.bucket()})
	if err != nil {
		return err
	}
	if err := plan.Apply(ctx); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%s is reset to the archive's beginning: about %d records; readers keep the old table until the new one has caught up\n", routeGroup, plan.Records())
	return nil
}

// liveTime is about how long the last days are fed.
const liveTime = 2 * time.Second

// replay lets the groups run through history, through crashes, into the events that are
// fed meanwhile.
func (d *demonstration) replay(ctx context.Context, live []Event) (doneMap, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	fed := make(chan error, 1)
	go func() { fed <- feed(ctx, d.client, live, int(float64(len(live))/liveTime.Seconds()), io.Discard) }()
	d.bar = newBar(d.out, routeGroup, d.news)
	done, err := d.process(ctx)
	if err == nil {
		err = <-fed
	}
	return done, err
}

// reader looks at route-stats all the time. While the new table is made it sees the old
// one, as it was; then, at once, the new one.
type reader struct {
	*kappa.View
	old    int64 // events that the old table counts
	new    int64 // and the new one when it was first seen, 0 before
	seen   int64 // events that were counted at the last look
	looked time.Time
}

func (d *demonstration) read(ctx context.Context) (*reader, error) {
	v, err := d.openTable(ctx)
	if err != nil {
		return nil, err
	}
	r := &reader{View: v}
	err = r.look()
	r.old = r.seen
	return r, err
}

// lookEvery is how often the reader looks.
const lookEvery = 20 * time.Millisecond

// look demands that the table never goes back.
func (r *reader) look() error {
	if time.Since(r.looked) < lookEvery {
		return nil
	}
	table, err := tableOf(r.View)
	if err != nil {
		return err
	}
	var n int64
	for _, s := range table {
		n += s.Departed + s.Cancelled + s.Diverted + s.Landed
	}
	if n < r.seen {
		return fmt.Errorf("a reader of %s has seen %d events, and now sees %d", routeGroup, r.seen, n)
	}
	if r.new == 0 && r.old > 0 && n > r.old {
		r.new = n
	}
	r.seen, r.looked = n, time.Now()
	return nil
}
