package archiver_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// BenchmarkArchive copies a gigabyte of a real Kafka into a directory, and says how
// many bytes a second of this process's CPU is worth.
func BenchmarkArchive(b *testing.B) {
	env := testenv.Kafka(b, testenv.Options{})
	r := newRig(b, env)
	topic := r.Topic(4)
	size := fill(b, r, topic, 256<<20)
	for b.Loop() {
		r.url = "file://" + b.TempDir()
		r.archive = openArchive(b, r.url)
		began, cpu := time.Now(), cpuTime(b)
		a := r.start(archiver.Patterns{topic}, nil)
		for p := range int32(4) {
			r.reaches(record.Partition{Topic: topic, Partition: p})
		}
		used, took := cpuTime(b)-cpu, time.Since(began)
		var bytes int64
		for p := range int32(4) {
			bytes += r.reaches(record.Partition{Topic: topic, Partition: p}).Bytes()
		}
		b.ReportMetric(float64(bytes)/1e6/used.Seconds(), "MB/cpu-s")
		b.ReportMetric(float64(bytes)/1e6/took.Seconds(), "MB/s")
		a.stop()
	}
	b.ReportMetric(float64(size)/1e6, "MB")
}

// fill writes so many bytes to each of four partitions.
func fill(b *testing.B, r *rig, topic string, bytes int) (total int) {
	b.Helper()
	p, err := r.Cluster.NewProducer(kafka.ProducerConfig{TransactionalID: testenv.Name(b), Timeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	if res := p.Init(b.Context()); res.Outcome != kafka.OK {
		b.Fatal(res)
	}
	value := []byte(strings.Repeat("a record of some length, ", 40))
	for total < 4*bytes {
		for range 16_000 {
			total += len(value)
			p.Produce(&kafka.Out{Topic: topic, Partition: int32(total/len(value)) % 4, Value: value, Timestamp: int64(total)})
		}
		if _, res := p.Flush(b.Context()); res.Outcome != kafka.OK {
			b.Fatal(res)
		}
		if res := p.End(b.Context(), true); res.Outcome != kafka.OK {
			b.Fatal(res)
		}
	}
	return total
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
