package telemetry

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Family is one metric as the reference lists it.
type Family struct {
	Name   string
	Kind   string // counter, gauge or histogram
	Labels []string
	Help   string
}

// families makes metrics, registers them and remembers them for the reference.
type families struct {
	registry *prometheus.Registry
	list     []Family
}

func (f *families) note(kind, name, help string, labels []string) {
	f.list = append(f.list, Family{Name: name, Kind: kind, Labels: labels, Help: help})
}

func (f *families) counter(name, help string, labels ...string) *prometheus.CounterVec {
	f.note("counter", name, help, labels)
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	f.registry.MustRegister(v)
	return v
}

func (f *families) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	f.note("gauge", name, help, labels)
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	f.registry.MustRegister(v)
	return v
}

func (f *families) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	f.note("histogram", name, help, labels)
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	f.registry.MustRegister(v)
	return v
}

// read is a metric that is asked for when it is scraped.
func (f *families) read(kind, name, help string, labels ...string) *prometheus.Desc {
	f.note(kind, name, help, labels)
	return prometheus.NewDesc(name, help, labels, nil)
}

// sorted returns the families by name.
func (f *families) sorted() []Family {
	list := slices.Clone(f.list)
	slices.SortFunc(list, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// label bounds a label value that comes from a vendor's table: lower case
// letters, digits and underscores, at most 48 of them; anything else is other.
func label(s string) string {
	if len(s) > 48 {
		return "other"
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return "other"
		}
	}
	return s
}
