package archiver_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/archive/buckettest"
	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// memoryBudget is what the archiver of the test may use for its copies, and
// processBytes what the process has beside them: Go, its clients, what it knows of each
// partition.
const (
	memoryBudget = 64 << 20
	processBytes = 96 << 20
)

// The same bytes in ten partitions and in a thousand: one budget holds for all of them
// together, so what an archiver takes at its peak is about the same.
func TestMemoryIsFlatOverAThousandPartitions(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 32 MB twice")
	}
	const total = 32 << 20
	few, many := peakOf(t, 10, total), peakOf(t, 1000, total)
	t.Logf("peak resident memory with 10 partitions: %d MiB, with 1000: %d MiB", few>>20, many>>20)
	if limit := int64(memoryBudget + processBytes); few > limit || many > limit {
		t.Errorf("%d and %d bytes at the peak, the limit is %d", few, many, limit)
	}
}

// peakOf archives bytes, spread over partitions, on S3 by a process of its own and
// returns the most memory that it had.
func peakOf(t *testing.T, partitions int32, bytes int) int64 {
	t.Helper()
	r := newRig(t, testenv.Fake(t))
	r.url = buckettest.Start(t).URL()
	r.archive = openArchive(t, r.url)
	topic := r.Topic(partitions)
	r.spread(topic, partitions, bytes)
	c := child{Brokers: r.env.Brokers(), URL: r.url, Topic: topic, Group: testenv.Name(t), MemoryBytes: memoryBudget}
	p := c.start(t)
	for part := range partitions {
		r.reaches(record.Partition{Topic: topic, Partition: part})
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		t.Skipf("no /proc here, which tells a process's memory: %v", err)
	}
	var peak int64
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(line, &peak); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	return peak << 10
}

// spread writes bytes to all partitions in turn.
func (r *rig) spread(topic string, partitions int32, bytes int) {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.env.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	value := make([]byte, 4<<10)
	for n := range bytes / len(value) {
		cl.Produce(r.t.Context(), &kgo.Record{Topic: topic, Partition: int32(n) % partitions, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				r.t.Error(err)
			}
		})
	}
	if err := cl.Flush(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// A child with a memory budget is an archiver as users run it; others make everything
// happen often.
func (c child) memory(config archiver.Config) archiver.Config {
	if c.MemoryBytes > 0 {
		config.MemoryBytes, config.Jobs, config.SegmentBytes = c.MemoryBytes, 0, 0
	}
	return config
}
