package kafka

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// cpu returns the process's CPU time.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The CPU figures count the broker in where it runs in this process; name real
// brokers in KAPPA_TEST_BROKERS to see the client alone.

func BenchmarkProduce(b *testing.B) {
	c := testCluster(b)
	topic := testTopic(b, c, 4)
	p := testProducer(b, c, ProducerConfig{Timeout: 30 * time.Second})
	produceMany(b, p, topic, 20_000)
	b.ReportAllocs()
	b.ResetTimer()
	from := cpu()
	produceMany(b, p, topic, b.N)
	b.ReportMetric(float64(cpu()-from)/float64(b.N), "cpu-ns/record")
}

func produceMany(b *testing.B, p *Producer, topic string, n int) {
	ctx := testContext(b)
	key, value := make([]byte, 10), make([]byte, 90)
	o := Out{Topic: topic, Key: key, Value: value, Timestamp: 1}
	for i := range n {
		o.Partition, o.Track = int32(i&3), i%8 == 0
		p.Produce(&o)
		if i%20_000 == 19_999 || i == n-1 {
			if _, r := p.Flush(ctx); r.Outcome != OK {
				b.Fatal(r)
			}
			if r := p.End(ctx, true); r.Outcome != OK {
				b.Fatal(r)
			}
		}
	}
}

func BenchmarkFetch(b *testing.B) {
	c := testCluster(b)
	ctx := testContext(b)
	topic := testTopic(b, c, 4)
	p := testProducer(b, c, ProducerConfig{Timeout: 30 * time.Second})
	const stored = 1_000_000
	produceMany(b, p, topic, stored)
	f := testFetcher(b, c)
	b.ReportAllocs()
	b.ResetTimer()
	from := cpu()
	for n, epoch := 0, uint64(0); n < b.N; epoch++ {
		for q := range int32(4) {
			f.Seek(Seek{Partition: at(topic, q), Epoch: epoch})
		}
		for got := 0; got < stored && n < b.N; {
			fs, err := f.Poll(ctx)
			if err != nil {
				b.Fatal(err)
			}
			for i := range fs {
				if fs[i].Epoch == epoch {
					got += len(fs[i].Records)
					n += len(fs[i].Records)
				}
				fs[i].Release()
			}
		}
	}
	b.ReportMetric(float64(cpu()-from)/float64(b.N), "cpu-ns/record")
}

func BenchmarkRead(b *testing.B) {
	c := testCluster(b)
	ctx := testContext(b)
	topic := testTopic(b, c, 1)
	p := testProducer(b, c, ProducerConfig{Timeout: 30 * time.Second})
	for i := range 500_000 {
		p.Produce(&Out{Topic: topic, Key: fmt.Append(nil, i), Value: make([]byte, 90), Timestamp: 1})
		if i%20_000 == 19_999 {
			if _, r := p.Flush(ctx); r.Outcome != OK {
				b.Fatal(r)
			}
			p.End(ctx, true)
		}
	}
	end := endsOf(b, c, at(topic, 0)).HighWatermark
	b.ReportAllocs()
	b.ResetTimer()
	from := cpu()
	for n := 0; n < b.N; {
		r := c.Open(at(topic, 0), 0)
		for next := int64(0); next < end && n < b.N; {
			batch, err := r.Next(ctx)
			if err != nil {
				b.Fatal(err)
			}
			n, next = n+len(batch.Records), batch.Next
		}
		r.Close()
	}
	b.ReportMetric(float64(cpu()-from)/float64(b.N), "cpu-ns/record")
}
