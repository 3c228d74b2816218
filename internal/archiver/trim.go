package archiver

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/record"
)

// ErrTable says that records of a compacted topic were to be deleted: its log is the
// table.
var ErrTable = errors.New("a compacted topic: its log is the table, so nothing of it is deleted")

// Trim deletes from Kafka what the archive has of a log, as retention would in time,
// once both have been seen to be the same, and returns the range. The last batch that
// both have stays: where a log begins inside of the archive, who goes from one to the
// other can compare them. Where dry is set Trim deletes nothing. A difference is a
// DivergedError, a compacted topic an ErrTable, and nothing is deleted then.
func (d Mender) Trim(ctx context.Context, m *archive.Manifest, dry bool) (from, to int64, err error) {
	topics, err := d.Cluster.Topics(ctx, m.Log.Topic)
	if err != nil {
		return 0, 0, err
	}
	switch t, ok := topics[m.Log.Topic]; {
	case !ok:
		return 0, 0, fmt.Errorf("trim %s: %w", m.Log, record.ErrUnknownTopic)
	case topicOf(t).compacted:
		return 0, 0, fmt.Errorf("trim %s: %w", m.Log, ErrTable)
	}
	c, err := d.Compare(ctx, m)
	if err != nil {
		return 0, 0, err
	}
	from, to = c.From, max(c.From, c.Last)
	if dry || from == to {
		return from, to, nil
	}
	p := record.Partition{Topic: m.Log.Topic, Partition: m.Log.Partition}
	return from, to, d.Cluster.DeleteRecords(ctx, map[record.Partition]int64{p: to})
}
