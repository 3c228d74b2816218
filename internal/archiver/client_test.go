package archiver_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// codecs are all that Kafka has.
var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// What the archive of a real Kafka on a real S3 server holds is, record by record, what
// Kafka's own consumer reads: compressed by every codec, with aborted transactions,
// tombstones, headers and without keys; also when Kafka has deleted it.
func TestTheArchiveHoldsWhatKafkasConsumerReads(t *testing.T) {
	env := clusters.Kafka(t, testenv.KafkaTV2)
	r := newRig(t, env)
	r.onS3()
	topic := r.Topic(2)
	for i, codec := range slices.Sorted(maps.Keys(codecs)) {
		r.writeAs(topic, codec, 1000*i, true)
		r.writeAs(topic, codec, 1000*i+500, false)
	}
	a := r.start(archiver.Patterns{topic}, func(c *archiver.Config) { c.SegmentBytes = 8 << 10 })
	parts := []record.Partition{{Topic: topic, Partition: 0}, {Topic: topic, Partition: 1}}
	var ours []string
	seen := map[int]bool{}
	for _, p := range parts {
		m := r.same(p)
		for _, codec := range r.codecsOf(m) {
			seen[codec] = true
		}
		ours = append(ours, r.records(m)...)
	}
	a.stop()
	if len(seen) != len(codecs) {
		t.Errorf("codecs %v are archived, want all %d", seen, len(codecs))
	}
	out := testenv.Tool(t, "org.apache.kafka.tools.consumer.ConsoleConsumer",
		"--bootstrap-server", env.Bootstrap(), "--topic", topic, "--from-beginning", "--isolation-level", "read_committed",
		"--max-messages", fmt.Sprint(len(ours)), "--timeout-ms", "30000",
		"--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true",
		"--formatter-property", "print.timestamp=true", "--formatter-property", "print.headers=true",
		"--formatter-property", "print.key=true", "--formatter-property", "null.literal=NULL",
		"--formatter-property", "key.separator=|", "--formatter-property", "headers.separator=,")
	theirs := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(ours)
	slices.Sort(theirs)
	if len(ours) != 5*300 || !slices.Equal(ours, theirs) {
		t.Fatalf("%d records, Kafka's consumer has %d; the first of each that differs:\n%s", len(ours), len(theirs), firstDifference(ours, theirs))
	}
	for _, p := range parts { // the same from the archive alone
		r.Cut(p, r.Ends(p).HighWatermark)
		m, err := r.archive.Latest(t.Context(), r.of(p))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range r.records(m) {
			if _, found := slices.BinarySearch(theirs, line); !found {
				t.Errorf("%s is not what Kafka had", line)
			}
		}
	}
}

func firstDifference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] + "\n" + b[i]
		}
	}
	return "one is the other's beginning"
}

// writeAs writes 300 records to a topic's two partitions, in batches of 50, in one
// transaction, by a client of its own: kappa's has no gzip.
func (r *rig) writeAs(topic, codec string, from int, commit bool) {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.env.Brokers()...), kgo.TransactionalID(topic+codec), kgo.ProducerLinger(time.Minute),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codecs[codec]))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	ctx := r.t.Context()
	if err := cl.BeginTransaction(); err != nil {
		r.t.Fatal(err)
	}
	for n := range 300 {
		rec := &kgo.Record{Topic: topic, Partition: int32(n % 2), Timestamp: time.UnixMilli(int64(1000 * (from + n))),
			Value: fmt.Appendf(nil, "%s %s %d", codec, strings.Repeat("again ", 20), from+n)}
		if n%3 > 0 {
			rec.Key = fmt.Appendf(nil, "key %d", n%7)
		}
		if n%10 == 9 {
			rec.Value = nil
		}
		if n%4 == 0 {
			rec.Headers = []kgo.RecordHeader{{Key: "from", Value: []byte(codec)}, {Key: "n", Value: fmt.Append(nil, n)}}
		}
		cl.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				r.t.Error(err)
			}
		})
		if n%100 == 99 {
			if err := cl.Flush(ctx); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
		r.t.Fatal(err)
	}
}

// eachChunk reads all of an archive, in small chunks.
func (r *rig) eachChunk(m *archive.Manifest, f func(*archive.Chunk)) {
	r.t.Helper()
	r.eachChunkOf(m, archive.ReadConfig{ChunkBytes: 4 << 10}, f)
}

func (r *rig) eachChunkOf(m *archive.Manifest, c archive.ReadConfig, f func(*archive.Chunk)) {
	r.t.Helper()
	c.From = m.Start()
	reader, err := r.archive.Read(m, c)
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	for {
		c, err := reader.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.t.Fatal(err)
		}
		f(c)
		c.Release()
	}
}

// codecsOf returns which codecs the batches of an archive have.
func (r *rig) codecsOf(m *archive.Manifest) (codecs []int) {
	r.eachChunk(m, func(c *archive.Chunk) {
		for b, err := range archive.Batches(c.Raw) {
			if err != nil {
				r.t.Fatal(err)
			}
			if !b.Control() {
				codecs = append(codecs, int(b.Codec()))
			}
		}
	})
	return codecs
}

// records returns the committed records of an archive as Kafka's console consumer
// prints them.
func (r *rig) records(m *archive.Manifest) (lines []string) {
	r.t.Helper()
	p := record.Partition{Topic: m.Log.Topic, Partition: m.Log.Partition}
	decoder := kafka.NewDecoder()
	r.eachChunk(m, func(c *archive.Chunk) {
		var aborted []kafka.AbortedTransaction
		for _, a := range c.Aborted {
			aborted = append(aborted, kafka.AbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.First})
		}
		f, err := decoder.Decode(p, c.From, c.Next.Offset, c.Raw, aborted)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, rec := range f.Records {
			var headers []string
			for _, h := range rec.Headers {
				headers = append(headers, h.Key+":"+string(h.Value))
			}
			lines = append(lines, fmt.Sprintf("CreateTime:%d|Partition:%d|Offset:%d|%s|%s|%s", rec.Timestamp, p.Partition, rec.Offset,
				cmp.Or(strings.Join(headers, ","), "NO_HEADERS"), orNull(rec.Key), orNull(rec.Value)))
		}
		f.Release()
	})
	return lines
}

func orNull(p []byte) string {
	if p == nil {
		return "NULL"
	}
	return string(p)
}
