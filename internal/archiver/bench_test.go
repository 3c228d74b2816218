package archiver_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/archive/buckettest"
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

// BenchmarkArchiveOnS3 does the same on a real S3 server, reads it all back, and counts
// the requests, which are what a bucket costs beside its size: docs/bench.
func BenchmarkArchiveOnS3(b *testing.B) {
	env := testenv.Kafka(b, testenv.Options{})
	r := newRig(b, env)
	topic := r.Topic(4)
	fill(b, r, topic, 256<<20)
	for b.Loop() {
		s3 := r.onS3()
		count(b, s3, 0, "")
		a := r.start(archiver.Patterns{topic}, nil)
		var bytes int64
		for p := range int32(4) {
			r.ends(a, record.Partition{Topic: topic, Partition: p})
		}
		for _, p := range a.Stats().Partitions {
			bytes += p.Bytes
		}
		count(b, s3, bytes, "archived")
		began, cpu := time.Now(), cpuTime(b)
		for p := range int32(4) {
			m, err := r.archive.Latest(b.Context(), r.of(record.Partition{Topic: topic, Partition: p}))
			if err != nil {
				b.Fatal(err)
			}
			r.eachChunkOf(m, archive.ReadConfig{}, func(*archive.Chunk) {})
		}
		b.ReportMetric(float64(bytes)/1e6/(cpuTime(b)-cpu).Seconds(), "MB/cpu-s-replayed")
		b.ReportMetric(float64(bytes)/1e6/time.Since(began).Seconds(), "MB/s-replayed")
		count(b, s3, bytes, "replayed")
		a.stop()
	}
}

// ends waits, by the archiver's own figures, until a partition is archived: asking the
// bucket would count.
func (r *rig) ends(a *running, p record.Partition) {
	end := r.Ends(p).LastStable
	eventually(r.t, "all is archived", func() bool {
		for _, s := range a.Stats().Partitions {
			if s.Partition == p {
				return s.End >= end
			}
		}
		return false
	})
}

// count reports the requests since the last call, by kind and GB.
func count(b *testing.B, s3 *buckettest.S3, bytes int64, what string) {
	b.Helper()
	lists := s3.Requests(buckettest.List)
	for _, method := range []string{"PUT", "POST", "GET", "HEAD", "DELETE"} {
		n := s3.Requests(method)
		if method == "GET" {
			n -= lists
		}
		if what != "" {
			b.ReportMetric(float64(n)*1e9/float64(bytes), method+"/GB-"+what)
		}
	}
	if what != "" {
		b.ReportMetric(float64(lists)*1e9/float64(bytes), "LIST/GB-"+what)
	}
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
