package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/seed-73111be4/kappa/record"
)

// OpenRawOf is OpenRaw of one history of the topic: where the topic was deleted and
// created anew, the reader's error is record.ErrRecreated.
func (c *Cluster) OpenRawOf(id record.TopicID, p record.Partition, from int64) *RawReader {
	r := c.OpenRaw(p, from)
	r.id = id
	return r
}

// Peek returns raw batches from an offset on, the first one whole and little more, and
// none where there are no committed ones. It does not try twice.
func (c *Cluster) Peek(ctx context.Context, id record.TopicID, p record.Partition, from int64) ([]byte, error) {
	leader, now, err := c.leader(ctx, p)
	switch {
	case err != nil:
		return nil, fmt.Errorf("peek into %s: %w", p, partitionError(err))
	case id.Known() && now.Known() && id != now:
		return nil, fmt.Errorf("peek into %s: %w", p, record.ErrRecreated)
	}
	req := newFetch(0)
	addFetch(req, p, now, from)
	req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 1, 1 // a first batch comes whole
	resp, err := send(ctx, c.cl, leader, req)
	if err != nil {
		return nil, fmt.Errorf("peek into %s: %w", p, err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("peek into %s: the broker answered for other partitions", p)
	}
	rp := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
		return nil, fmt.Errorf("peek into %s at offset %d: %w", p, from, partitionError(err))
	}
	return rp.RecordBatches, nil
}
