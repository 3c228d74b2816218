package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/internal/dev"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology/topologytest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = kappa.Run(t.Context(), app(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := run(t, args...)
	if code != 0 {
		t.Fatalf("%v: code %d, stderr:\n%s", args, code, stderr)
	}
	return stdout
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-rewrite writes it anew); got\n%s", path, got)
	}
}

// routes returns the table of a driver's group.
func routes(g *topologytest.Group) map[string]Stats {
	table := make(map[string]Stats)
	for _, key := range g.Keys() {
		table[key] = g.Table(key).(Stats)
	}
	return table
}

func TestGroupsComputeTheFoldThroughCrashes(t *testing.T) {
	rows := january(t)[:3000]
	feed := Disturb{Dup: 0.2, Disorder: 6 * time.Hour, Seed: 5}.Feed(rows)
	a := topologytest.NewApp(t, groups(usualOnTime)...)
	a.SetTable("airlines", "UA", "United Air Lines Inc.")
	for i, e := range feed {
		a.Send("flights", e.ID, e, topologytest.At(e.At))
		if i%1000 == 999 {
			a.Crash()
		}
	}
	if got := routes(a.Group("route-stats")); !maps.Equal(got, Fold(rows, usualOnTime)) {
		t.Error("route-stats is not the fold")
	}
	news := 0
	for _, r := range rows {
		news += len(r.Events())
	}
	counts := a.Group("flight-status").Counts()
	if counts.Sum() != int64(len(feed)) || counts[record.Duplicate] != int64(len(feed)-news) {
		t.Errorf("%d events, %d of them again, were counted as %v", len(feed), len(feed)-news, counts)
	}
	if len(a.Group("flight-status").Keys()) != len(rows) {
		t.Error("flight-status does not hold each flight")
	}
}

func TestALandingThatOvertakesItsDeparture(t *testing.T) {
	row := month(t, header+landedRow).Rows[0]
	events := row.Events()
	a := topologytest.NewApp(t, groups(usualOnTime)...)
	a.SetTable("airlines", "UA", "United Air Lines Inc.")
	a.Send("flights", row.ID, events[1])
	if s := routes(a.Group("route-stats"))["EWR-IAH"]; s != (Stats{Flights: 1, Landed: 1, ArrDelaySum: 11, ArrOnTime: 1}) {
		t.Errorf("after the landing: %+v", s)
	}
	a.Send("flights", row.ID, events[0])
	a.Send("flights", row.ID, events[1])
	if s := routes(a.Group("route-stats"))["EWR-IAH"]; s != Fold([]Row{row}, usualOnTime)["EWR-IAH"] {
		t.Errorf("after both: %+v", s)
	}
	f := a.Group("flight-status").Table(row.ID).(Flight)
	if f.Status != Landed || f.Airline != "United Air Lines Inc." || f.DepDelay != 2 || f.ArrDelay != 11 || len(f.Events) != 2 {
		t.Errorf("the flight is %+v", f)
	}
}

func TestAnAirlineOnNoListKeepsItsCode(t *testing.T) {
	row := month(t, header+cancelledRow).Rows[0]
	a := topologytest.NewApp(t, flightStatus)
	a.Send("flights", row.ID, row.Events()[0])
	if f := a.Group("flight-status").Table(row.ID).(Flight); f.Airline != "EV" || f.Status != Cancelled {
		t.Errorf("the flight is %+v", f)
	}
}

func TestDescribe(t *testing.T) { golden(t, "describe", must(t, "describe")) }

func TestHelp(t *testing.T) {
	var all strings.Builder
	for _, verb := range []string{"topics create", "feed", "demo"} {
		all.WriteString("$ flights " + verb + " --help\n" + must(t, append(strings.Fields(verb), "--help")...) + "\n")
	}
	golden(t, "help", all.String())
}

func TestBadFilesAndFlagsSendNothing(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bad := write("bad.csv", header+landedRow+strings.Repeat("2013,1\n", 12))
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"bad rows":       {[]string{"--data", bad}, "line 3: 2 fields, the header has 19"},
		"more bad rows":  {[]string{"--data", bad}, "and 2 more"},
		"no such file":   {[]string{"--data", filepath.Join(dir, "none")}, "no such file"},
		"another file":   {[]string{"--data", write("x.csv", "a,b\n")}, "the header has no column"},
		"dup":            {[]string{"--data", bad, "--dup", "1.5"}, "--dup 1.5: a share is from 0 to 1"},
		"disorder":       {[]string{"--data", bad, "--disorder", "-1s"}, "--disorder -1s"},
		"rate":           {[]string{"--data", bad, "--rate", "-1"}, "--rate -1"},
		"missing --data": {nil, `required flag(s) "data" not set`},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"feed", "--brokers", "127.0.0.1:1"}, test.args...)
			if code, _, stderr := run(t, args...); code == 0 || !strings.Contains(stderr, test.want) {
				t.Errorf("code %d, stderr:\n%s\nwant %s", code, stderr, test.want)
			}
		})
	}
}

// TestVerbs plays a user with a broker: create, feed, run, view.
func TestVerbs(t *testing.T) {
	b, err := dev.Start(dev.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	t.Setenv("KAPPA_BROKERS", b.Addr())
	must(t, "topics", "create", "--partitions", "2")
	must(t, "topics", "create", "--partitions", "2") // again does no harm
	for _, topic := range []string{"flights", "route-events"} {
		if got := must(t, "topics", "list", topic, "--json"); !strings.Contains(got, `"partitions":2,"cleanup_policy":"delete","retention_ms":"-1"`) {
			t.Errorf("topics list: %s", got)
		}
	}
	rows := header + landedRow + cancelledRow + divertedRow
	file := filepath.Join(t.TempDir(), "month.csv")
	if err := os.WriteFile(file, []byte(rows+"not a row\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "feed", "--data", file, "--skip-bad", "--dup", "1", "--disorder", "1h", "--rate", "1000")

	client, err := kappa.Open(t.Context(), kappa.Connection{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	e, err := client.Start(t.Context(), groups(usualOnTime), kappa.Options{App: "flights"})
	if err != nil {
		t.Fatal(err)
	}
	d := &demonstration{}
	if err := d.await(t.Context(), e, func(done doneMap) bool { return done.total() >= 10+5 }); err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Wait(); err != nil {
		t.Fatal(err)
	}

	want := `{"key":"EWR-IAH","value":{"flights":1,"departed":1,"cancelled":0,"diverted":0,"landed":1,"dep_delay_sum":2,"dep_delay_max":2,"arr_delay_sum":11,"arr_on_time":1}}
{"key":"EWR-RDU","value":{"flights":1,"departed":0,"cancelled":1,"diverted":0,"landed":0,"dep_delay_sum":0,"dep_delay_max":0,"arr_delay_sum":0,"arr_on_time":0}}
{"key":"LGA-XNA","value":{"flights":1,"departed":1,"cancelled":0,"diverted":1,"landed":0,"dep_delay_sum":-5,"dep_delay_max":-5,"arr_delay_sum":0,"arr_on_time":0}}
`
	if got := must(t, "view", "route-stats", "--json"); got != want {
		t.Errorf("view: %s", got)
	}
	var flight struct{ Value Flight }
	if err := json.Unmarshal([]byte(must(t, "view", "flight-status", "UA-1545-2013-01-01-EWR", "--json")), &flight); err != nil {
		t.Fatal(err)
	}
	if flight.Value.Airline != "United Air Lines Inc." || flight.Value.Status != Landed {
		t.Errorf("flight: %+v", flight)
	}
	if got := must(t, "view", "airports", "IAH"); !strings.Contains(got, "George Bush") {
		t.Errorf("airport: %s", got)
	}
}

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	out := must(t, "demo", "--crashes", "3", "--on-time", "5")
	if n := strings.Count(out, "\ncrash "); n != 2*3 {
		t.Errorf("%d crashes", n)
	}
	for _, want := range []string{
		"EWR-SAV", "ON TIME (5 min)", "route-stats [##############################] 100 %  53487 of 53487 records",
		"flight-status  49684 in = 48247 processed + 0 filtered + 1437 duplicate + 0 late + 0 dead",
		"flight-status  55073 in = 53487 processed + 0 filtered + 1586 duplicate + 0 late + 0 dead",
		"route-stats    53487 in = 53487 processed + 0 filtered + 0 duplicate + 0 late + 0 dead",
		"3 crashes survived: the table's 186 routes equal a plain fold of the file",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo did not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// eventually runs a verb until it has something to show.
func eventually(t *testing.T, args ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		code, _, stderr := run(t, args...)
		if code == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v: code %d, stderr:\n%s", args, code, stderr)
		}
	}
}

// What the demo ends with are commands that work.
func TestTheDemosLastWordsAreCommandsThatWork(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.Symlink(filepath.Dir(here), "examples"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KAPPA_LISTEN", "127.0.0.1:0")
	t.Setenv("KAPPA_HTTP", "127.0.0.1:0")
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int)
	for _, m := range regexp.MustCompile(`(?m)^  flights (.*?)(   .*)?$`).FindAllStringSubmatch(goOn, -1) {
		args := strings.Fields(m[1])
		if args[0] != "dev" {
			eventually(t, args...)
			continue
		}
		r, w := io.Pipe()
		go func() { code <- kappa.Run(ctx, app(), args, w, io.Discard) }()
		line, err := bufio.NewReader(r).ReadString(';')
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("KAPPA_BROKERS", strings.TrimSuffix(strings.TrimPrefix(line, "development broker on "), ";"))
		go io.Copy(io.Discard, r)
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("dev ended with %d", got)
	}
}

// The rule for what is on time is a flag of the verbs that run the groups.
func TestTheRuleForBeingOnTimeIsAFlag(t *testing.T) {
	for _, verb := range []string{"run", "dev"} {
		if help := must(t, verb, "--help"); !strings.Contains(help, "--on-time int") || !strings.Contains(help, "(default 15)") {
			t.Errorf("%s: %s", verb, help)
		}
		if code, _, stderr := run(t, verb, "--on-time", "never"); code != 2 || !strings.Contains(stderr, `invalid argument "never"`) {
			t.Errorf("%s: code %d, %s", verb, code, stderr)
		}
	}
	rows := january(t)[:2000]
	for _, onTime := range []int{15, 10, -5} {
		a := topologytest.NewApp(t, groups(onTime)...)
		for _, e := range (Disturb{Seed: 5}).Feed(rows) {
			a.Send("flights", e.ID, e, topologytest.At(e.At))
		}
		if got := routes(a.Group("route-stats")); !maps.Equal(got, Fold(rows, onTime)) {
			t.Errorf("%d minutes: route-stats is not the fold", onTime)
		}
	}
}

// What the broker has forgotten is in the archive: groups that come later begin there.
func TestNewGroupsStartAtTheArchivesBeginning(t *testing.T) {
	b, err := dev.Start(dev.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	t.Setenv("KAPPA_BROKERS", b.Addr())
	bucket := "file://" + t.TempDir()
	must(t, "topics", "create", "--partitions", "2")
	client, err := kappa.Open(t.Context(), kappa.Connection{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	past, err := client.Archive(t.Context(), kappa.ArchiveOptions{Bucket: bucket, Topics: []string{"flights"}, SegmentAge: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	rows := january(t)[:1500]
	for _, part := range [][]Row{rows[:700], rows[700:1400], rows[1400:]} { // the last one stays
		if err := past.WaitCaughtUp(t.Context(), "flights"); err != nil {
			t.Fatal(err)
		}
		if _, err := past.Trim(t.Context(), "flights"); err != nil {
			t.Fatal(err)
		}
		if err := feed(t.Context(), client, Disturb{Dup: 0.1, Seed: 3}.Feed(part), 0, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	if err := past.Stop(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int)
	var errs bytes.Buffer
	go func() {
		code <- kappa.Run(ctx, app(), []string{"run", "--bucket", bucket, "--on-time", "10", "--commit-interval", "10ms"}, io.Discard, &errs)
	}()
	want := jsonOf(t, Fold(rows, 10))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, got, _ := run(t, "view", "route-stats", "--json")
		if got == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("run ended with %d:\n%s", got, errs.String())
	}
}

// jsonOf is what "view route-stats --json" prints of a table.
func jsonOf(t *testing.T, table map[string]Stats) string {
	t.Helper()
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(table)) {
		value, err := json.Marshal(table[key])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "{\"key\":%q,\"value\":%s}\n", key, value)
	}
	return out.String()
}
