package metrics_test

import (
	"flag"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/metrics"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/views"
)

func stats() engine.Stats {
	g := engine.GroupStats{Group: "counts", Instance: "i", Workers: 2,
		Commits: 10, CommitRecords: 1000, CommitChanges: 600, CommitEmits: 50, Aborts: map[engine.AbortCause]int64{},
		Rebuilds: 1, ReplayedRecords: 77, Wipes: 1, Restores: 2, Purged: 4, QueuedBytes: 4096, Standbys: 3, StandbyRecords: 21}
	for _, cause := range engine.AbortCauses() {
		g.Aborts[cause] = 0
	}
	g.Aborts[engine.AbortStale] = 3
	for _, d := range []time.Duration{time.Millisecond, 40 * time.Millisecond, time.Minute} {
		g.CommitLatency.Observe(d)
	}
	var counts record.Counts
	counts[record.Processed], counts[record.Dead] = 990, 10
	g.Tasks = []engine.TaskStats{
		{Partition: 0, Phase: engine.Running, Counts: counts, Lag: map[string]int64{"clicks": 5, "users": -1},
			Restored: 77, RestoreTotal: 77, StateKeys: 600, StateBytes: 9000, DirtyBytes: 100, StoreBytes: 8000},
		{Partition: 1, Phase: engine.Restoring, Lag: map[string]int64{}, Restored: 10, RestoreTotal: 40, RestoreETA: 1500 * time.Millisecond},
	}
	return engine.Stats{Groups: []engine.GroupStats{g}}
}

func scrape(t *testing.T, s metrics.Sources) string {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.New(s).Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

var rewrite = flag.Bool("rewrite", false, "write testdata")

// Names and labels are what dashboards and alerts hang on.
func TestMetricsStay(t *testing.T) {
	body := scrape(t, metrics.Sources{
		Engine: stats,
		Views: func() []views.Stats {
			return []views.Stats{{Name: "counts", Table: "counts-table", Records: 12, Switches: 1, CaughtUp: true, Bytes: 300},
				{Name: "bad\xff", Table: "t", Bytes: -1}}
		},
		Archiver: func() archiver.Stats {
			return archiver.Stats{Jobs: 2,
				Topics: map[string]archiver.Counts{"clicks": {Segments: 7, Bytes: 900, Merges: 1, Fences: 2, Gaps: 1, LostOffsets: 40, Errors: 3}},
				Partitions: []archiver.PartitionStats{
					{Partition: record.Partition{Topic: "clicks"}, Lag: 5, LagBytes: 500, LagTime: 90 * time.Second, Headroom: time.Hour, Bounded: true, Segments: 3, Bytes: 9000},
					{Partition: record.Partition{Topic: "clicks", Partition: 1}, Err: archiver.ErrLost},
				}}
		},
	})
	var ours strings.Builder
	for line := range strings.Lines(body) {
		if strings.Contains(line, "kappa_") {
			ours.WriteString(line)
		}
	}
	const file = "testdata/metrics.txt"
	if *rewrite {
		if err := os.WriteFile(file, []byte(ours.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if ours.String() != string(want) {
		t.Errorf("metrics differ from %s (-rewrite writes it):\n%s", file, ours.String())
	}
}

func TestRuntimeAndProcessAreMeasured(t *testing.T) {
	body := scrape(t, metrics.Sources{})
	for _, name := range []string{"go_goroutines ", "process_start_time_seconds "} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("there is no %s", name)
		}
	}
}
