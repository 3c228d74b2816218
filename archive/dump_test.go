package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-73111be4/kappa/internal/testenv"
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
	out := testenv.Tool(t, "org.apache.kafka.tools.DumpLogSegments", "--print-data-log", "--files", name)
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
