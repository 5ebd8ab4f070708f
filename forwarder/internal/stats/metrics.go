package stats

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Names of the metrics.
const (
	Received = "forwarder_received_messages_total"
	Routed   = "forwarder_routed_messages_total"
	Sent     = "forwarder_sent_messages_total"
	Dropped  = "forwarder_dropped_messages_total"
	Queue    = "forwarder_queue_messages"
)

var (
	received = prometheus.NewDesc(Received, "Messages that a source has received.", []string{"source", "driver"}, nil)
	routed   = prometheus.NewDesc(Routed, "Messages that log paths have led to a destination.", []string{"destination"}, nil)
	sent     = prometheus.NewDesc(Sent, "Messages that a destination has sent and that were acknowledged.", []string{"destination"}, nil)
	dropped  = prometheus.NewDesc(Dropped, "Messages that will not be sent.", []string{"destination", "reason"}, nil)
	queued   = prometheus.NewDesc(Queue, "Messages that wait in the queue of a destination.", []string{"destination"}, nil)
)

// Handler answers with the metrics.
func Handler(take func() Snapshot) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector(take))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

type collector func() Snapshot

// Describe says nothing: the collector is unchecked, since what it has changes with the configuration.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect makes metrics of a snapshot.
func (c collector) Collect(to chan<- prometheus.Metric) {
	counter := func(desc *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	s := c()
	for _, source := range s.Sources {
		counter(received, source.Received, source.Name, strconv.Itoa(source.Index))
	}
	for _, d := range s.Destinations {
		counter(routed, d.Routed, d.Name)
		counter(sent, d.Sent, d.Name)
		for reason, n := range d.Dropped {
			counter(dropped, n, d.Name, reason)
		}
		to <- prometheus.MustNewConstMetric(queued, prometheus.GaugeValue, float64(d.Queued), d.Name)
	}
}
