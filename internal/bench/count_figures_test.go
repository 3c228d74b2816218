package bench

import (
	"slices"
)

// The programs that take turns, by their names in the report.
const (
	raw        = "raw"
	inMemory   = "in memory"
	stockGoka  = "goka"
	count      = "count"
	countTyped = "count --typed"
	countOut   = "count --output"
)

// defaultMemory is --memory's default: what the process may use, and a fifth.
const defaultMemory = 512 << 20

// leastMemory is the least --memory that bounds the whole process: see
// docs/guides/configuration.md.
const leastMemory = 128 << 20

func contenders() map[string]contender {
	table := func(l *lab, group string, in input) (int64, error) { return l.counted(group+"-table", in) }
	return map[string]contender{
		raw:      {"raw", 0, baseline("raw"), func(l *lab, group string, in input) (int64, error) { return l.copied(group+"-out", in) }},
		inMemory: {"in-memory", 0, baseline("memory"), func(l *lab, group string, in input) (int64, error) { return l.counted(group+"-out", in) }},
		stockGoka: {"goka", 0, func(l *lab, group string, in input) (*process, error) {
			return l.startChild(childRun{Program: "goka", In: in.topic(), Group: group, Dir: l.stateDir(group)})
		}, table},
		count:      {"count", defaultMemory, kappaCount(), table},
		countTyped: {"count-typed", defaultMemory, kappaCount("--typed"), table},
		countOut: {"count-output", defaultMemory, func(l *lab, group string, in input) (*process, error) {
			if err := l.topic(group+"-out", in.Partitions); err != nil {
				return nil, err
			}
			return l.startCount(l.count, group, in.topic(), "--output", group+"-out")
		}, func(l *lab, group string, in input) (int64, error) {
			if _, err := l.copied(group+"-out", in); err != nil {
				return 0, err
			}
			return table(l, group, in)
		}},
	}
}

// baseline starts a program of this binary that writes to one topic.
func baseline(program string) func(*lab, string, input) (*process, error) {
	return func(l *lab, group string, in input) (*process, error) {
		if err := l.topic(group+"-out", in.Partitions); err != nil {
			return nil, err
		}
		return l.startChild(childRun{Program: program, In: in.topic(), Out: group + "-out", Group: group})
	}
}

// kappaCount starts examples/count with more flags.
func kappaCount(flags ...string) func(*lab, string, input) (*process, error) {
	return func(l *lab, group string, in input) (*process, error) {
		return l.startCount(l.count, group, in.topic(), flags...)
	}
}

// against is a ratio of two programs' CPU per record.
type against struct {
	figure   string
	of, by   string // programs: of's cost divided by by's
	targets  map[string]target
	yardOnly bool // says where the others stand; no figure of its own
}

func ratios() []against {
	return []against{
		{figure: "P1", of: count, by: raw, targets: map[string]target{"hot": atMost(.7), "zipf": atMost(1), "uniform": atMost(2)}},
		{figure: "P1", of: inMemory, by: raw, yardOnly: true},
		{figure: "P1t", of: countTyped, by: raw, targets: map[string]target{"hot": atMost(.5), "zipf": atMost(.8), "uniform": atMost(1.8)}},
		{figure: "P1o", of: countOut, by: raw, targets: map[string]target{"hot": atMost(1.6), "zipf": atMost(1.9), "uniform": atMost(3)}},
		{figure: "P2", of: stockGoka, by: count, targets: map[string]target{"hot": atLeast(25), "zipf": atLeast(15), "uniform": atLeast(10)}},
	}
}

func countNames() []string {
	var names []string
	for _, f := range ratios() {
		for _, dist := range distributions {
			names = append(names, f.figure+"/"+dist)
		}
	}
	return slices.Compact(names)
}

// countFigures are P1, P1t, P1o and P2: all programs take turns on one input after
// the other, in every second round backwards.
func countFigures(l *lab) error {
	costs := map[string]map[string][]float64{} // by distribution, program: of each round
	for round := 1; round <= l.rounds; round++ {
		for _, dist := range distributions {
			if costs[dist] == nil {
				costs[dist] = map[string][]float64{}
			}
			names := l.turn(dist, round)
			for _, name := range names {
				in := standard(dist, l.records)
				if name == stockGoka {
					in = standard(dist, l.gokas)
				}
				r, err := l.measure(contenders()[name], in, round, "")
				if err != nil {
					return err
				}
				costs[dist][name] = append(costs[dist][name], r.CPU)
			}
		}
	}
	for _, f := range ratios() {
		for _, dist := range distributions {
			if l.wants(f.figure + "/" + dist) {
				l.report.add(f.row(dist, costs[dist]))
			}
		}
	}
	return nil
}

// turn lists the programs that a round needs on a distribution.
func (l *lab) turn(dist string, round int) []string {
	var names []string
	for _, f := range ratios() {
		if l.wants(f.figure + "/" + dist) {
			names = append(names, f.by, f.of)
		}
	}
	order := []string{raw, inMemory, count, countTyped, countOut, stockGoka}
	needed := slices.DeleteFunc(order, func(n string) bool { return !slices.Contains(names, n) })
	if round%2 == 0 {
		slices.Reverse(needed)
	}
	return needed
}

func (a against) row(dist string, costs map[string][]float64) row {
	w := row{Figure: a.figure, Case: dist, Unit: "×", Of: a.by, Target: a.targets[dist]}
	if a.yardOnly {
		w.Case += ", " + a.of
	}
	if a.by == count {
		w.Of = a.of // records per CPU-second, so the other way round
	}
	for i, of := range costs[a.of] {
		w.Values = append(w.Values, of/costs[a.by][i])
	}
	if !a.yardOnly {
		w.Note = number(median(costs[a.of])) + " ÷ " + number(median(costs[a.by])) + " µs"
	}
	return w
}
