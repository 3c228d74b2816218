package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Real processes on a real Kafka, and an archive in a directory. Half of a month is
// counted, while groups and archiver are killed, and cut from the log. Then the rule for
// what is on time changes, and both groups are reset to the archive's beginning: they
// run through history into the second half, which is fed meanwhile, killed at random
// moments, and are reset again amid that. In the end the table is the fold of the whole
// month by the new rule, and each flight is there once.
func TestKilledAmidHistoryTheTableIsTheFold(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes on a real Kafka: not with -short")
	}
	t.Parallel()
	x := newKillRig(t)
	h := &history{killRig: x, bucket: "file://" + filepath.Join(x.dir, "archive")}
	first, second := x.halves("june", synthesised(t, 6))
	x.must("topics", "create", "--partitions", "4")

	feed := x.feed(first, 3000)
	past, p := h.archiver(), h.groups(15)
	x.doze(2 * time.Second)
	past.kill()
	past = h.archiver() // it waits for the dead one's session
	x.doze(time.Second)
	p.kill()
	p = h.groups(15)
	feed.wait(0)
	counts := counted(plainFold(t, 15, first))
	x.until("the first half to be counted", func() bool { return p.ready() && x.inView() == counts })
	p.signal(syscall.SIGTERM)
	p.wait(0)
	x.until("all of it to be archived", h.archived)
	h.cut()

	h.reset()
	feed = x.feed(second, 1500)
	p = h.groups(10)
	x.doze(time.Second)
	past.kill()
	past = h.archiver()
	for life := range 4 {
		x.doze(1500 * time.Millisecond)
		p.kill()
		if life == 1 { // amid history, or at its end
			h.expel()
			h.reset()
		}
		p = h.groups(10)
	}
	feed.wait(0)
	want := plainFold(t, 10, first, second)
	x.until("the table to be the fold", func() bool { return p.ready() && x.must("view", "route-stats", "--json") == want })
	if n := strings.Count(x.must("view", "flight-status", "--json"), "\n"); n != flightsIn(t, want) {
		t.Errorf("flight-status has %d flights, %d are in the files", n, flightsIn(t, want))
	}
	for _, q := range []*killed{p, past} {
		q.signal(syscall.SIGTERM)
		q.wait(0)
	}
	x.must("archive", "verify", "--deep", "--against-kafka", "--bucket", h.bucket)
}

// history is a rig with an archive.
type history struct {
	*killRig
	bucket string
}

func (h *history) archiver() *killed {
	h.t.Helper()
	return h.start("", "archive", "run", "--bucket", h.bucket, "--topics", strings.Join(archivedTopics, ","), "--segment-age", "300ms", "--session-timeout", "6s")
}

// instance is the groups' process among their members.
const instance = "one"

func (h *history) groups(onTime int) *killed {
	h.t.Helper()
	return h.run("state", "--bucket", h.bucket, "--on-time", strconv.Itoa(onTime), "--instance", instance, "--leave")
}

// expel ends the membership of a process that was killed.
func (h *history) expel() {
	h.t.Helper()
	h.must("leave", instance)
}

// reset sets both groups to the archive's beginning. flight-status has told the routes
// everything once, so it is mute until it comes to what is new.
func (h *history) reset() {
	h.t.Helper()
	h.must("reset", "flight-status", "--to-earliest", "--outputs", "mute", "--bucket", h.bucket, "--yes")
	h.must("reset", "route-stats", "--to-earliest", "--bucket", h.bucket, "--yes")
}

// rows returns what "archive ls" or "archive trim" prints.
func (h *history) rows(args ...string) (rows []archiveRow) {
	h.t.Helper()
	out := h.must(append(append([]string{"archive"}, args...), "--bucket", h.bucket, "--json")...)
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var r archiveRow
		if err := d.Decode(&r); err != nil {
			h.t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}

type archiveRow struct {
	Start, End int64
	Lag        int64
	From, To   int64
}

// archived reports whether the archive has all that Kafka has.
func (h *history) archived() bool {
	h.t.Helper()
	rows := h.rows("ls")
	return len(rows) == 8 && !slices.ContainsFunc(rows, func(r archiveRow) bool { return r.Lag != 0 || r.Start != 0 })
}

// cut deletes from Kafka what is archived.
func (h *history) cut() {
	h.t.Helper()
	var cut int64
	for _, r := range h.rows(append([]string{"trim", "--yes"}, archivedTopics...)...) {
		cut += r.To - r.From
	}
	if cut < 10_000 {
		h.t.Fatalf("only %d offsets are cut from Kafka: the groups would not read the archive", cut)
	}
}

// flightsIn sums the flights of a view's output.
func flightsIn(t *testing.T, view string) (n int) {
	t.Helper()
	for line := range strings.Lines(view) {
		var row struct{ Value Stats }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		n += int(row.Value.Flights)
	}
	return n
}
