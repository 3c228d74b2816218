package bench

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// step is a line of the benchmark of the task core.
var step = regexp.MustCompile(`(?m)^BenchmarkStep/(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op.*?(\d+) allocs/op`)

// allocationFigures run the benchmark of the task core, which steps records without
// a broker.
func allocationFigures(l *lab) error {
	cmd := exec.CommandContext(l.ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkStep$", "-benchmem", "./internal/engine/task")
	cmd.Dir = root
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("benchmark of the task core: %w\n%s", err, text)
	}
	lines := step.FindAllStringSubmatch(string(text), -1)
	if len(lines) == 0 {
		return fmt.Errorf("the benchmark of the task core printed no figure:\n%s", text)
	}
	for _, m := range lines {
		bound := 0.0
		if m[1] == "goka" || m[1] == "goka,_with_an_emit" {
			bound = 2
		}
		n, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return err
		}
		l.report.add(row{
			Figure: "allocations", Case: m[1], Values: []float64{n}, Unit: "allocations", Of: "a record in the task core", Target: atMost(bound), Note: m[2] + " ns",
		})
	}
	return nil
}
