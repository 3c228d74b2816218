package archive

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Kafka's own tool reads a segment as it is, and stops at the footer.
func TestKafkasDumpLogReadsASegment(t *testing.T) {
	if testing.Short() {
		t.Skip("Kafka's own tool: not with -short")
	}
	kafka := randomBroker(30, 100)
	a := inMemory(t)
	m := archiveAll(t, writer(t, a), kafka, 4_000)
	s := m.Segments[1]
	p, err := a.bucket.ReadAll(t.Context(), s.Key(testLog))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), filepath.Base(s.Key(testLog)))
	if err := os.WriteFile(name, p, 0o600); err != nil {
		t.Fatal(err)
	}
	out := dumpLog(t, name)
	var last int64
	for b, err := range Batches(p[:s.DataBytes]) {
		if err != nil {
			t.Fatal(err)
		}
		if marker, err := b.Marker(); err != nil || marker == Abort && !strings.Contains(out, "endTxnMarker: ABORT") {
			t.Errorf("the tool shows no aborted transaction, %v", err)
		}
		last = b.BaseOffset
	}
	if n := int64(strings.Count(out, "\nbaseOffset: ")); n != s.Batches || strings.Count(out, "isvalid: true") != int(n) {
		t.Errorf("the tool finds %d batches, the segment has %d:\n%s", n, s.Batches, out)
	}
	if _, tail, ok := strings.Cut(out, fmt.Sprintf("\nbaseOffset: %d ", last)); !ok || !strings.Contains(tail, "invalid bytes at the end") {
		t.Errorf("the tool does not stop at the footer:\n%s", out)
	}
}

// dumpLog runs Kafka's DumpLogSegments on a file.
func dumpLog(t *testing.T, name string) string {
	cache := cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(os.Getenv("HOME"), ".cache")) // as scripts/kafka.sh
	libs, err := filepath.Glob(filepath.Join(cache, "kappa", "kafka-*", "libs"))
	if err != nil || len(libs) == 0 {
		t.Fatal("Kafka's jars are not installed: make setup")
	}
	out, err := exec.Command("java", "-cp", filepath.Join(libs[len(libs)-1], "*"),
		"org.apache.kafka.tools.DumpLogSegments", "--print-data-log", "--files", name).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
