package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// forwarder is kad's forwarder with its control socket at the given path, "" for its default.
func forwarder(socket string) daemon {
	if socket == "" {
		socket = "/run/forwarder/control.sock"
	}
	return daemon{"forwarder", []string{socket}}
}

// checkForwarder returns a probe that passes when the forwarder says that it is ready.
func checkForwarder(socket string, _ setting) (probe, error) {
	return func(ctx context.Context) (int, error) {
		return askForwarder(ctx, socket, "/v1/health", func(string) error { return nil })
	}, nil
}

// askForwarder gets path over HTTP/1.0 (RFC 1945) on the control socket and hands over the
// lines of the body of a 200. It returns the forwarder's process. The client is our own, because
// net/http adds 1 ms to every start of kad-track, and 4 MiB to its 4.
func askForwarder(ctx context.Context, socket, path string, line func(string) error) (int, error) {
	d := forwarder(socket)
	conn, pid, err := d.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := get(conn, path, line); err != nil {
		return 0, d.failed(conn, err)
	}
	return pid, nil
}

// get speaks one exchange of HTTP/1.0 on conn.
func get(conn io.ReadWriter, path string, line func(string) error) error {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: forwarder\r\n\r\n", path); err != nil {
		return err
	}
	answer := bufio.NewScanner(conn)
	if !answer.Scan() {
		return cmp.Or(answer.Err(), errors.New("closed without an answer"))
	}
	protocol, status, _ := strings.Cut(answer.Text(), " ")
	code, _, _ := strings.Cut(status, " ")
	if _, err := strconv.Atoi(code); err != nil || !strings.HasPrefix(protocol, "HTTP/1.") {
		return fmt.Errorf("%q is not an answer of HTTP", answer.Text())
	}
	for answer.Scan() && answer.Text() != "" {
	}
	if code != "200" {
		answer.Scan()
		return errors.New(printable(strings.TrimSuffix(status+": "+answer.Text(), ": ")))
	}
	for answer.Scan() {
		if err := line(answer.Text()); err != nil {
			return err
		}
	}
	return answer.Err()
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
	_, err := askForwarder(ctx, socket, "/v1/metrics", func(line string) error {
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
