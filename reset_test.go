package kappa

import (
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// counted lets the group count what there is, and leave.
func counted(t *testing.T, c *Client, app App) {
	t.Helper()
	var out output
	stop := background(t, app, &out, "run", "--leave")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		lag, err := c.Lag(t.Context(), "clicks-per-user")
		behind := int64(len(lag))
		for _, l := range lag {
			if l.Committed >= 0 {
				behind += l.Lag - 1
			}
		}
		if err == nil && behind == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the group is behind: %v, %v\n%s", lag, err, out.b.String())
		}
	}
	if code := stop(); code != 0 {
		t.Fatalf("run ended with %d:\n%s", code, out.b.String())
	}
}

func TestResetPlansAndMakesThem(t *testing.T) {
	a := archiveClicks(t)
	counted(t, a.c, clicks())
	var all strings.Builder
	show := func(args string) {
		t.Helper()
		stdout := must(t, clicks(), strings.Fields("reset clicks-per-user "+strings.ReplaceAll(args, "BUCKET", a.bucket))...)
		all.WriteString("$ clicks reset clicks-per-user " + args + "\n" + stdout + "\n")
	}
	show("--to-earliest")
	show("--to-time 2026-05-01T12:00:02Z")
	show("--to-offset clicks:1=1 --state keep --json")
	if err := a.c.cluster.DeleteRecords(t.Context(), map[record.Partition]int64{{Topic: "clicks"}: 4, {Topic: "clicks", Partition: 1}: 3}); err != nil {
		t.Fatal(err)
	}
	show("--to-earliest")
	show("--to-earliest --bucket BUCKET")
	show("--to-time 2026-05-01T12:00:02Z --bucket BUCKET --json")
	show("--to-earliest --bucket BUCKET --outputs mute --yes")
	show("--to-earliest --bucket BUCKET --switch at-once --yes --json")
	golden(t, "reset", all.String())
}

func TestResetNamesMistakes(t *testing.T) {
	a := archiveClicks(t)
	counted(t, a.c, clicks())
	cut := map[record.Partition]int64{{Topic: "clicks"}: 4}
	if err := a.c.cluster.DeleteRecords(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"reset nobody --to-earliest":                                         "the group has not run yet, so there is nothing to reset",
		"reset clicks-per-user --to-offset clicks:0=1":                       "clicks/0: offset 1 does not exist: there are offsets 4 to ",
		"reset clicks-per-user --to-offset clicks:0=1 --yes":                 "no archive was asked: name its --bucket",
		"reset clicks-per-user --to-offset clicks:0=99 --bucket " + a.bucket: "there are offsets 0 to ",
		"reset clicks-per-user --to-offset clicks:7=1":                       "clicks/7 is no input of group clicks-per-user: it reads [clicks], partitions 0 to 1",
		"reset clicks-per-user --to-offset other:0=1":                        "other/0 is no input",
		"reset clicks-per-user --to-earliest --bucket file://" + t.TempDir(): "the archive holds nothing of the inputs",
	} {
		if code, _, stderr := run(t, clicks(), strings.Fields(args)...); code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d, stderr:\n%s\nwant %s", args, code, stderr, want)
		}
	}
	for args, want := range map[string]string{
		"":                             "say where to, once",
		"--to-earliest --to-time 1":    "say where to, once",
		"--to-offset clicks":           "use TOPIC:PARTITION=OFFSET",
		"--to-time soon":               "use 2026-05-01T12:00:00Z, 2026-05-01 or milliseconds since 1970",
		"--by-duration -3h":            "use a duration such as 90m, 36h or 7d",
		"--to-earliest --state maybe":  "--state maybe: use clear or keep",
		"--to-earliest --outputs loud": "--outputs loud: use again or mute",
		"--to-earliest --state keep --switch at-once": "exclude each other",
	} {
		if code, _, stderr := run(t, clicks(), append([]string{"reset", "clicks-per-user"}, strings.Fields(args)...)...); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d, stderr:\n%s\nwant %s", args, code, stderr, want)
		}
	}
}

func TestTheToolResetsAGroupOfAnyProgram(t *testing.T) {
	a := archiveClicks(t)
	counted(t, a.c, clicks())
	tool := App{Name: "kappa", Short: "the tool"}
	stdout := must(t, tool, "reset", "clicks-per-user", "--to-earliest", "--yes")
	if !strings.Contains(stdout, "the table is clicks-per-user.g2-table, readers keep clicks-per-user-table") {
		t.Error(stdout)
	}
}

func TestSpansAreReadAlsoInDays(t *testing.T) {
	for s, want := range map[string]time.Duration{"7d": 7 * 24 * time.Hour, "90m": 90 * time.Minute, "0d": 0} {
		if got, err := parseSpan(s); got != want || err != nil {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
}

func TestAResetIsWatchedUntilReadersHaveSwitched(t *testing.T) {
	a := archiveClicks(t)
	counted(t, a.c, clicks())
	if code, _, stderr := run(t, clicks(), "reset", "clicks-per-user", "--watch"); code != 1 || !strings.Contains(stderr, "the group was never reset") {
		t.Errorf("code %d: %s", code, stderr)
	}
	if code, _, stderr := run(t, clicks(), "reset", "clicks-per-user", "--watch", "--to-earliest"); code != 2 || !strings.Contains(stderr, "add --yes") {
		t.Errorf("code %d: %s", code, stderr)
	}
	var out, errs output
	stop := background(t, clicks(), &out, "reset", "clicks-per-user", "--to-earliest", "--yes", "--watch")
	out.await(t, `nobody runs the group`)
	end := background(t, clicks(), &errs, "run", "--leave")
	out.await(t, `100% 11 of 11 records\nreaders see clicks-per-user.g2-table\n`)
	if code := stop(); code != 0 {
		t.Errorf("the watch ended with %d", code)
	}
	end()
	stdout := must(t, clicks(), "reset", "clicks-per-user", "--watch", "--json")
	if want := `{"group":"clicks-per-user","done":11,"goal":11,"rate":0,"eta_seconds":-1,"members":0,"switched":true}` + "\n"; stdout != want {
		t.Errorf("got %s want %s", stdout, want)
	}
}
