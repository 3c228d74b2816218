package tiered

import (
	"context"
	"fmt"
	"maps"

	"github.com/seed-73111be4/kappa/record"
)

// endsOf asks Kafka for the ends of what it has, and the archive for those of the rest.
func (s *Source) endsOf(ctx context.Context, parts []record.Partition) (map[record.Partition]record.Ends, error) {
	out := make(map[record.Partition]record.Ends, len(parts))
	var live []record.Partition
	for _, p := range parts {
		id, ok := s.c.Past[p.Topic]
		if !ok {
			live = append(live, p)
			continue
		}
		m, err := s.manifest(ctx, p, id)
		if err != nil {
			return nil, fmt.Errorf("where the archive of %s begins and ends: %w", p, away(err))
		}
		e := record.Ends{TopicID: id, LeaderEpoch: -1}
		if m != nil {
			e.Start, e.LastStable, e.HighWatermark = m.Start(), m.Next, m.Next
		}
		out[p] = e
	}
	if len(live) == 0 {
		return out, nil
	}
	ends, err := s.c.Live.Ends(ctx, live...)
	maps.Copy(out, ends)
	return out, err
}

// readPast reads a partition that is in the archive alone, up to its end.
func (h *history) readPast(ctx context.Context, id record.TopicID) error {
	if was := h.part.seek.TopicID; was.Known() && was != id {
		return fmt.Errorf("%s: %w: its id was %s and is %s in the archive", h.part.p, record.ErrRecreated, was, id)
	}
	m, err := h.s.manifest(ctx, h.part.p, id)
	if err != nil {
		return err
	}
	end := int64(0)
	if m != nil {
		end = m.Next
	}
	h.high = end
	if h.next > end {
		return fmt.Errorf("%s: %w: the archive ends at %d, before %d", h.part.p, record.ErrOffsetOutOfRange, end, h.next)
	}
	if h.next < end {
		if err := h.readTo(ctx, m); err != nil {
			return err
		}
	}
	h.log.Info("the archive is read, and nothing follows: Kafka does not have the topic", "offset", h.next)
	h.s.set(h.part, over)
	return nil
}
