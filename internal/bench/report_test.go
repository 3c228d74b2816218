package bench

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// target is what a figure shall reach; the zero target is none.
type target struct {
	Bound float64
	Side  side
}

type side string

const (
	most  side = "≤"
	least side = "≥"
)

func atMost(f float64) target  { return target{f, most} }
func atLeast(f float64) target { return target{f, least} }

// held reports whether a value reaches the target.
func (t target) held(v float64) bool {
	if t.Side == least {
		return v >= t.Bound
	}
	return v <= t.Bound
}

func (t target) String() string {
	if t.Side == "" {
		return ""
	}
	return string(t.Side) + " " + number(t.Bound)
}

// row is one figure on one case.
type row struct {
	Figure string
	Case   string
	Values []float64 // of each round
	Unit   string    // "×" for ratios
	Of     string    // what a ratio is relative to
	Target target
	Note   string
}

// median returns the middle value, of an even number the mean of the two.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func (r row) reached() float64 { return median(r.Values) }

func (r row) verdict() string {
	switch {
	case r.Target.Side == "":
		return ""
	case r.Target.held(r.reached()):
		return "held"
	}
	return "**missed**"
}

// number writes a figure with three significant digits.
func number(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.3gk", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// value writes the median, and the spread where there were rounds.
func (r row) value() string {
	s := number(r.reached()) + " " + r.Unit
	if len(r.Values) > 1 {
		s += fmt.Sprintf(" (%s–%s)", number(slices.Min(r.Values)), number(slices.Max(r.Values)))
	}
	return s
}

// report is what a run has found. It is written after each figure, so that a run that
// is ended early leaves what it has.
type report struct {
	Machine  machine
	Settings []string // as given on the command line
	Note     string   `json:",omitempty"` // of who ran it, such as that the machine was busy
	Rows     []row
	Runs     []result
	Profiles map[string]string `json:",omitempty"` // by program and input, the top of each
	Failures []string          `json:",omitempty"`

	file string // without its ending
}

func (r *report) add(w row) { r.Rows = append(r.Rows, w) }

func (r *report) ran(x result) { r.Runs = append(r.Runs, x) }

// write writes the report for readers and for programs.
func (r *report) write() error {
	if r.file == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(r.file+".json", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(r.file+".md", []byte(r.markdown()), 0o644)
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Figures, %s, %s\n\n", r.Machine.Date, r.Machine.Commit)
	fmt.Fprintf(&b, "- Machine: %s\n", r.Machine)
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(r.Machine.Versions)) {
		versions = append(versions, name+" "+r.Machine.Versions[name])
	}
	fmt.Fprintf(&b, "- Versions: %s\n", strings.Join(versions, ", "))
	fmt.Fprintf(&b, "- Settings: `%s`\n", strings.Join(r.Settings, " "))
	fmt.Fprintf(&b, "- One broker on the same machine, no replication. CPU is user + system of the whole process, between 10 %% and 90 %% of the records. Every result was read back under read_committed.\n")
	if r.Note != "" {
		fmt.Fprintf(&b, "- **%s**\n", r.Note)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "- **Failed:** %s\n", strings.ReplaceAll(f, "\n", " "))
	}
	r.writeRows(&b)
	r.writeRuns(&b)
	for _, name := range slices.Sorted(maps.Keys(r.Profiles)) {
		fmt.Fprintf(&b, "\n## Profile: %s\n\n```\n%s\n```\n", name, strings.TrimSpace(r.Profiles[name]))
	}
	return b.String()
}

func (r *report) writeRows(b *strings.Builder) {
	b.WriteString("\n| figure | case | reached | of | target | | |\n|---|---|---|---|---|---|---|\n")
	for _, w := range slices.Concat(r.Rows, r.memoryRows()) {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", w.Figure, w.Case, w.value(), w.Of, w.Target, w.verdict(), w.Note)
	}
}

// writeRuns writes the median of each program on each input.
func (r *report) writeRuns(b *strings.Builder) {
	if len(r.Runs) == 0 {
		return
	}
	b.WriteString("\n## Runs\n\nµs of CPU per record, medians; *whole* is from the start of the process.\n\n" +
		"| program | input | partitions | records | rounds | 10–90 % | whole | broker | records/s | peak RSS, MiB |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, group := range r.byProgram() {
		x := group[0]
		fmt.Fprintf(b, "| %s | %s, %s keys | %d | %s | %d | %.2f | %.2f | %.2f | %s | %d |\n", x.Program, x.Input.Dist, number(float64(x.Input.Keys)),
			x.Input.Partitions, number(float64(x.Input.Records)), len(group), medianOf(group, func(x result) float64 { return x.CPU }),
			medianOf(group, func(x result) float64 { return x.Whole }), medianOf(group, func(x result) float64 { return x.Broker }),
			number(medianOf(group, func(x result) float64 { return x.Rate })), int64(medianOf(group, func(x result) float64 { return float64(x.RSS) }))>>20)
	}
}

// byProgram groups the runs by program and input, in their order.
func (r *report) byProgram() [][]result {
	var groups [][]result
	for _, x := range r.Runs {
		i := slices.IndexFunc(groups, func(g []result) bool { return g[0].Program == x.Program && g[0].Input == x.Input })
		if i < 0 {
			groups = append(groups, []result{x})
			continue
		}
		groups[i] = append(groups[i], x)
	}
	return groups
}

// memoryRows hold each run of kappa against its --memory: the worst run counts.
func (r *report) memoryRows() []row {
	var rows []row
	for _, group := range r.byProgram() {
		worst := slices.MaxFunc(group, func(a, b result) int { return int(a.RSS - b.RSS) })
		if worst.Promise == 0 {
			continue
		}
		rows = append(rows, row{
			Figure: "RSS", Case: fmt.Sprintf("%s, %s, %s keys, %s records, %d partitions", worst.Program, worst.Input.Dist,
				number(float64(worst.Input.Keys)), number(float64(worst.Input.Records)), worst.Input.Partitions),
			Values: []float64{float64(worst.RSS) / float64(worst.Promise)}, Unit: "×", Of: "--memory", Target: atMost(1.2),
			Note: fmt.Sprintf("%d of %d MiB", worst.RSS>>20, worst.Promise>>20),
		})
	}
	return rows
}

func medianOf(runs []result, f func(result) float64) float64 {
	var values []float64
	for _, x := range runs {
		values = append(values, f(x))
	}
	return median(values)
}
