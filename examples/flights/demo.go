package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/internal/dev"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/views"
)

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show all of it in one process, with crashes in the middle",
		Long: `Run a development broker, the groups and an archiver in this process, feed them
January 2013 with repetition and disorder, and let the groups crash in the middle:
their memory and what they have not committed is gone.

Then the rule for what is on time changes. What has happened so far is cut from the
broker, as retention does; the archive has it. The group whose rule it is is reset to
the archive's beginning, and runs through history into the last days, which are fed
meanwhile, with crashes again.

After each act the table is compared with a plain fold of the file.`,
		Example: "  flights demo --crashes 10",
		Args:    cobra.NoArgs,
	}
	crashes := cmd.Flags().Int("crashes", 5, "how often the groups crash in each act")
	onTime := cmd.Flags().Int("on-time", 10, "the second act's rule: arrival delay, in minutes, up to which a landing is on time")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *crashes < 0 {
			return fmt.Errorf("--crashes %d: it cannot be negative", *crashes)
		}
		return demo(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), *crashes, *onTime)
	}
	return cmd
}

// demoTime bounds the demo, so that it never hangs.
const demoTime = 2 * time.Minute

// demonstration is one run of the demo.
type demonstration struct {
	out     io.Writer
	client  *kappa.Client
	dir     string // keeps the state, which survives the crashes, and the archive
	past    *kappa.Archiver
	crashes int       // in each act
	onTime  int       // the rule that holds
	newRule int       // the one of the second act
	sent    int64     // events of flights
	news    int64     // of them say something new, so they are events of routes, too
	done    int64     // records that the groups had committed before the act, and still have
	began   time.Time // when the act began

	// In the second act.
	bar    *bar
	reader *reader
}

// doneMap says what has become of each group's input.
type doneMap map[string]record.Counts

// archivedTopics are what the groups read.
var archivedTopics = []string{"flights", "route-events"}

func demo(ctx context.Context, out, errs io.Writer, crashes, onTime int) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "flights-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	broker, err := dev.Start(dev.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	log := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: slog.LevelError}))
	client, err := kappa.Open(ctx, kappa.Connection{Brokers: []string{broker.Addr()}, ClientID: "flights", Log: log})
	if err != nil {
		return err
	}
	defer client.Close()
	fmt.Fprintf(out, "a development broker listens on %s\n", broker.Addr())
	d := &demonstration{out: out, client: client, dir: dir, crashes: crashes, onTime: usualOnTime, newRule: onTime}
	return d.run(ctx)
}

// bucket is where the archive is.
func (d *demonstration) bucket() string {
	return "file://" + filepath.ToSlash(filepath.Join(d.dir, "archive"))
}

func (d *demonstration) run(ctx context.Context) (err error) {
	month, err := January()
	if err != nil {
		return err
	}
	if _, err := createTopics(ctx, d.client, 4); err != nil {
		return err
	}
	d.past, err = d.client.Archive(ctx, kappa.ArchiveOptions{Bucket: d.bucket(), Topics: archivedTopics, SegmentAge: 200 * time.Millisecond})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.past.Stop()) }()
	before, after := parted(month.Rows)
	if err := d.firstAct(ctx, before); err != nil {
		return err
	}
	if err := d.secondAct(ctx, before, after); err != nil {
		return err
	}
	fmt.Fprint(d.out, goOn)
	return nil
}

// heldBackFrom is when the last days of the month begin, which the first act leaves out.
var heldBackFrom = time.Date(2013, time.January, 29, 5, 0, 0, 0, time.UTC)

// parted parts the month there.
func parted(rows []Row) (before, after []Row) {
	for _, r := range rows {
		if r.Scheduled.Before(heldBackFrom) {
			before = append(before, r)
		} else {
			after = append(after, r)
		}
	}
	return before, after
}

// firstAct counts what there is, through crashes.
func (d *demonstration) firstAct(ctx context.Context, rows []Row) error {
	d.began = time.Now()
	events := d.disturbed(rows)
	fmt.Fprintf(d.out, "%d flights make %d events; %d of them are sent twice, all up to 10 minutes out of order\n",
		len(rows), d.news, d.sent-d.news)
	if err := feed(ctx, d.client, events, 0, d.out); err != nil {
		return err
	}
	done, err := d.process(ctx)
	if err != nil {
		return err
	}
	got, err := d.table(ctx)
	if err != nil {
		return err
	}
	printRoutes(d.out, got)
	return d.verdict(done, got, Fold(rows, d.onTime))
}

// disturbed returns the rows' events as they are sent.
func (d *demonstration) disturbed(rows []Row) []Event {
	events := Disturb{Dup: 0.03, Disorder: 10 * time.Minute, Seed: 2013}.Feed(rows)
	d.sent += int64(len(events))
	for _, r := range rows {
		d.news += int64(len(r.Events()))
	}
	return events
}

// process lets the groups work through everything, with crashes in the middle, and
// returns what has become of their input.
func (d *demonstration) process(ctx context.Context) (doneMap, error) {
	before := d.done // records that both groups had committed at the last crash
	for n := range d.crashes {
		var err error
		if before, err = d.crash(ctx, n+1, before); err != nil {
			return nil, err
		}
	}
	return d.finish(ctx)
}

// crash starts the groups, lets them do a share of what is left to do, so that all
// crashes come in the middle of work, and kills them.
func (d *demonstration) crash(ctx context.Context, n int, before int64) (int64, error) {
	e, err := d.start(ctx)
	if err != nil {
		return 0, err
	}
	goal := before + (d.sent+d.news-before)/int64(d.crashes-n+2)
	err = d.await(ctx, e, func(done doneMap) bool { return done.total() >= goal })
	e.Kill()
	done := committed(e)
	if err := errors.Join(err, e.Wait()); err != nil {
		return 0, err
	}
	d.bar.show(done[routeGroup].Sum())
	d.bar.end()
	fmt.Fprintf(d.out, "crash %2d: %s and %s of the records are committed, all else is forgotten\n", n,
		done.share(flightGroup, d.sent), done.share(routeGroup, d.news))
	return done.total(), nil
}

func (m doneMap) total() int64 { return m[flightGroup].Sum() + m[routeGroup].Sum() }

// share says how far a group is.
func (m doneMap) share(group string, of int64) string {
	return fmt.Sprintf("%s %d %%", group, 100*m[group].Sum()/of)
}

func (d *demonstration) start(ctx context.Context) (*kappa.Engine, error) {
	d.bar.begin()
	return d.client.Start(ctx, groups(d.onTime), kappa.Options{
		App: "flights", StateDir: filepath.Join(d.dir, "state"), Bucket: d.bucket(), CommitInterval: 10 * time.Millisecond,
	})
}

// finish starts the groups a last time, lets them work through everything and gives
// their tasks back, so that a group may be reset.
func (d *demonstration) finish(ctx context.Context) (doneMap, error) {
	e, err := d.start(ctx)
	if err != nil {
		return nil, err
	}
	err = d.await(ctx, e, func(done doneMap) bool {
		return done[flightGroup].Sum() >= d.sent && done[routeGroup].Sum() >= d.news && d.shown()
	})
	done := committed(e)
	if err == nil {
		err = d.show(done)
	}
	d.bar.end()
	return done, errors.Join(err, e.Leave(ctx), e.Wait())
}

// committed returns what became of the input records, by group.
func committed(e *kappa.Engine) doneMap {
	done := make(doneMap)
	for _, g := range e.Stats().Groups {
		var sum record.Counts
		for _, t := range g.Tasks {
			sum = sum.Plus(t.Counts)
		}
		done[g.Group] = sum
	}
	return done
}

// await waits until enough is committed.
func (d *demonstration) await(ctx context.Context, e *kappa.Engine, enough func(doneMap) bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		done := committed(e)
		if enough(done) {
			return nil
		}
		if err := d.show(done); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the groups do not get on: %w (%v)", ctx.Err(), e.Ready())
		case <-tick.C:
		}
	}
}

// show says how far the second act is.
func (d *demonstration) show(done doneMap) error {
	if d.reader == nil {
		return nil
	}
	d.bar.show(done[routeGroup].Sum())
	return d.reader.look()
}

// shown reports whether readers see all that is counted.
func (d *demonstration) shown() bool { return d.reader == nil || d.reader.seen == d.news }

// table reads route-stats through a view.
func (d *demonstration) table(ctx context.Context) (map[string]Stats, error) {
	v, err := d.openTable(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return tableOf(v)
}

// openTable returns a view of route-stats that is up to date.
func (d *demonstration) openTable(ctx context.Context) (*kappa.View, error) {
	v, err := d.client.View(ctx, routeGroup, schema.Boxed(schema.JSON[Stats]()))
	if err != nil {
		return nil, err
	}
	if err := v.WaitCaughtUp(ctx); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

func tableOf(v *kappa.View) (map[string]Stats, error) {
	table := make(map[string]Stats)
	return table, v.Iterate(views.Query{}, func(r views.Row) error {
		table[r.Key] = r.Value.(Stats)
		return nil
	})
}
