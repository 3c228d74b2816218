package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// report is what a run has come to.
type report struct {
	Seed       uint64           `json:"seed"`
	Nodes      int              `json:"nodes"`
	Keys       int              `json:"keys"`
	Seconds    float64          `json:"seconds"`
	Records    int64            `json:"records"`
	Faults     map[string]int   `json:"faults"`
	Inside     int              `json:"kills_inside_a_transaction"`
	Commits    int64            `json:"commits"`
	Committed  int64            `json:"commit_records"`
	Aborts     map[string]int64 `json:"aborts"`
	Rebuilds   int64            `json:"rebuilds"`
	Rebalances int              `json:"rebalances"`
	Restores   int64            `json:"restores"`
	Replayed   int64            `json:"replayed"`
	Wipes      int64            `json:"wipes"`
	Copied     copied           `json:"restores_from_a_copy"`
	// Stalls are the longest times without committed output while input was
	// pending: of all tasks, and of one. Of the faults, by kind.
	Stalls  stallReport            `json:"longest_stall"`
	Stalled string                 `json:"longest_stall_when"`
	ByFault map[string]stallReport `json:"longest_stall_by_fault"`
	Usage   trends                 `json:"usage"`
	Markers int                    `json:"markers_read"`
	Failed  []string               `json:"failed"`
}

type copied struct {
	Restores int64 `json:"restores"`
	Replayed int64 `json:"replayed"`
	Whole    int64 `json:"without_a_copy"` // what these would have replayed
}

type stallReport struct {
	All  float64 `json:"all_seconds"`
	Task float64 `json:"task_seconds"`
}

// String returns the report as a table.
func (r *report) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("seed", "%d", r.Seed)
	row("brokers, keys", "%d, %d", r.Nodes, r.Keys)
	row("duration", "%v", time.Duration(r.Seconds*float64(time.Second)).Round(time.Second))
	row("records", "%d (%.0f a second)", r.Records, float64(r.Records)/max(1, r.Seconds))
	row("faults", "%s", list(r.Faults))
	row("  inside", "%d kills of instances left a transaction open", r.Inside)
	row("commits", "%d, of %d records, as far as was seen of processes that were killed", r.Commits, r.Committed)
	row("aborts", "%s", list(r.Aborts))
	row("producers rebuilt", "%d", r.Rebuilds)
	row("rebalances", "%d", r.Rebalances)
	row("restores", "%d, %d records replayed, %d stores wiped", r.Restores, r.Replayed, r.Wipes)
	row("  with a copy", "%d, %d records replayed; without it %d", r.Copied.Restores, r.Copied.Replayed, r.Copied.Whole)
	row("longest stall", "%.1f s of all output, %.1f s of a task (%s)", r.Stalls.All, r.Stalls.Task, r.Stalled)
	for _, kind := range slices.Sorted(maps.Keys(r.ByFault)) {
		row("  "+kind, "%.1f s, %.1f s", r.ByFault[kind].All, r.ByFault[kind].Task)
	}
	if r.Usage.Memory.Max > 0 {
		r.Usage.rows(row)
	}
	row("markers read", "%d", r.Markers)
	for _, f := range r.Failed {
		first, _, _ := strings.Cut(f, "\n")
		row("FAILED", "%s", first)
	}
	w.Flush()
	return b.String()
}

// rows writes what processes have used in the first and the last third.
func (t trends) rows(row func(name, format string, args ...any)) {
	mb := func(t trend) string {
		return fmt.Sprintf("%.0f → %.0f MB, at most %.0f", t.First/1e6, t.Last/1e6, t.Max/1e6)
	}
	count := func(t trend) string { return fmt.Sprintf("%.0f → %.0f, at most %.0f", t.First, t.Last, t.Max) }
	row("memory", "%s", mb(t.Memory))
	row("state directory", "%s", mb(t.Disk))
	row("goroutines", "%s", count(t.Goroutines))
	row("open files", "%s", count(t.Files))
}

// list writes counts, without those that are zero.
func list[N int | int64](m map[string]N) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// keep writes the report as JSON.
func (r *report) keep(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func TestAReportSaysWhatFailed(t *testing.T) {
	r := report{Seed: 7, Failed: []string{"i1 ended by itself\nits log"}, Aborts: map[string]int64{"stale": 2, "lost": 0}}
	text := r.String()
	for _, s := range []string{"seed", "7", "stale 2", "i1 ended by itself"} {
		if !strings.Contains(text, s) {
			t.Errorf("the report does not say %q:\n%s", s, text)
		}
	}
	if strings.Contains(text, "lost") || strings.Contains(text, "its log") {
		t.Errorf("the report says too much:\n%s", text)
	}
}
