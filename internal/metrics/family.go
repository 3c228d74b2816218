package metrics

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// family is a metric with a name, of several label values.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) family {
	return family{prometheus.NewDesc("kappa_"+name+"_total", help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) family {
	return family{prometheus.NewDesc("kappa_"+name, help, labels, nil), prometheus.GaugeValue}
}

// send emits one metric; what is not valid becomes an error of the scrape.
func (f family) send(ch chan<- prometheus.Metric, v float64, labels ...string) {
	m, err := prometheus.NewConstMetric(f.desc, f.kind, v, valid(labels)...)
	if err != nil {
		m = prometheus.NewInvalidMetric(f.desc, err)
	}
	ch <- m
}

// valid replaces what Prometheus does not take in labels: aliases may be any
// bytes.
func valid(labels []string) []string {
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "\uFFFD")
	}
	return labels
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
