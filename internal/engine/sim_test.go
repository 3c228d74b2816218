package engine

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

const defaultSeeds = 300

var (
	simSeeds = flag.Int("seeds", defaultSeeds, "how many seeds the simulation runs")
	simSeed  = flag.Uint64("seed", 1, "the first seed of the simulation; with -seeds=1 its trace is shown")
)

// traceTail is how much of a failed run's trace is shown.
const traceTail = 150

// report says what has gone wrong, what came before it, and how to see it again.
// The run is repeated with its trace: the same seed gives the same run.
func simReport(seed uint64, m mutation, err error) string {
	w := newWorld(seed, m, true)
	_ = w.run()
	tail := w.lines[max(0, len(w.lines)-traceTail):]
	return fmt.Sprintf("%s\nseed %d: %v\nagain: go test ./internal/engine -run TestSimulation$ -seeds=1 -seed=%d -v",
		strings.Join(tail, "\n"), seed, err, seed)
}

func TestSimulation(t *testing.T) {
	if testing.Short() && *simSeeds == defaultSeeds {
		*simSeeds = 40
	}
	began := time.Now()
	var steps, commits int
	counts := map[string]int{}
	for seed := *simSeed; seed < *simSeed+uint64(*simSeeds); seed++ {
		w := newWorld(seed, mutation{}, *simSeeds == 1)
		err := w.run()
		steps += w.steps
		for _, n := range w.broker.last {
			commits += int(n)
		}
		for what, n := range w.counts {
			counts[what] += n
		}
		if *simSeeds == 1 {
			t.Log("\n" + strings.Join(w.lines, "\n"))
		}
		if err != nil {
			t.Fatal("\n" + simReport(seed, mutation{}, err))
		}
	}
	took := time.Since(began)
	t.Logf("%d seeds in %v (%v each): %d steps, %d commits of tasks", *simSeeds, took.Round(time.Millisecond),
		(took / time.Duration(*simSeeds)).Round(time.Microsecond), steps, commits)
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%8d %s", counts[what], what)
	}
}

func TestSimulationOfASeedIsAlwaysTheSame(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		a, b := newWorld(seed, mutation{}, true), newWorld(seed, mutation{}, true)
		errA, errB := a.run(), b.run()
		if a.hash.Sum64() == b.hash.Sum64() && fmt.Sprint(errA) == fmt.Sprint(errB) {
			continue
		}
		for i := range min(len(a.lines), len(b.lines)) {
			if a.lines[i] != b.lines[i] {
				t.Fatalf("seed %d: line %d differs:\n%s\n%s\nbefore:\n%s", seed, i, a.lines[i], b.lines[i], strings.Join(a.lines[max(0, i-20):i], "\n"))
			}
		}
		t.Fatalf("seed %d: %d and %d lines", seed, len(a.lines), len(b.lines))
	}
}

// mutationSeeds is how many seeds a mutation may survive.
const mutationSeeds = 1500

func TestSimulationCatchesMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	for _, m := range mutations {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			for seed := uint64(1); seed <= mutationSeeds; seed++ {
				w := newWorld(seed, m, false)
				if err := w.run(); err != nil {
					t.Logf("seed %d: %s", seed, firstLine(err))
					return
				}
			}
			t.Errorf("%d seeds do not catch: %s", mutationSeeds, m.name)
		})
	}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func TestMutationsHaveNamesOfTheirOwn(t *testing.T) {
	var names []string
	for _, m := range mutations {
		names = append(names, m.name)
	}
	slices.Sort(names)
	if n := len(slices.Compact(slices.Clone(names))); n != len(mutations) || n < 12 {
		t.Errorf("%d names for %d mutations", n, len(mutations))
	}
}
