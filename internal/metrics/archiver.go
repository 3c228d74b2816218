package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-73111be4/kappa/internal/archiver"
)

// archiverCollector turns the figures of an archiver into metrics.
type archiverCollector struct {
	stats func() archiver.Stats
	archiverMetrics
}

type archiverMetrics struct {
	jobs                                              family
	lag, lagBytes, lagSeconds, left, size, held, fine family
	segments, bytes, merges, fences, gaps, lost, errs family
}

func newArchiverMetrics() archiverMetrics {
	return archiverMetrics{
		jobs:       gauge("archive_jobs", "Copies and merges under way."),
		lag:        gauge("archive_lag_records", "Offsets that are committed in Kafka and not archived yet.", "topic", "partition"),
		lagBytes:   gauge("archive_lag_bytes", "Estimated bytes that are committed in Kafka and not archived yet.", "topic", "partition"),
		lagSeconds: gauge("archive_lag_seconds", "How long the oldest record that is not archived yet has been seen waiting.", "topic", "partition"),
		left:       gauge("archive_headroom_seconds", "Time until Kafka's retention or compaction may take what is not archived yet; below 0 it may at any moment. Absent where it never will.", "topic", "partition"),
		size:       gauge("archive_bytes", "Size of the segments that count.", "topic", "partition"),
		held:       gauge("archive_segments", "Number of the segments that count.", "topic", "partition"),
		fine:       gauge("archive_up", "1 while the partition is archived, 0 when it cannot go on; the log says why.", "topic", "partition"),
		segments:   counter("archive_segments_written", "Segments that were written and counted.", "topic"),
		bytes:      counter("archive_written_bytes", "Bytes of the segments that were written and counted.", "topic"),
		merges:     counter("archive_merges", "Merges of small segments.", "topic"),
		fences:     counter("archive_fences", "Copies that were thrown away: another archiver was first.", "topic"),
		gaps:       counter("archive_gaps", "Ranges of offsets that Kafka deleted before they were archived.", "topic"),
		lost:       counter("archive_lost_offsets", "Offsets in these ranges.", "topic"),
		errs:       counter("archive_errors", "Copies and merges that failed, and are tried again.", "topic"),
	}
}

// Describe sends nothing: the metrics depend on the partitions that are held.
func (c *archiverCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the figures once.
func (c *archiverCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	c.jobs.send(ch, float64(s.Jobs))
	for topic, n := range s.Topics {
		c.segments.send(ch, float64(n.Segments), topic)
		c.bytes.send(ch, float64(n.Bytes), topic)
		c.merges.send(ch, float64(n.Merges), topic)
		c.fences.send(ch, float64(n.Fences), topic)
		c.gaps.send(ch, float64(n.Gaps), topic)
		c.lost.send(ch, float64(n.LostOffsets), topic)
		c.errs.send(ch, float64(n.Errors), topic)
	}
	for i := range s.Partitions {
		p := &s.Partitions[i]
		topic, number := p.Partition.Topic, itoa(p.Partition.Partition)
		c.lag.send(ch, float64(p.Lag), topic, number)
		c.lagBytes.send(ch, float64(p.LagBytes), topic, number)
		c.lagSeconds.send(ch, p.LagTime.Seconds(), topic, number)
		if p.Bounded {
			c.left.send(ch, p.Headroom.Seconds(), topic, number)
		}
		c.size.send(ch, float64(p.Bytes), topic, number)
		c.held.send(ch, float64(p.Segments), topic, number)
		c.fine.send(ch, truth(p.Err == nil), topic, number)
	}
}
