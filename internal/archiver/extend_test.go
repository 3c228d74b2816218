package archiver

import (
	"context"
	"testing"

	"gocloud.dev/blob/memblob"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// endsAt says where every leader epoch ends.
type endsAt int64

func (e endsAt) EpochEnd(context.Context, record.Partition, int32) (int64, error) {
	return int64(e), nil
}

// The cleaner may leave nothing of a leader epoch before the archiver comes by: then the
// archive answers for offsets of an epoch that it has never seen, and differs in
// nothing.
func TestAnEpochThatTheCleanerHasEmptiedIsNoDivergence(t *testing.T) {
	b := memblob.OpenBucket(nil)
	defer b.Close()
	a := archive.New(b, archive.Config{})
	w, err := a.Writer(t.Context(), archive.Log{Cluster: "sim", Topic: "kept", TopicID: simID})
	if err != nil {
		t.Fatal(err)
	}
	log := newSimLog("kept", 0)
	log.epochs = []int64{0, 0} // all of it is of epoch 1
	log.add(-1, false, false, 3, 10)
	log.add(-1, false, false, 2, 10)
	s, err := w.Segment(t.Context(), archive.SegmentConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(archive.Fetched{Raw: log.raw(0, 5), Stable: -1}); err != nil {
		t.Fatal(err)
	}
	s.Reach(9)
	sealed, err := s.Seal()
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Commit(t.Context(), archive.Append(sealed))
	if err != nil || m.Next != 9 {
		t.Fatal(m, err)
	}
	for end, diverged := range map[int64]bool{3: true, 4: true, 5: false, 8: false, 9: false} {
		d, err := divergence(t.Context(), endsAt(end), a, m, record.Ends{LastStable: 9, HighWatermark: 9})
		if err != nil || (d != nil) != diverged {
			t.Errorf("the epoch ends at %d: %v, %v", end, d, err)
		}
	}
}
