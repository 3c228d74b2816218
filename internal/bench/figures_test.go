package bench

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// settings are the sizes of a run.
type settings struct {
	only       *regexp.Regexp // figures to take, by their names
	seeds      []string       // of a cluster that is there; none: one is started
	records    int64          // of each input
	gokas      int64          // of the inputs of stock goka, which is slow
	rounds     int
	bigKeys    int   // keys of the state beyond the cache
	bigMemory  int64 // --memory for it, bytes
	sizes      []int // of state to recover, in MiB
	keys       []int // points of the curve of costs
	partitions []int
	live       float64       // records a second where input is fed while a program runs
	span       time.Duration // how long to look at such a program
	settle     time.Duration // before an idle program is looked at
	segments   int           // of the archive that a group begins in
	profiles   string        // directory to keep whole profiles in; "" keeps none
}

// options are the flags.
type options struct {
	figures bool
	out     string
	only    string
	note    string
	sizes   string
	brokers string
	keys    string
	parts   string
	memory  int64
	settings
}

func (o *options) register(f *flag.FlagSet) {
	f.BoolVar(&o.figures, "figures", false, "take figures")
	f.StringVar(&o.out, "out", "docs/bench", "directory for the report, from the module's root")
	f.StringVar(&o.only, "only", "", "regular expression: the figures to take")
	f.StringVar(&o.brokers, "brokers", "", "host:port,…: a cluster to take the figures on in place of one that is started; its CPU is not seen")
	f.StringVar(&o.note, "note", "", "a line for the report")
	f.Int64Var(&o.records, "records", 2_000_000, "records of each input")
	f.Int64Var(&o.gokas, "goka-records", 0, "records of stock goka's inputs (default: a fifth)")
	f.IntVar(&o.rounds, "rounds", 3, "rounds that the programs take turns in")
	f.IntVar(&o.bigKeys, "big-keys", 4_000_000, "keys of the state beyond the cache; the full figure has 20000000")
	f.Int64Var(&o.memory, "big-memory", 0, "MiB of memory for that state (default: 512 for 20M keys, in proportion, at least 128)")
	f.StringVar(&o.sizes, "state", "256", "MiB of state that a killed process recovers; in full 1024,4096")
	f.StringVar(&o.keys, "keys", "1000000,4000000", "points of the curve of costs by keys")
	f.StringVar(&o.parts, "partitions", "1,10,100,1000", "points of the curve of costs by partitions")
	f.Float64Var(&o.live, "live", 50_000, "records a second, where input is fed while a program runs")
	f.DurationVar(&o.span, "span", 15*time.Second, "how long to look at a program that is fed, or idle")
	f.StringVar(&o.profiles, "profiles", "", "directory to keep whole CPU profiles in")
	f.IntVar(&o.segments, "segments", 10_000, "segments of the archive that a group begins in")
	f.DurationVar(&o.settle, "settle", 30*time.Second, "how long an idle program is left alone before")
}

func (o *options) parse() (settings, error) {
	s := o.settings
	var errs [4]error
	s.only, errs[0] = selection(o.only)
	s.sizes, errs[1] = numbers(o.sizes)
	s.seeds = strings.FieldsFunc(o.brokers, func(r rune) bool { return r == ',' })
	s.keys, errs[2] = numbers(o.keys)
	s.partitions, errs[3] = numbers(o.parts)
	if s.gokas == 0 {
		s.gokas = max(1, s.records/5)
	}
	s.bigMemory = o.memory << 20
	if s.bigMemory == 0 {
		s.bigMemory = max(leastMemory, int64(float64(s.bigKeys)/20e6*defaultMemory))
	}
	return s, errors.Join(errs[:]...)
}

// selection makes the pattern of names that are wanted: those that it matches whole,
// or up to a slash.
func selection(only string) (*regexp.Regexp, error) {
	if only == "" {
		only = ".*"
	}
	return regexp.Compile("^(?:" + only + ")(?:/|$)")
}

// numbers reads numbers separated by commas.
func numbers(list string) ([]int, error) {
	var out []int
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// figure is something to measure: run adds rows to the report.
type figure struct {
	names []string // what -only selects by
	run   func(*lab) error
}

// figures lists all, in the order of the report.
func figures() []figure {
	return []figure{
		{countNames(), countFigures},
		{[]string{"big", "restore/beyond"}, bigFigures},
		{[]string{"P6/keys"}, killFigures},
		{[]string{"P6/size"}, sizeFigures},
		{[]string{"restore/fits"}, restoreFigures},
		{[]string{"allocations"}, allocationFigures},
		{[]string{"P9"}, latencyFigures},
		{[]string{"P10/keys"}, keyFigures},
		{[]string{"P10/partitions"}, partitionFigures},
		{[]string{"view"}, viewFigures},
		{[]string{"ceiling", "P5/file", "P5/s3"}, replayFigures},
		{[]string{"P5w/file", "P5w/s3"}, wallFigures},
		{[]string{"archiver"}, archiverFigures},
		{[]string{"reset"}, resetFigures},
		{[]string{"idle"}, idleFigures},
		{[]string{"profile/hot", "profile/uniform", "profile/uniform-output", "profile/partitions", "profile/replay"}, profileFigures},
	}
}

// wants reports whether any of the names is selected.
func (s settings) wants(names ...string) bool { return slices.ContainsFunc(names, s.only.MatchString) }

// TestMain is this binary as a test, or as a program that is measured.
func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		os.Exit(child(text))
	}
	given.register(flag.CommandLine)
	os.Exit(m.Run())
}

// given are the flags of this run; TestMain registers them.
var given options

// TestFigures takes the figures; make bench runs it.
func TestFigures(t *testing.T) {
	if !given.figures {
		t.Skip("figures are taken by make bench")
	}
	s, err := given.parse()
	if err != nil {
		t.Fatal(err)
	}
	m := thisMachine(t.Context(), time.Now())
	t.Log(m)
	l := newLab(t, s)
	l.report = &report{Machine: m, Note: given.note, file: filepath.Join(root, given.out, m.Date+"-"+m.Commit)}
	l.report.Settings = slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool {
		return strings.HasPrefix(a, "-test.") || a == "-figures" || strings.HasPrefix(a, "-note")
	})
	for _, f := range figures() {
		if !s.wants(f.names...) {
			continue
		}
		begun := time.Now()
		err := f.run(l)
		t.Logf("%s took %.0f s", f.names[0], time.Since(begun).Seconds())
		if err != nil {
			l.report.Failures = append(l.report.Failures, fmt.Sprintf("%s: %v", f.names[0], err))
			t.Errorf("%s: %v", f.names[0], err)
		}
		l.killAll()
		if err := l.report.write(); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Print(l.report.markdown())
}
