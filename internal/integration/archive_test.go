package integration

import (
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
