package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/seed-73111be4/kappa/record"
)

// EpochEnd returns the first offset after the last record that the partition's
// log holds of a leader epoch, or of the largest one before it: who has read past
// it has read records that the log has lost since.
func (c *Cluster) EpochEnd(ctx context.Context, p record.Partition, epoch int32) (int64, error) {
	var req kadm.OffsetForLeaderEpochRequest
	req.Add(p.Topic, p.Partition, epoch)
	resp, err := c.adm.OffsetForLeaderEpoch(ctx, req)
	if err != nil {
		return 0, fmt.Errorf("end of epoch %d of %s: %w", epoch, p, partitionError(err))
	}
	end, ok := resp[p.Topic][p.Partition]
	switch {
	case !ok:
		return 0, fmt.Errorf("end of epoch %d of %s: %w", epoch, p, record.ErrUnknownTopic)
	case end.Err != nil:
		return 0, fmt.Errorf("end of epoch %d of %s: %w", epoch, p, partitionError(end.Err))
	}
	return end.EndOffset, nil
}
