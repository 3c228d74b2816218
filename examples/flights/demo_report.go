package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// worst returns the ten routes with the longest delays, on average, of those that are
// flown at least once a day.
func worst(table map[string]Stats) []string {
	routes := slices.DeleteFunc(slices.Sorted(maps.Keys(table)), func(r string) bool { return table[r].Departed < 31 })
	slices.SortStableFunc(routes, func(a, b string) int {
		s, t := table[a], table[b]
		return int(t.DepDelaySum*s.Departed - s.DepDelaySum*t.Departed)
	})
	return routes[:min(10, len(routes))]
}

// printRoutes prints the worst routes.
func printRoutes(out io.Writer, table map[string]Stats) {
	airports, err := names(airportsFile, "faa")
	if err != nil {
		airports = nil // the codes say enough
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nROUTE\tTO\tFLIGHTS\tCANCELLED\tDIVERTED\tMEAN DELAY\tLONGEST\tON TIME")
	for _, r := range worst(table) {
		s := table[r]
		_, dest, _ := strings.Cut(r, "-")
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%.1f min\t%d min\t%s\n", r, airports[dest], s.Flights, s.Cancelled, s.Diverted,
			float64(s.DepDelaySum)/float64(s.Departed), s.DepDelayMax, s.onTime())
	}
	w.Flush()
}

func (s Stats) onTime() string {
	return fmt.Sprintf("%.0f %%", 100*float64(s.ArrOnTime)/float64(max(1, s.Landed)))
}

// printRules prints what the worst routes were by the old rule, and are by the new one.
func printRules(out io.Writer, old, new map[string]Stats, oldRule, newRule int) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\nROUTE\tFLIGHTS\tON TIME (%d min)\tFLIGHTS\tON TIME (%d min)\n", oldRule, newRule)
	for _, r := range worst(new) {
		s, t := old[r], new[r]
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\n", r, s.Flights, s.onTime(), t.Flights, t.onTime())
	}
	w.Flush()
}

// verdict says whether everything adds up.
func (d *demonstration) verdict(done doneMap, got, want map[string]Stats) error {
	fmt.Fprintln(d.out)
	printCounts(d.out, flightGroup, done[flightGroup])
	printCounts(d.out, routeGroup, done[routeGroup])
	if n := done[flightGroup].Sum(); n != d.sent {
		return fmt.Errorf("%s took %d records of %d", flightGroup, n, d.sent)
	}
	if n := done[routeGroup].Sum(); n != d.news {
		return fmt.Errorf("%s took %d records of %d", routeGroup, n, d.news)
	}
	if !maps.Equal(got, want) {
		return errors.New("the table route-stats is not the fold of the file")
	}
	fmt.Fprintf(d.out, "\n%d crashes survived: the table's %d routes equal a plain fold of the file (%v)\n",
		d.crashes, len(want), time.Since(d.began).Round(100*time.Millisecond))
	return nil
}

func printCounts(out io.Writer, group string, c record.Counts) {
	fmt.Fprintf(out, "%-13s  %d in = %d processed + %d filtered + %d duplicate + %d late + %d dead\n", group, c.Sum(),
		c[record.Processed], c[record.Filtered], c[record.Duplicate], c[record.Late], c[record.Dead])
}

// bar shows how far work is: on a terminal it grows, elsewhere it is a line now and then.
// The methods of a nil bar do nothing.
type bar struct {
	out   io.Writer
	moves bool
	what  string
	of    int64
	began time.Time // when those began who do the work now
	first int64     // what was done then
	shown time.Time // when it was last shown
	at    int64     // what it showed
	done  int64     // what is done
	open  bool      // its line has no end yet
}

func newBar(out io.Writer, what string, of int64) *bar {
	b := &bar{out: out, what: what, of: max(1, of)}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		b.moves = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

const (
	barWidth = 30
	barSteps = 5 // lines, where it does not move
)

// begin says that somebody begins to work, or begins again.
func (b *bar) begin() {
	if b != nil {
		b.began, b.first = time.Now(), b.done
	}
}

// show shows that n of the work is done, where that is worth being shown.
func (b *bar) show(n int64) {
	if b == nil || n <= b.at {
		return
	}
	b.done = n
	now, step := time.Now(), max(1, b.of/barSteps)
	if b.moves && n < b.of && now.Sub(b.shown) < 50*time.Millisecond || !b.moves && n/step == b.at/step {
		return
	}
	b.shown, b.at = now, n
	full := int(barWidth * n / b.of)
	line := fmt.Sprintf("%s [%s%s] %3d %%  %d of %d records", b.what, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*n/b.of, n, b.of)
	if n > b.first {
		line += fmt.Sprintf(", %.0f/s", float64(n-b.first)/now.Sub(b.began).Seconds())
	}
	if b.open = b.moves; b.moves {
		fmt.Fprintf(b.out, "\r%s\x1b[K", line)
	} else {
		fmt.Fprintln(b.out, line)
	}
}

// end ends the line, so that others may write.
func (b *bar) end() {
	if b != nil && b.open {
		b.open = false
		fmt.Fprintln(b.out)
	}
}

const goOn = `
To go on, with alias flights='go run ./examples/flights':
  flights dev --dir dev                    a broker that stays, the groups, and an archive
and beside it:
  flights topics create --partitions 4     airlines and airports get their names
  flights feed --data examples/flights/data/flights-2013-01.csv.gz --dup 0.03 --disorder 10m
  flights view route-stats EWR-IAH
  flights lag
  flights archive ls --bucket file://./dev/archive
  flights describe
"Five minutes to reprocess history" in README.md is the second act by hand.
`
