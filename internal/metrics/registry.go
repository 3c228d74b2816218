package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/views"
)

// Sources are where figures come from. Each is asked at every scrape and may be
// nil.
type Sources struct {
	Engine   func() engine.Stats
	Views    func() []views.Stats
	Archiver func() archiver.Stats
}

// Registry holds the metrics of one process.
type Registry struct{ reg *prometheus.Registry }

// New returns a registry that reads from the sources. Metrics of the Go runtime
// and of the process are part of it.
func New(s Sources) *Registry {
	r := &Registry{prometheus.NewRegistry()}
	// Fresh collectors in a fresh registry cannot collide.
	_ = r.reg.Register(collectors.NewGoCollector())
	_ = r.reg.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.Engine != nil {
		_ = r.reg.Register(&engineCollector{s.Engine, newEngineMetrics()})
	}
	if s.Views != nil {
		_ = r.reg.Register(&viewCollector{s.Views, newViewMetrics()})
	}
	if s.Archiver != nil {
		_ = r.reg.Register(&archiverCollector{s.Archiver, newArchiverMetrics()})
	}
	return r
}

// Handler serves the metrics in the formats that Prometheus reads. A metric that
// cannot be collected is left out.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.reg, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}
