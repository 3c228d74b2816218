package archiver

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const defaultSeeds = 500

var (
	simSeeds = flag.Int("seeds", defaultSeeds, "how many seeds the simulation runs")
	simSeed  = flag.Uint64("seed", 1, "the first seed of the simulation; with -seeds=1 its trace is shown")
)

// traceTail is how much of a failed run's trace is shown.
const traceTail = 150

// simulate plays one run in a bubble of its own.
func simulate(t *testing.T, seed uint64, m mutation, tell bool) (w *simWorld, err error) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w = newWorld(seed, m, tell)
		err = w.run()
	})
	return w, err
}

// Archivers are killed between any two of their requests' effects, sleep and wake as
// zombies, share partitions with others, while the store fails, loses answers and lists
// what was; Kafka deletes what is archived. The archive is the log's prefix at every
// moment.
func TestSimulation(t *testing.T) {
	if testing.Short() && *simSeeds == defaultSeeds {
		*simSeeds = 25
	}
	began, counts := time.Now(), map[string]int{}
	for seed := *simSeed; seed < *simSeed+uint64(*simSeeds); seed++ {
		w, err := simulate(t, seed, mutation{}, *simSeeds == 1)
		for what, n := range w.counts {
			counts[what] += n
		}
		if *simSeeds == 1 {
			t.Log("\n" + strings.Join(w.lines, "\n"))
		}
		if err != nil {
			w, _ = simulate(t, seed, mutation{}, true)
			t.Fatalf("\n%s\nseed %d: %v\nagain: go test ./internal/archiver -run TestSimulation$ -seeds=1 -seed=%[2]d -v",
				strings.Join(w.lines[max(0, len(w.lines)-traceTail):], "\n"), seed, err)
		}
	}
	t.Logf("%d seeds in %v", *simSeeds, time.Since(began).Round(time.Millisecond))
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%8d %s", counts[what], what)
		if counts[what] == 0 {
			t.Errorf("no %s: the simulation proves little", what)
		}
	}
}

// sameSeeds is how many seeds are run twice.
const sameSeeds = 30

func TestSimulationOfASeedIsAlwaysTheSame(t *testing.T) {
	for seed := uint64(1); seed <= sameSeeds; seed++ {
		a, errA := simulate(t, seed, mutation{}, true)
		b, errB := simulate(t, seed, mutation{}, true)
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
const mutationSeeds = 300

func TestSimulationCatchesMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	for _, m := range mutations {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			for seed := uint64(1); seed <= mutationSeeds; seed++ {
				if _, err := simulate(t, seed, m, false); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Errorf("%d seeds do not catch: %s", mutationSeeds, m.name)
		})
	}
}
