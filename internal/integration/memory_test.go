package integration

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// The input, the state that it makes and the output of each of its records are all
// much more than the process may use.
func TestAProcessStaysWithinItsMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the peak of resident memory is read from /proc")
	}
	if testing.Short() {
		t.Skip("real Kafka: not with -short")
	}
	t.Parallel()
	within(newRig(t, clusters.Kafka(t, testenv.KafkaTV2)), 128<<20)
}

func within(r *rig, memory int64) {
	const keys, size = 300_000, 600
	in, out, group := r.topic("in", 4), r.topic("out", 4), r.name("g")
	r.fill(in, keys, size)
	p := r.count(in, group, r.t.TempDir(), "--memory", fmt.Sprint(memory), "--output", out)
	var peak int64
	r.until("all records are counted", func() bool {
		peak = max(peak, peakMemory(r.t, p.Pid()))
		offsets, err := r.k.Committed(r.ctx, group, in)
		if err != nil {
			r.t.Fatal(err)
		}
		var n int64
		for _, next := range offsets {
			n += next
		}
		return n == keys
	})
	r.t.Logf("%d MiB of input of %d keys; a peak of %d MiB, %d are allowed", keys*size>>20, keys, peak>>20, memory>>20)
	if peak > memory*6/5 {
		r.t.Errorf("the process took %d MiB, its bound is %d", peak>>20, memory>>20)
	}
}

// fill writes one record of size bytes for each of n keys.
func (r *rig) fill(topic string, n, size int) {
	r.t.Helper()
	e, err := r.k.NewEmitter(kafka.EmitterConfig{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer e.Close()
	value := []byte(strings.Repeat("v", size))
	for i := range n {
		if err := e.Emit(r.ctx, record.Record{Topic: topic, Key: fmt.Appendf(nil, "key-%d", i), Value: value, Timestamp: 1_700_000_000_000}); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := e.Flush(r.ctx); err != nil {
		r.t.Fatal(err)
	}
}

// peakMemory returns the most resident memory that a process has had, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kb)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("no VmHWM in the status of %d", pid)
	return 0
}
