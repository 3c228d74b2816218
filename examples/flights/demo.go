package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
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
		Long: `Run a development broker and the groups in this process, feed them January 2013
with repetition and disorder, and let the groups crash in the middle: their memory
and what they have not committed is gone. In the end, the table is compared with a
plain fold of the file.`,
		Example: "  flights demo --crashes 10",
		Args:    cobra.NoArgs,
	}
	crashes := cmd.Flags().Int("crashes", 5, "how often the groups crash")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *crashes < 0 {
			return fmt.Errorf("--crashes %d: it cannot be negative", *crashes)
		}
		return demo(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), *crashes)
	}
	return cmd
}

// demoTime bounds the demo, so that it never hangs.
const demoTime = 2 * time.Minute

// demonstration is one run of the demo.
type demonstration struct {
	out    io.Writer
	client *kappa.Client
	dir    string // the state directory, which survives the crashes
	feed   []Event
	news   int64 // events of the feed that say something new
	done   int64 // records that both groups had committed at the last crash
}

func demo(ctx context.Context, out, errs io.Writer, crashes int) (err error) {
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
	d := &demonstration{out: out, client: client, dir: dir}
	return d.run(ctx, crashes)
}

func (d *demonstration) run(ctx context.Context, crashes int) error {
	month, err := January()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := d.prepare(ctx, month.Rows); err != nil {
		return err
	}
	for crash := range crashes {
		if err := d.crash(ctx, crash+1, crashes); err != nil {
			return err
		}
	}
	stats, err := d.finish(ctx)
	if err != nil {
		return err
	}
	got, err := d.table(ctx)
	if err != nil {
		return err
	}
	took := time.Since(begin).Round(100 * time.Millisecond)
	printRoutes(d.out, got)
	return d.verdict(stats, got, Fold(month.Rows, usualOnTime), crashes, took)
}

// prepare makes the topics and sends the events.
func (d *demonstration) prepare(ctx context.Context, rows []Row) error {
	if _, err := createTopics(ctx, d.client, 4); err != nil {
		return err
	}
	d.feed = Disturb{Dup: 0.03, Disorder: 10 * time.Minute, Seed: 2013}.Feed(rows)
	for _, r := range rows {
		d.news += int64(len(r.Events()))
	}
	fmt.Fprintf(d.out, "%d flights make %d events; %d of them are sent twice, all up to 10 minutes out of order\n",
		len(rows), d.news, int64(len(d.feed))-d.news)
	return feed(ctx, d.client, d.feed, 0, d.out)
}

// crash starts the groups, lets them do a share of what is left to do, so that all
// crashes come in the middle of work, and kills them.
func (d *demonstration) crash(ctx context.Context, n, of int) error {
	e, err := d.start(ctx)
	if err != nil {
		return err
	}
	all := int64(len(d.feed)) + d.news
	goal := d.done + (all-d.done)/int64(of-n+2)
	err = d.await(ctx, e, func(done map[string]record.Counts) bool { return total(done) >= goal })
	e.Kill()
	done := committed(e)
	d.done = total(done)
	if err := errors.Join(err, e.Wait()); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "crash %2d: %s and %s of the records are committed, all else is forgotten\n", n,
		progress(flightStatus.Name(), done, int64(len(d.feed))), progress(routeGroup, done, d.news))
	return nil
}

func total(done map[string]record.Counts) int64 {
	return done[flightStatus.Name()].Sum() + done[routeGroup].Sum()
}

// progress says how far a group is.
func progress(group string, done map[string]record.Counts, of int64) string {
	return fmt.Sprintf("%s %d %%", group, 100*done[group].Sum()/of)
}

func (d *demonstration) start(ctx context.Context) (*kappa.Engine, error) {
	return d.client.Start(ctx, groups(usualOnTime), kappa.Options{App: "flights", StateDir: d.dir, CommitInterval: 10 * time.Millisecond})
}

// finish starts the groups a last time and lets them work through everything.
func (d *demonstration) finish(ctx context.Context) (map[string]record.Counts, error) {
	e, err := d.start(ctx)
	if err != nil {
		return nil, err
	}
	err = d.await(ctx, e, func(done map[string]record.Counts) bool {
		return done[flightStatus.Name()].Sum() >= int64(len(d.feed)) && done[routeGroup].Sum() >= d.news
	})
	done := committed(e)
	return done, errors.Join(err, e.Stop(ctx), e.Wait())
}

// committed returns what became of the input records, by group.
func committed(e *kappa.Engine) map[string]record.Counts {
	done := make(map[string]record.Counts)
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
func (d *demonstration) await(ctx context.Context, e *kappa.Engine, enough func(map[string]record.Counts) bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !enough(committed(e)) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the groups do not get on: %w (%v)", ctx.Err(), e.Ready())
		case <-tick.C:
		}
	}
	return nil
}

// table reads route-stats through a view.
func (d *demonstration) table(ctx context.Context) (map[string]Stats, error) {
	codec := schema.Boxed(schema.JSON[Stats]())
	v, err := d.client.View(ctx, routeGroup, codec)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	if err := v.WaitCaughtUp(ctx); err != nil {
		return nil, err
	}
	table := make(map[string]Stats)
	return table, v.Iterate(views.Query{}, func(r views.Row) error {
		table[r.Key] = r.Value.(Stats)
		return nil
	})
}

// printRoutes prints the ten routes with the longest delays, on average, of those
// that are flown at least once a day.
func printRoutes(out io.Writer, table map[string]Stats) {
	airports, err := names(airportsFile, "faa")
	if err != nil {
		airports = nil // the codes say enough
	}
	routes := slices.DeleteFunc(slices.Sorted(maps.Keys(table)), func(r string) bool { return table[r].Departed < 31 })
	slices.SortStableFunc(routes, func(a, b string) int {
		s, t := table[a], table[b]
		return int(t.DepDelaySum*s.Departed - s.DepDelaySum*t.Departed)
	})
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nROUTE\tTO\tFLIGHTS\tCANCELLED\tDIVERTED\tMEAN DELAY\tLONGEST\tON TIME")
	for _, r := range routes[:min(10, len(routes))] {
		s := table[r]
		_, dest, _ := strings.Cut(r, "-")
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%.1f min\t%d min\t%.0f %%\n", r, airports[dest], s.Flights, s.Cancelled, s.Diverted,
			float64(s.DepDelaySum)/float64(s.Departed), s.DepDelayMax, 100*float64(s.ArrOnTime)/float64(max(1, s.Landed)))
	}
	w.Flush()
}

// verdict says whether everything adds up.
func (d *demonstration) verdict(done map[string]record.Counts, got, want map[string]Stats, crashes int, took time.Duration) error {
	fmt.Fprintln(d.out)
	printCounts(d.out, flightStatus.Name(), done[flightStatus.Name()])
	printCounts(d.out, routeGroup, done[routeGroup])
	if n := done[flightStatus.Name()].Sum(); n != int64(len(d.feed)) {
		return fmt.Errorf("flight-status took %d records of %d", n, len(d.feed))
	}
	if n := done[routeGroup].Sum(); n != d.news {
		return fmt.Errorf("route-stats took %d records of %d", n, d.news)
	}
	if !maps.Equal(got, want) {
		return errors.New("the table route-stats is not the fold of the file")
	}
	fmt.Fprintf(d.out, "\n%d crashes survived: the table's %d routes equal a plain fold of the file (%v)\n", crashes, len(want), took)
	fmt.Fprint(d.out, goOn)
	return nil
}

func printCounts(out io.Writer, group string, c record.Counts) {
	fmt.Fprintf(out, "%-13s  %d in = %d processed + %d filtered + %d duplicate + %d late + %d dead\n", group, c.Sum(),
		c[record.Processed], c[record.Filtered], c[record.Duplicate], c[record.Late], c[record.Dead])
}

const goOn = `
To go on, with alias flights='go run ./examples/flights':
  flights dev --dir dev                    a broker that stays, and the groups
and beside it:
  flights topics create --partitions 4     airlines and airports get their names
  flights feed --data examples/flights/data/flights-2013-01.csv.gz --dup 0.03 --disorder 10m
  flights view route-stats EWR-IAH
  flights lag
  flights describe
`
