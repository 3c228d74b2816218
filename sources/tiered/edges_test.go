package tiered_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	"github.com/seed-73111be4/kappa/sources/tiered"
)

// put writes plain records, "key=value" or "key" for a deletion, a batch each, with
// another Kafka client.
func (r *rig) put(p record.Partition, records []string, opts ...kgo.Opt) {
	r.t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(r.env.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))...)
	r.must(err)
	defer cl.Close()
	for _, text := range records {
		key, value, some := strings.Cut(text, "=")
		rec := &kgo.Record{Topic: p.Topic, Partition: p.Partition, Key: []byte(key), Value: []byte(value)}
		if !some {
			rec.Value = nil
		}
		r.must(cl.ProduceSync(context.Background(), rec).FirstErr())
	}
}

// special makes a topic of one partition with settings.
func (r *rig) special(settings map[string]string) record.Partition {
	r.t.Helper()
	name := testenv.Name(r.t)
	_, err := r.Cluster.CreateTopics(r.t.Context(), kafka.TopicSpec{Name: name, Partitions: 1, Config: settings})
	r.must(err)
	return record.Partition{Topic: name}
}

// until polls cond until it holds.
func (r *rig) until(what string, cond func() bool) {
	r.t.Helper()
	tick, end := time.NewTicker(20*time.Millisecond), time.NewTimer(time.Minute)
	defer tick.Stop()
	defer end.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end.C:
			r.t.Fatalf("waited for %s", what)
		}
	}
}

// live reads a partition from Kafka alone.
func (r *rig) live(p record.Partition, from, to int64) []string {
	r.t.Helper()
	l := r.Cluster.Open(p, from)
	defer l.Close()
	var values []string
	for next := from; next < to; {
		b, err := l.Next(r.t.Context())
		r.must(err)
		for _, x := range b.Records {
			values = append(values, string(x.Value))
		}
		next = b.Next
	}
	return values
}

// What the log has lost of what was archived is named, before any of it is delivered,
// by the leader epoch that it was written in.
func TestATailThatKafkaHasLostIsNamed(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		topic := r.Topic(2)
		p, longer := record.Partition{Topic: topic}, record.Partition{Topic: topic, Partition: 1}
		r.Write(p, true, "a", "b")
		r.Write(longer, true, "a", "b")
		r.Write(longer, true, "lost")
		r.keepAs(longer, p) // p once had it, too
		s := r.open(nil)
		defer s.Close()
		s.Seek(sources.Seek{Partition: p})
		values, err := failure(t, s)
		if !errors.Is(err, tiered.ErrDiverged) || len(values) > 0 || !strings.Contains(err.Error(), "ends at 5 in leader epoch 0, whose records end at 3") || !strings.Contains(err.Error(), "heal --truncate") {
			t.Errorf("%q, then %v", values, err)
		}
	})
}

// Segments that end amid transactions, aborted ones among them, read as Kafka does,
// from whatever offset.
func TestTransactionsAcrossSegmentsReadAsInKafka(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		p := record.Partition{Topic: r.Topic(1)}
		for i := range 6 {
			var values []string
			for j := range 1200 { // some batches
				values = append(values, fmt.Sprintf("transaction %d has value %d", i, j))
			}
			r.Write(p, i%3 == 1, values...)
		}
		end := r.keepIn(p, p, 16<<10)
		want := map[int64][]string{}
		var from []int64
		for at := int64(0); at < end; at += 601 {
			from = append(from, at)
			want[at] = r.live(p, at, end)
		}
		r.Cut(p, end)
		s := r.open(nil)
		defer s.Close()
		for i, at := range from {
			s.Seek(sources.Seek{Partition: p, Offset: at, Epoch: uint64(i)})
			if got := collect(t, s, p, end); !slices.Equal(got, want[at]) {
				t.Errorf("from %d: %d values, want %d", at, len(got), len(want[at]))
			}
		}
	})
}

// Batches of every codec go through archive and source as they came.
func TestEveryCodecGoesThrough(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		p := record.Partition{Topic: r.Topic(1)}
		var want []string
		for name, c := range map[string]kgo.CompressionCodec{
			"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
		} {
			value := name + strings.Repeat(" and again", 200)
			r.put(p, []string{"k=" + value, "k=" + value + "!"}, kgo.ProducerBatchCompression(c))
			want = append(want, value, value+"!")
		}
		end := r.keep(p)
		r.Cut(p, end-1) // the last is compared with Kafka's
		s := r.open(nil)
		defer s.Close()
		s.Seek(sources.Seek{Partition: p})
		if got := collect(t, s, p, end); !slices.Equal(got, want) {
			t.Errorf("%d values, want %d", len(got), len(want))
		}
		if m, err := r.archive.Latest(t.Context(), r.log(p)); err != nil || m.Bytes() > 6*2200 {
			t.Errorf("the archive has grown by decompression: %v", err)
		}
	})
}

// compactedAway has a log of 40 records of four keys whose past the brokers have
// compacted, after it was archived where before is set, and then archived.
func (r *rig) compactedAway(before bool) (p record.Partition, all []string, end int64) {
	r.t.Helper()
	r.compacted = true
	p = r.special(map[string]string{"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "min.compaction.lag.ms": "86400000000"})
	var records []string
	for i := range 40 {
		v := strconv.Itoa(i)
		records, all = append(records, fmt.Sprintf("k%d=%s", i%4, v)), append(all, v)
	}
	r.put(p, records)
	if before {
		end = r.keep(p)
	}
	r.letClean(p.Topic)
	n := 0
	r.until("compaction", func() bool {
		if f := r.env.Fake(); f != nil {
			f.Compact()
		}
		r.put(p, []string{"more=" + strconv.Itoa(n)}) // a new segment: the newest is never compacted
		n++
		now := r.Ends(p) // kfake's log begins where the first record is left
		return len(r.live(p, now.Start, now.HighWatermark)) < 20
	})
	if !before {
		end = r.keep(p)
	}
	return p, all, end
}

// letClean lets the cleaner have all that a topic holds, of any age.
func (r *rig) letClean(topic string) {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.env.Brokers()...))
	r.must(err)
	defer cl.Close()
	answers, err := kadm.NewClient(cl).AlterTopicConfigs(r.t.Context(), []kadm.AlterConfig{{Name: "min.compaction.lag.ms", Value: kmsg.StringPtr("0")}}, topic)
	r.must(err)
	for _, a := range answers {
		r.must(a.Err)
	}
}

// The archive keeps what the cleaner has taken; at the seam what is left is compared.
func TestTheArchiveKeepsWhatTheCleanerTakes(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		p, all, end := r.compactedAway(true)
		s := r.open(nil)
		defer s.Close()
		s.Seek(sources.Seek{Partition: p})
		got := collect(t, s, p, r.Ends(p).HighWatermark)
		if len(got) <= len(all) || !slices.Equal(got[:len(all)], all) {
			t.Errorf("got %q, want %q and what followed offset %d", got, all, end)
		}
	})
}

// Offsets that the cleaner has emptied before they were archived are no gap.
func TestHolesOfCompactionAreNoGap(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		p, _, end := r.compactedAway(false)
		start := r.Ends(p).Start
		want := r.live(p, start, end)
		s := r.open(nil)
		defer s.Close()
		s.Seek(sources.Seek{Partition: p, Offset: start})
		if got := collect(t, s, p, end); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Brokers delete whole segments while the archive grows and the source is on its way
// from one to the other, and back: nothing is lost, nothing comes twice.
func TestRetentionMayDeleteSegmentsAtAnyMoment(t *testing.T) {
	r := newRig(t, clusters.Kafka(t, testenv.KafkaTV2))
	// Two segments of 26 records, and what is left of a third, stay.
	p := r.special(map[string]string{"retention.bytes": "2097152", "segment.bytes": "1048576", "file.delete.delay.ms": "0"})
	s := r.open(nil)
	defer s.Close()
	s.Seek(sources.Seek{Partition: p})
	padding := strings.Repeat("x", 40_000)
	var want, got []string
	for round := range 11 {
		var records []string
		for i := range 20 {
			want = append(want, fmt.Sprintf("%d.%d", round, i))
			records = append(records, "k="+want[len(want)-1]+padding)
		}
		r.put(p, records, kgo.ProducerBatchCompression(kgo.NoCompression()))
		end := r.keep(p)
		switch round % 5 {
		case 4: // the source stands in Kafka, 80 records behind: segments that it is to read go
			r.until("the brokers to delete", func() bool { return r.Ends(p).Start > end-80 })
		case 0:
			got = append(got, collect(t, s, p, end)...)
		}
	}
	for i := range got {
		got[i] = strings.TrimRight(got[i], "x")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d values, want %d: %q", len(got), len(want), got)
	}
}

// A topic that was deleted and created anew has another history: what the archive has of
// the old one is never mixed in, and a position in the old one is refused.
func TestHistoriesOfOneNameAreNotMixed(t *testing.T) {
	clusters.Each(t, func(t *testing.T, env *testenv.Cluster) {
		r := newRig(t, env)
		p := r.special(nil)
		r.put(p, []string{"k=old", "k=older"})
		r.keep(p)
		was := r.Ends(p).TopicID
		r.must(r.Cluster.DeleteTopics(t.Context(), p.Topic))
		r.until("the topic to be made anew", func() bool {
			_, _ = r.Cluster.CreateTopics(t.Context(), kafka.TopicSpec{Name: p.Topic, Partitions: 1}) // fails while the old one goes
			now, err := r.Cluster.Topics(t.Context(), p.Topic)
			return err == nil && now[p.Topic].ID.Known() && now[p.Topic].ID != was
		})
		r.put(p, []string{"k=new"})
		s := r.open(nil)
		defer s.Close()
		s.Seek(sources.Seek{Partition: p})
		if got := collect(t, s, p, 1); !slices.Equal(got, []string{"new"}) {
			t.Errorf("%q", got)
		}
		end := r.keep(p)
		r.Cut(p, end)
		s.Seek(sources.Seek{Partition: p, Epoch: 1})
		if got := collect(t, s, p, end); !slices.Equal(got, []string{"new"}) {
			t.Errorf("from the archive: %q", got)
		}
		s.Seek(sources.Seek{Partition: p, Epoch: 2, TopicID: was})
		if _, err := failure(t, s); !errors.Is(err, record.ErrRecreated) {
			t.Errorf("%v", err)
		}
	})
}
