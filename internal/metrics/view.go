package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-73111be4/kappa/views"
)

// viewCollector turns the figures of views into metrics.
type viewCollector struct {
	stats func() []views.Stats
	viewMetrics
}

type viewMetrics struct{ records, switches, caughtUp, bytes family }

func newViewMetrics() viewMetrics {
	return viewMetrics{
		records:  counter("view_records", "Table records that the view has applied to its current copy.", "view", "table"),
		switches: counter("view_switches", "How often the view has replaced its copy: its alias moved, or the log no longer had what was next.", "view"),
		caughtUp: gauge("view_caught_up", "1 when the view's copy has held all of its table since it was opened, else 0.", "view"),
		bytes:    gauge("view_bytes", "Estimated bytes of the view's copy.", "view"),
	}
}

// Describe sends nothing: the metrics depend on the views that are open.
func (c *viewCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the figures once.
func (c *viewCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.stats() {
		c.records.send(ch, float64(s.Records), s.Name, s.Table)
		c.switches.send(ch, float64(s.Switches), s.Name)
		c.caughtUp.send(ch, truth(s.CaughtUp), s.Name)
		if s.Bytes >= 0 {
			c.bytes.send(ch, float64(s.Bytes), s.Name)
		}
	}
}
