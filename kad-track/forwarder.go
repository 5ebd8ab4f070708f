package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"kad/pkg/control"
)

// checkForwarder returns a probe that passes when the forwarder says that it is ready.
func checkForwarder(socket string, _ setting) (probe, error) {
	return func(ctx context.Context) (int, error) {
		return control.Forwarder(socket).Get(ctx, "/v1/health", func(string) error { return nil })
	}, nil
}

// Metrics of the forwarder that its counters come from.
const (
	queueMetric   = "forwarder_queue_messages"
	droppedMetric = "forwarder_dropped_messages_total"
)

// forwarderCounters reads the counters of the forwarder's destinations from its metrics in
// the text format of Prometheus, NAME{LABEL="VALUE",...} NUMBER.
func forwarderCounters(ctx context.Context, socket string) ([]destination, error) {
	var list []destination
	_, err := control.Forwarder(socket).Get(ctx, "/v1/metrics", func(line string) error {
		series, text, _ := strings.Cut(line, "} ")
		metric, labels, _ := strings.Cut(series, "{")
		if metric != queueMetric && metric != droppedMetric {
			return nil
		}
		number, err := strconv.ParseFloat(text, 64)
		if err != nil || !(number >= 0) {
			return fmt.Errorf("metric %s: %q is not a count", metric, text)
		}
		_, name, _ := strings.Cut(labels, `destination="`)
		name, _, _ = strings.Cut(name, `"`)
		d := destination{name: name}
		if metric == queueMetric {
			d.queued = uint64(number)
		} else {
			d.dropped = uint64(number)
		}
		list = append(list, d)
		return nil
	})
	return list, err
}
