package testenv

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// Tool runs one of Kafka's own command-line tools by its class, such as
// org.apache.kafka.tools.DumpLogSegments, and returns what it prints. The test fails
// where the tool does, or is not installed, and is skipped with -short.
func Tool(tb testing.TB, class string, args ...string) string {
	tb.Helper()
	if testing.Short() {
		tb.Skip("Kafka's own tools: not with -short")
	}
	inst, err := findInstallation()
	if err != nil {
		tb.Fatal(err)
	}
	java := []string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(inst.path("libs"), "*"),
		"-Dlog4j2.configurationFile=" + inst.path("log4j2.properties"), class}
	var out, errs bytes.Buffer
	cmd := exec.Command(inst.java, append(java, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		tb.Fatal(fmt.Errorf("%s: %w\n%s%s", class, err, out.String(), errs.String()))
	}
	return out.String()
}
