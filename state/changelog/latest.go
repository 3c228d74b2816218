package changelog

import (
	"bytes"
	"context"
	"fmt"

	"github.com/seed-73111be4/kappa/record"
)

// Latest returns the positions that a task has committed last, as the end of its state
// log has them, whichever process wrote them; nil where it has none. It costs a few
// small reads: each transaction's positions are its last record there.
func Latest(ctx context.Context, logs record.LogSource, stateTopic string, partition int32) (*Positions, error) {
	part := record.Partition{Topic: stateTopic, Partition: partition}
	ends, err := logs.Ends(ctx, part)
	if err != nil {
		return nil, fmt.Errorf("latest positions: %w", err)
	}
	for back := int64(4); ; back *= 16 {
		from := max(ends.Start, ends.LastStable-back)
		p, err := lastBetween(ctx, logs.Open(part, from), from, ends.LastStable)
		if err != nil {
			return nil, fmt.Errorf("latest positions in %s: %w", part, err)
		}
		if p != nil || from == ends.Start {
			return p, nil
		}
	}
}

// lastBetween reads offsets [from, until), and closes the reader.
func lastBetween(ctx context.Context, r record.LogReader, from, until int64) (last *Positions, err error) {
	defer r.Close()
	for from < until {
		b, err := r.Next(ctx)
		if err != nil {
			return nil, err
		}
		for i := range b.Records {
			if !bytes.Equal(b.Records[i].Key, PositionsKey()) {
				continue
			}
			if last, err = ParsePositions(b.Records[i].Value); err != nil {
				return nil, err
			}
		}
		from = b.Next
	}
	return last, nil
}
