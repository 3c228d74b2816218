package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

// Raw is what a broker holds of a partition from a position on: record batches,
// verbatim, up to the last stable offset. It has the whole batch that the position
// is in, though that may begin before it, and may end with a batch that is cut off.
type Raw struct {
	Batches []byte
	// Aborted are the aborted transactions of which these batches have records.
	Aborted []AbortedTransaction
	// LogStart, LastStable and HighWatermark are the log's as of the answer.
	LogStart, LastStable, HighWatermark int64
}

// AbortedTransaction says which records of a producer must not be seen: those from an
// offset on, up to its next abort marker.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
}

// RawReader reads a partition's record batches as they lie in the log. It has one
// owner; only Close may be called from elsewhere.
type RawReader struct {
	*answers
	raw Raw
	got bool
}

// OpenRaw returns a reader of raw batches from an offset on. It does no I/O yet. It
// lives and fails as Open's reader does.
func (c *Cluster) OpenRaw(p record.Partition, from int64) *RawReader {
	return &RawReader{answers: newAnswers(c, p, from)}
}

// Next returns what follows the whole batches of the Raw before: at the log's end an
// empty one, once, whose LastStable says so, and then, as soon as there is any, what
// was written since. The bytes must not be changed: other readers may have them, too.
func (r *RawReader) Next(ctx context.Context) (Raw, error) {
	for r.got = false; !r.got; {
		if err := r.next(ctx, r.take); err != nil {
			return Raw{}, err
		}
	}
	return r.raw, nil
}

func (r *RawReader) take(rp *kmsg.FetchResponseTopicPartition) error {
	r.raw = Raw{Batches: rp.RecordBatches, LogStart: rp.LogStartOffset, LastStable: rp.LastStableOffset, HighWatermark: rp.HighWatermark}
	for _, a := range rp.AbortedTransactions {
		r.raw.Aborted = append(r.raw.Aborted, AbortedTransaction{a.ProducerID, a.FirstOffset})
	}
	r.got = true
	r.pos = endOf(rp.RecordBatches, r.pos)
	return nil
}
