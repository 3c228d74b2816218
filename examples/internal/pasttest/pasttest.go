// Package pasttest holds an example against the promise of the archive: of a log whose
// head is in a bucket and no more in Kafka, a program makes what it makes of the same log
// in Kafka alone, record by record.
package pasttest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/internal/dev"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// Program is an example that counts the records of each key of a topic.
type Program struct {
	App    func() kappa.App // anew for each run: verbs keep the flags that they were given
	Args   []string         // the verb that runs it, and its flags
	Input  string
	Table  string
	Output string // that gets each count, empty for none
}

const (
	records, keys, partitions = 3000, 101, 4
	parts                     = 5 // in which the head is archived and cut; the last part stays in Kafka
)

// Holds runs the program to the end of its input twice, on brokers of their own, and
// fails the test where tables or outputs differ, or are not the counts.
func Holds(t *testing.T, p Program) {
	t.Helper()
	whole, cut := newWorld(t, p), newWorld(t, p)
	whole.emit(input(p.Input))
	cut.emitAndCut(p.Input)
	whole.run()
	cut.run("--bucket", cut.bucket)

	table := latest(whole.read(p.Table))
	same(t, p.Table, latest(cut.read(p.Table)), table)
	if got := valuesOf(table); !maps.Equal(got, counts()) {
		t.Errorf("%s is not the counts: %v", p.Table, got)
	}
	if p.Output == "" {
		return
	}
	out := whole.read(p.Output)
	same(t, p.Output, cut.read(p.Output), out)
	if len(out) != records {
		t.Errorf("%s has %d records, want one for each of %d", p.Output, len(out), records)
	}
}

// same compares line by line and names the first difference.
func same(t *testing.T, what string, got, want []row) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%s has %d records, want %d; from the first difference:\ngot  %v\nwant %v",
				what, len(got), len(want), got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
		}
	}
}

// input returns the records of all parts: some keys are everywhere, some come once.
func input(topic string) []record.Record {
	out := make([]record.Record, records)
	for i := range out {
		out[i] = record.Record{Topic: topic, Key: key(i), Value: fmt.Appendf(nil, "/page/%d", i), Timestamp: 1_777_636_800_000 + int64(i)*1000}
	}
	return out
}

func key(i int) []byte {
	if i%30 == 7 {
		return fmt.Appendf(nil, "once-%d", i)
	}
	return fmt.Appendf(nil, "user-%d", i*i%keys)
}

// counts are what a plain loop makes of the input.
func counts() map[string]string {
	n := map[string]int{}
	for i := range records {
		n[string(key(i))]++
	}
	table := map[string]string{}
	for k, v := range n {
		table[k] = strconv.Itoa(v)
	}
	return table
}

func valuesOf(rows []row) map[string]string {
	table := map[string]string{}
	for _, r := range rows {
		table[r.key] = r.value
	}
	return table
}

// world is a broker with the program's topics.
type world struct {
	t      *testing.T
	p      Program
	addr   string
	client *kappa.Client
	bucket string
}

func newWorld(t *testing.T, p Program) *world {
	t.Helper()
	b, err := dev.Start(dev.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	client, err := kappa.Open(t.Context(), kappa.Connection{Brokers: []string{b.Addr()}})
	must(t, err)
	t.Cleanup(client.Close)
	topics := []kappa.Topic{{Name: p.Input, Partitions: partitions, Config: map[string]string{"retention.ms": "-1"}}}
	if p.Output != "" {
		topics = append(topics, kappa.Topic{Name: p.Output, Partitions: partitions})
	}
	_, err = client.CreateTopics(t.Context(), topics...)
	must(t, err)
	return &world{t: t, p: p, addr: b.Addr(), client: client, bucket: "file://" + t.TempDir()}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) emit(rs []record.Record) {
	w.t.Helper()
	e, err := w.client.Emitter(record.Hasher{})
	must(w.t, err)
	defer e.Close()
	for _, r := range rs {
		must(w.t, e.Emit(w.t.Context(), r))
	}
	must(w.t, e.Flush(w.t.Context()))
}

// emitAndCut writes part after part, and cuts from Kafka what is archived before each.
func (w *world) emitAndCut(topic string) {
	w.t.Helper()
	past, err := w.client.Archive(w.t.Context(), kappa.ArchiveOptions{Bucket: w.bucket, Topics: []string{topic}, SegmentAge: 50 * time.Millisecond})
	must(w.t, err)
	defer func() { must(w.t, past.Stop()) }()
	gone := int64(0)
	for part := range slices.Chunk(input(topic), records/parts) {
		must(w.t, past.WaitCaughtUp(w.t.Context(), topic))
		n, err := past.Trim(w.t.Context(), topic)
		must(w.t, err)
		gone += n
		w.emit(part)
	}
	if gone < records/2 || gone >= records {
		w.t.Fatalf("%d of %d records are gone from Kafka: that is no head and no rest", gone, records)
	}
}

// run runs the program to the end of its input.
func (w *world) run(more ...string) {
	w.t.Helper()
	args := append(slices.Clone(w.p.Args), "--brokers", w.addr, "--until", "now", "--commit-interval", "10ms")
	var log bytes.Buffer
	if code := kappa.Run(w.t.Context(), w.p.App(), append(args, more...), io.Discard, &log); code != 0 {
		w.t.Fatalf("the run ended with %d:\n%s", code, log.String())
	}
}

// row is a record without its offset, which hangs on where transactions end.
type row struct {
	key, value string
	partition  int32
	timestamp  int64
	headers    string
}

// read returns a topic's committed records, partition by partition.
func (w *world) read(topic string) (rows []row) {
	w.t.Helper()
	k, err := kafka.Open(w.t.Context(), kafka.Config{Brokers: []string{w.addr}})
	must(w.t, err)
	defer k.Close()
	for p := range int32(partitions) {
		part := record.Partition{Topic: topic, Partition: p}
		ends, err := k.Ends(w.t.Context(), part)
		must(w.t, err)
		l := k.Open(part, ends.Start)
		for next := ends.Start; next < ends.HighWatermark; {
			b, err := l.Next(w.t.Context())
			must(w.t, err)
			for _, r := range b.Records {
				rows = append(rows, row{string(r.Key), string(r.Value), p, r.Timestamp, fmt.Sprint(r.Headers)})
			}
			next = b.Next
		}
		l.Close()
	}
	return rows
}

// latest keeps the last record of each key, in the keys' order.
func latest(rows []row) []row {
	last := map[string]row{}
	for _, r := range rows {
		last[r.key] = r
	}
	return slices.SortedFunc(maps.Values(last), func(a, b row) int { return strings.Compare(a.key, b.key) })
}
