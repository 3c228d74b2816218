package kappa

import (
	"strings"
	"testing"
)

// A run over a past that Kafka has mostly forgotten ends where the records' time says,
// be that in the archive or in what Kafka still has, and the next one goes on there.
func TestARunOverTheArchiveEndsAtATime(t *testing.T) {
	a := archiveClicks(t)
	must(t, clicks(), "archive", "trim", "clicks", "--bucket", a.bucket, "--yes")
	ms := may.UnixMilli()
	write(t, a.c, "clicks", true, out(0, ms+60_000, "ann", "/late"), out(1, ms+60_000, "eve", "/late"))
	write(t, a.c, "clicks", true, out(0, ms+120_000, "ann", "/later"), out(1, ms+120_000, "eve", "/later"))
	dir := t.TempDir()
	for _, step := range []struct{ until, view string }{
		{"2026-05-01T12:00:01Z", "ann=1"},                         // in the archive alone
		{"2026-05-01T14:00:02+02:00", "ann=1 bob=1"},              // a zone
		{"2026-05-01T12:01:00Z", "ann=1 bob=1 cat=1 dan=1"},       // where the archive ends
		{"1777636920000", "ann=2 bob=1 cat=1 dan=1 eve=1"},        // in Kafka, as milliseconds: 12:02
		{"2026-05-01T12:02:00Z", "ann=2 bob=1 cat=1 dan=1 eve=1"}, // it is there already
		{"2026-05-02", "ann=3 bob=1 cat=1 dan=1 eve=2"},           // nothing is as late: the end
		{"2026-05-01T12:00:00Z", "ann=3 bob=1 cat=1 dan=1 eve=2"}, // long past: nothing is undone
	} {
		code, _, stderr := run(t, clicks(), "run", "--bucket", a.bucket, "--until", step.until, "--state-dir", dir, "--commit-interval", "5ms")
		if code != 0 || !strings.Contains(stderr, "all inputs are processed up to their ends") {
			t.Fatalf("until %s: code %d\n%s", step.until, code, stderr)
		}
		if got := rows(must(t, clicks(), "view", "clicks-per-user")); got != step.view {
			t.Errorf("until %s: %s, want %s", step.until, got, step.view)
		}
	}
}

// rows writes a view's table in one line.
func rows(view string) string {
	var all []string
	for _, line := range strings.Split(strings.TrimSpace(view), "\n")[1:] {
		all = append(all, strings.Join(strings.Fields(line), "="))
	}
	return strings.Join(all, " ")
}
