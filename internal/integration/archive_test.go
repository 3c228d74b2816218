package integration

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"gocloud.dev/blob/memblob"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/record"
)

// archived copies what there is of a topic into an archive, in segments of about the
// given size.
func (r *rig) archived(a *archive.Archive, topic string, segmentBytes int64) {
	r.t.Helper()
	info, err := r.k.Topics(r.ctx, topic)
	r.must(err)
	for p := range info[topic].Partitions {
		r.archivePartition(a, record.Partition{Topic: topic, Partition: p}, segmentBytes)
	}
}

func (r *rig) archivePartition(a *archive.Archive, p record.Partition, segmentBytes int64) {
	r.t.Helper()
	ends, err := r.k.Ends(r.ctx, p)
	r.must(err)
	w, err := a.Writer(r.ctx, archive.Log{Cluster: r.k.ID(), Topic: p.Topic, TopicID: ends.TopicID, Partition: p.Partition})
	r.must(err)
	s, err := w.Segment(r.ctx, archive.SegmentConfig{MaxBytes: segmentBytes})
	r.must(err)
	seal := func() {
		sealed, err := s.Seal()
		r.must(err)
		_, err = w.Commit(r.ctx, archive.Append(sealed))
		r.must(err)
	}
	raw := r.k.OpenRaw(p, s.Next())
	defer raw.Close()
	for s.Next() < ends.LastStable {
		b, err := raw.Next(r.ctx)
		r.must(err)
		f := archive.Fetched{Raw: b.Batches, Stable: b.LastStable}
		for _, x := range b.Aborted {
			f.Aborted = append(f.Aborted, archive.AbortedTxn{ProducerID: x.ProducerID, First: x.FirstOffset, Last: archive.OpenEnd})
		}
		_, err = s.Append(f)
		r.must(err)
		for s.Full() {
			seal()
			s, err = w.Segment(r.ctx, archive.SegmentConfig{MaxBytes: segmentBytes})
			r.must(err)
			_, err = s.Append(f)
			r.must(err)
		}
	}
	if s.Bytes() > 0 {
		seal()
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// cut removes all that a topic holds, as retention does.
func (r *rig) cut(topic string) {
	r.t.Helper()
	info, err := r.k.Topics(r.ctx, topic)
	r.must(err)
	before := map[record.Partition]int64{}
	for p := range info[topic].Partitions {
		part := record.Partition{Topic: topic, Partition: p}
		ends, err := r.k.Ends(r.ctx, part)
		r.must(err)
		before[part] = ends.HighWatermark
	}
	r.must(r.k.DeleteRecords(r.ctx, before))
}

// A new group reads the archive from its beginning and goes on in Kafka, through
// crashes on both sides of the seam, and counts what a group would have that had been
// there from the first record on.
func TestAGroupRunsThroughTheArchiveIntoKafka(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 6000, 50
		b := memblob.OpenBucket(nil)
		t.Cleanup(func() { b.Close() })
		a := archive.New(b, archive.Config{})
		in, out, group, dir := r.topic("in", 3), r.topic("out", 2), r.name("g"), r.t.TempDir()
		for part := range 6 { // as many batches as there would be
			r.emit(sent(in, part*n/6, n/6, keys)...)
		}
		r.archived(a, in, 4<<10)
		r.cut(in)
		options := func() engine.Options {
			o := r.fast(dir)
			o.Archive, o.BatchBytes = a, 8<<10
			return o
		}
		e := r.start(options(), announcing(group, in, out))
		r.until("some of the history", func() bool { return counts(e, group).Sum() > 500 })
		e.Kill()
		r.emit(sent(in, n, n/6, keys)...)
		e = r.start(options(), announcing(group, in, out))
		r.processed(n+n/6, group, e)
		e.Kill()
		r.emit(sent(in, n+n/6, n/6, keys)...)
		r.archived(a, in, 1<<20)
		r.cut(in) // what was live is history now, for the group and for its check
		e = r.start(options(), announcing(group, in, out))
		r.processed(n+2*n/6, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(n+2*n/6, keys))
		r.equal("output", r.announced(out), announcedBy(n+2*n/6, keys))
	})
}

// Without the archive the group says what is missing.
func TestAGroupBehindTheLogsStartNamesTheGap(t *testing.T) {
	each(t, func(r *rig) {
		in, out, group, dir := r.topic("in", 1), r.topic("out", 1), r.name("g"), r.t.TempDir()
		r.emit(numbers(in, 100, 10)...)
		e := r.start(r.fast(dir), announcing(group, in, out))
		r.processed(100, group, e)
		r.stop(e)
		r.emit(sent(in, 100, 100, 10)...)
		r.cut(in)
		e = r.start(r.fast(dir), announcing(group, in, out))
		says(r.t, e.Wait(), engine.ErrGap.Error(), in, "raise the topic's retention")
	})
}

// A group that is killed in the moment in which its partitions go over from the archive
// to Kafka, again and again, counts each record once.
func TestAGroupKilledDuringTheSwitchLosesNothing(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys, rounds = 900, 30, 4
		a := r.archive()
		in, out, group, dir := r.topic("in", 3), r.topic("out", 2), r.name("g"), r.t.TempDir()
		for round := range rounds {
			r.emit(sent(in, round*n, 800, keys)...)
			r.archived(a, in, 2<<10)
			r.cut(in)
			r.emit(sent(in, round*n+800, 100, keys)...) // what Kafka alone has
			o := r.fast(dir)
			o.Archive, o.BatchBytes = a, 2000
			j := journaled(r.t, &o)
			e := r.start(o, announcing(group, in, out))
			r.until("the switch", func() bool { return j.says("the archive is read, going on in Kafka") })
			e.Kill()
		}
		o := r.fast(dir)
		o.Archive, o.Until = a, untilNow()
		r.concluded(r.start(o, announcing(group, in, out)))
		r.equal("table", r.table(group+"-table"), countsOf(rounds*n, keys))
		r.equal("output", r.announced(out), announcedBy(rounds*n, keys))
	})
}

// The same history gives the same output, byte for byte: keys, values, times, order.
func TestAReplayGivesTheSameBytesTwice(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 2000, 40
		a := r.archive()
		in := r.topic("in", 1)
		for part := range 4 {
			recs := sent(in, part*n/4, n/4, keys)
			for i := range recs {
				recs[i].Timestamp = 1_700_000_000_000 + int64(i*7%1000)
			}
			r.emit(recs...)
		}
		r.archived(a, in, 4<<10)
		r.cut(in)
		var runs [2]string
		for i := range runs {
			group, out := r.name(strconv.Itoa(i)), r.topic("out"+strconv.Itoa(i), 3)
			o := r.withArchive(a)
			o.Until, o.BatchBytes = untilNow(), int64(500+9000*i)
			r.concluded(r.start(o, announcing(group, in, out)))
			for _, x := range r.read(out) {
				runs[i] += fmt.Sprintf("%d %q %q %d %v\n", x.Partition, x.Key, x.Value, x.Timestamp, x.Headers)
			}
		}
		if runs[0] != runs[1] || strings.Count(runs[0], "\n") != n {
			r.t.Errorf("%d and %d records, and they differ", strings.Count(runs[0], "\n"), strings.Count(runs[1], "\n"))
		}
	})
}

// Partitions that were added in mid-history are read from where they begin: keys have
// moved, but a group that keeps no state by key does not mind.
func TestAnInputThatGrewInMidHistoryIsReadWhole(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 600, 30
		a := r.archive()
		in, out, group := r.topic("in", 2), r.topic("out", 1), r.name("g")
		r.emit(numbers(in, n, keys)...)
		r.archived(a, in, 2<<10)
		r.grow(in, 5)
		r.emit(sent(in, n, n, keys)...)
		r.archived(a, in, 2<<10)
		r.cut(in)
		r.emit(sent(in, 2*n, n, keys)...)
		o := r.withArchive(a)
		o.Until = untilNow()
		r.concluded(r.start(o, echoing(group, in, out)))
		got := map[string]int{}
		for _, x := range r.read(out) {
			got[string(x.Value)]++
		}
		for i := range 3 * n {
			if got[strconv.Itoa(i)] != 1 {
				r.t.Errorf("record %d came %d times", i, got[strconv.Itoa(i)])
			}
		}
	})
}
