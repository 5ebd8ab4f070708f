// Package stats has the counters of sources and destinations, as JSON and as metrics of Prometheus.
package stats

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Snapshot is all counters at one moment.
type Snapshot struct {
	Sources      []Source      `json:"sources"`
	Destinations []Destination `json:"destinations"`
}

// A Source is one driver of a source.
type Source struct {
	Name     string `json:"name"`
	Driver   int    `json:"driver"`            // from 0
	Received uint64 `json:"received_messages"` // since the driver was opened
}

// A Destination counts messages since it was opened.
type Destination struct {
	Name     string `json:"name"`
	Routed   uint64 `json:"routed_messages"`  // by log paths
	Sent     uint64 `json:"sent_messages"`    // acknowledged
	Dropped  uint64 `json:"dropped_messages"` // the queue was full
	Queued   int    `json:"queued_messages"`  // wait, or are on their way
	IsOnDisk bool   `json:"on_disk"`          // what waits outlives the process
}

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
		counter(received, source.Received, source.Name, strconv.Itoa(source.Driver))
	}
	for _, d := range s.Destinations {
		counter(routed, d.Routed, d.Name)
		counter(sent, d.Sent, d.Name)
		counter(dropped, d.Dropped, d.Name, "queue_full")
		to <- prometheus.MustNewConstMetric(queued, prometheus.GaugeValue, float64(d.Queued), d.Name)
	}
}
