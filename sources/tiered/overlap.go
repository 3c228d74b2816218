package tiered

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// ErrDiverged says that archive and Kafka tell different stories of the same offsets:
// after an unclean election, or where the archive is another cluster's.
var ErrDiverged = errors.New("the archive and Kafka differ")

// whole holds the archive's end against the leader epochs that Kafka's log knows: an
// unclean election may have cut off what was archived before.
func (h *history) whole(ctx context.Context, m *archive.Manifest, ends record.Ends) error {
	if m.NextEpoch < 0 || m.Next <= ends.Start {
		return nil // nothing of it should be in the log
	}
	end, err := h.s.c.Cluster.EpochEnd(ctx, h.part.p, m.NextEpoch)
	if err != nil || end < 0 || end >= m.Next {
		return err
	}
	if has, err := h.s.c.Archive.HasBatches(ctx, m, end); err != nil || !has {
		return err // of a later epoch, and cleaned before anybody read them
	}
	return fmt.Errorf("%s: %w: the archive ends at %d in leader epoch %d, whose records end at %d in Kafka's log: an unclean election has cut off the rest; kappa archive heal --truncate makes the archive what the log is",
		h.part.p, ErrDiverged, m.Next, m.NextEpoch, end)
}

// remember keeps the last batch with records of what was read: markers look alike.
func (h *history) remember(raw []byte) {
	var last []byte
	for b, err := range archive.Batches(raw) {
		if err != nil {
			break
		}
		if !b.Control() {
			last = b.Raw
		}
	}
	if last != nil {
		h.tail = append(h.tail[:0], last...)
	}
}

// compare holds the last batch with records that the archive had against Kafka's at its place: by
// checksum, and where the cleaner has rewritten it, by the records that are left.
func (h *history) compare(ctx context.Context, ends record.Ends) error {
	if h.tail == nil {
		return nil
	}
	ours, err := archive.DecodeBatch(h.tail)
	if err != nil || ours.LastOffset() < ends.Start {
		return err
	}
	theirs, found, err := h.inKafka(ctx, ours.LastOffset())
	if err != nil || !found || theirs.BaseOffset > ours.LastOffset() {
		return err // compaction has left nothing of it
	}
	if theirs.CRC == ours.CRC && theirs.BaseOffset == ours.BaseOffset && theirs.LastOffset() == ours.LastOffset() {
		return nil
	}
	return h.compareRecords(ours, theirs)
}

// inKafka returns the batch that holds an offset, or the next one.
func (h *history) inKafka(ctx context.Context, offset int64) (archive.Batch, bool, error) {
	r := h.s.c.Cluster.OpenRaw(h.part.p, offset)
	defer r.Close()
	raw, err := r.Next(ctx)
	if err != nil {
		return archive.Batch{}, false, err
	}
	for b, err := range archive.Batches(raw.Batches) {
		if err != nil {
			break // cut off at the end
		}
		if b.LastOffset() >= offset {
			return b, true, nil
		}
	}
	return archive.Batch{}, false, nil
}

// compareRecords demands that every record that Kafka still has in the range is the
// archive's.
func (h *history) compareRecords(ours, theirs archive.Batch) error {
	p := h.part.p
	a, err := h.s.decoder.Decode(p, ours.BaseOffset, ours.LastOffset()+1, ours.Raw, nil)
	if err != nil {
		return err
	}
	defer a.Release()
	k, err := h.s.decoder.Decode(p, ours.BaseOffset, ours.LastOffset()+1, theirs.Raw, nil)
	if err != nil {
		return err
	}
	defer k.Release()
	known := make(map[int64]record.Record, len(a.Records))
	for _, r := range a.Records {
		known[r.Offset] = r
	}
	for _, r := range k.Records {
		if was, ok := known[r.Offset]; !ok || !same(was, r) {
			return fmt.Errorf("%s at offset %d: %w: was the topic truncated by an unclean election, or is the bucket another cluster's?", p, r.Offset, ErrDiverged)
		}
	}
	return nil
}

func same(a, b record.Record) bool {
	return a.Timestamp == b.Timestamp && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) &&
		(a.Value == nil) == (b.Value == nil) && len(a.Headers) == len(b.Headers)
}
