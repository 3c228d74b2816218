package bench

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/testenv"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

func TestTheSameInputHasTheSameBytes(t *testing.T) {
	for _, dist := range append([]string{"cyclic"}, distributions...) {
		in := input{Dist: dist, Keys: 1000, ValueBytes: 20, Partitions: 4}
		a, b := newGenerator(in), newGenerator(in)
		keys := map[string]int{}
		for i := range int64(5000) {
			ka, va := a.next(i)
			kb, vb := b.next(i)
			if !bytes.Equal(ka, kb) || !bytes.Equal(va, vb) || len(va) != 20 {
				t.Fatalf("%s: record %d: %s=%s and %s=%s", dist, i, ka, va, kb, vb)
			}
			keys[string(ka)]++
		}
		top := 0
		for _, n := range keys {
			top = max(top, n)
		}
		if skewed := top > 500; skewed != (dist == "zipf") {
			t.Errorf("%s: %d keys, one of them %d times of 5000", dist, len(keys), top)
		}
	}
}

func TestNoTwoKeysAreAlike(t *testing.T) {
	const n = 200_000
	seen := make(map[string]bool, n)
	for i := range uint64(n) {
		k := string(appendKey(nil, i))
		if len(k) < 8 || len(k) > 16 || seen[k] {
			t.Fatalf("key %d is %q", i, k)
		}
		seen[k] = true
	}
}

func TestCostsAreTakenBetweenTenAndNinetyPerCent(t *testing.T) {
	ms := time.Millisecond
	s := samples{
		{at: 1000 * ms, records: 50, app: 500 * ms},  // dear: the start
		{at: 2000 * ms, records: 150, app: 600 * ms}, // 10 % of 1000 lie in the middle
		{at: 4000 * ms, records: 850, app: 1300 * ms},
		{at: 5000 * ms, records: 1000, app: 2900 * ms}, // dear: the end
	}
	if x := s.at(100); x.at != 1500*ms || x.app != 550*ms {
		t.Errorf("at 100: %+v", x)
	}
	r := s.result()
	ninety := 1300 + 1600.0*50/150 // ms of CPU
	if want := (ninety - 550) / 800 * 1000; r.CPU < want-1 || r.CPU > want+1 {
		t.Errorf("%.1f µs a record, want %.1f", r.CPU, want)
	}
	if r.Whole != 2900 || r.First != 1 || r.Seconds != 5 {
		t.Errorf("%+v", r)
	}
}

func TestNamesAreSelectedWholeOrUpToASlash(t *testing.T) {
	for only, want := range map[string]map[string]bool{
		"":            {"P1/hot": true, "idle": true},
		"P1":          {"P1/hot": true, "P1t/hot": false, "P10/keys": false},
		"P1/hot|idle": {"P1/hot": true, "P1/zipf": false, "idle": true},
		"P1.*/hot":    {"P1o/hot": true, "P1o/zipf": false},
	} {
		pattern, err := selection(only)
		if err != nil {
			t.Fatal(err)
		}
		for name, wanted := range want {
			if got := (settings{only: pattern}).wants(name); got != wanted {
				t.Errorf("%q selects %s: %v", only, name, got)
			}
		}
	}
}

func TestQuantilesAreUpperEndsOfMilliseconds(t *testing.T) {
	var h histogram
	for i := range 100 {
		h.observe(time.Duration(i) * time.Millisecond)
	}
	h.observe(time.Hour)
	if h.quantile(.5) != 51 || h.quantile(.99) != 100 || h.quantile(1) != float64(len(h.buckets)) {
		t.Errorf("%v %v %v", h.quantile(.5), h.quantile(.99), h.quantile(1))
	}
}

func TestReportSaysWhatWasReached(t *testing.T) {
	r := report{
		Machine:  machine{Date: "2026-01-02", Commit: "abc", Cores: 2, CPU: "a CPU", Memory: "1 kB", System: "linux 1", Go: "go1", Load: "0 0 0", Versions: map[string]string{"kgo": "v1"}},
		Settings: []string{"-rounds=3"},
		Note:     "A note.",
		Failures: []string{"P9: broken\nin two lines"},
		Profiles: map[string]string{"count on hot": "10 % a\n"},
	}
	r.add(row{Figure: "P1", Case: "hot", Values: []float64{.6, .9, .65}, Unit: "×", Of: "raw", Target: atMost(.7), Note: "a note"})
	r.add(row{Figure: "restore", Case: "fits", Values: []float64{1.2e6}, Unit: "records/s", Of: "a core", Target: atLeast(1.5e6)})
	r.add(row{Figure: "P10", Case: "1M keys", Values: []float64{1}, Unit: "×", Of: "1M keys"})
	in := standard("hot", 1000)
	for round, rss := range []int64{100 << 20, 700 << 20} {
		r.ran(result{Program: "count", Input: in, Round: round + 1, CPU: float64(round + 1), Rate: 1e6, RSS: rss, Promise: defaultMemory})
	}
	got := r.markdown()
	file := filepath.Join("testdata", "report.md")
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the report is\n%s\nwant\n%s", got, want)
	}
}

// TestSmallFiguresAreTaken keeps the harness alive: the programs run, their results
// are right, and what is wrong is found.
func TestSmallFiguresAreTaken(t *testing.T) {
	if testing.Short() {
		t.Skip("real Kafka: not with -short")
	}
	pattern, err := selection("P1/hot")
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, settings{only: pattern, records: 20_000, rounds: 1})
	l.report = new(report)
	if err := countFigures(l); err != nil {
		t.Fatal(err)
	}
	if n := len(l.report.Rows); n != 2 {
		t.Errorf("%d rows, want those of the count and of the count in memory", n)
	}
	topic := testenv.Name(t)
	in := input{Dist: "hot", Keys: 10, Records: 100, ValueBytes: 10, Partitions: 2}
	if err := l.topic(topic, in.Partitions); err != nil {
		t.Fatal(err)
	}
	if err := fill(l.ctx, l.brokers, topic, in); err != nil {
		t.Fatal(err)
	}
	if n, err := l.copied(topic, in); n != 100 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
	in.Records++
	if _, err := l.copied(topic, in); err == nil {
		t.Error("a record that is missing was not missed")
	}
}
