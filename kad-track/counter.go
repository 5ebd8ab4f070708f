package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kad/pkg/atomicfile"
)

// destination is what one counter says of where a daemon sends messages to; there is one for
// each counter, and what that does not count is 0.
type destination struct {
	name    string
	queued  uint64 // messages waiting now
	dropped uint64 // since the daemon's start
}

// source reads the counters of one daemon.
type source struct {
	name string // "syslog-ng", or with "=SOCKET"
	read func(ctx context.Context, socket string) ([]destination, error)

	socket string
}

// checkQueueBelow returns a probe that passes when each destination of each source has less
// than the given number of messages waiting.
func checkQueueBelow(value string, s setting) (probe, error) {
	limit, err := strconv.ParseUint(value, 10, 64)
	if err != nil || limit == 0 {
		return nil, fmt.Errorf("want a number of messages from 1")
	}
	return func(ctx context.Context) (int, error) {
		for _, source := range s.sources {
			destinations, err := source.read(ctx, source.socket)
			if err != nil {
				return 0, err
			}
			for _, d := range destinations {
				if d.queued >= limit {
					return 0, fmt.Errorf("%s: %d messages wait for destination %s", source.name, d.queued, d.name)
				}
			}
		}
		return 0, nil
	}, nil
}

// checkDroppedBelow returns a probe of N/INTERVAL: it passes when all destinations of each
// source have dropped less than N messages in the last INTERVAL. What it saw before is kept in
// the state directory.
func checkDroppedBelow(value string, s setting) (probe, error) {
	number, text, _ := strings.Cut(value, "/")
	limit, err := strconv.ParseUint(number, 10, 64)
	if err != nil || limit == 0 {
		return nil, fmt.Errorf("want N/INTERVAL with a number of messages from 1")
	}
	interval, err := time.ParseDuration(text)
	if err != nil || interval <= 0 {
		return nil, fmt.Errorf("want N/INTERVAL with a duration such as 30s or 5m")
	}
	return func(ctx context.Context) (int, error) {
		for _, source := range s.sources {
			destinations, err := source.read(ctx, source.socket)
			if err != nil {
				return 0, err
			}
			total := uint64(0)
			for _, d := range destinations {
				total += d.dropped
			}
			dropped, err := droppedWithin(interval, historyFile(s.stateDir, source, interval), total)
			if err != nil {
				return 0, err
			}
			if dropped >= limit {
				return 0, fmt.Errorf("%s: %d messages dropped in the last %v", source.name, dropped, interval)
			}
		}
		return 0, nil
	}, nil
}

func historyFile(dir string, s source, interval time.Duration) string {
	h := fnv.New64a()
	fmt.Fprint(h, s.socket, interval)
	name, _, _ := strings.Cut(s.name, "=")
	return filepath.Join(dir, fmt.Sprintf("track-dropped-%s-%x", name, h.Sum64()))
}

// sample is a counter at a time.
type sample struct {
	at    time.Duration // since boot
	total uint64
}

// droppedWithin records total in file and returns by how much it has grown in the last
// interval, or since the first call when that is less long ago.
func droppedWithin(interval time.Duration, file string, total uint64) (uint64, error) {
	now, err := sinceBoot()
	if err != nil {
		return 0, err
	}
	history, err := readHistory(file)
	if err != nil {
		return 0, err
	}
	history = record(history, sample{now, total}, interval)
	if err := writeHistory(file, history); err != nil {
		return 0, err
	}
	return total - history[0].total, nil
}

// resolution is how many samples an interval is kept in.
const resolution = 60

// record appends s and forgets what lies before the interval, save the last sample: the one
// that the growth over the whole interval is counted from.
func record(history []sample, s sample, interval time.Duration) []sample {
	if n := len(history); n > 0 && (s.at < history[n-1].at || s.total < history[n-1].total) {
		history = nil // the host or the daemon has started anew
	}
	for len(history) > 1 && history[1].at <= s.at-interval {
		history = history[1:]
	}
	if n := len(history); n > 1 && s.at-history[n-2].at < interval/resolution {
		history = history[:n-1]
	}
	return append(history, s)
}

// sinceBoot is a clock that nobody sets and that a state file of an earlier run shares.
func sinceBoot() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0, fmt.Errorf("clock: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// readHistory reads lines of "NANOSECONDS-SINCE-BOOT TOTAL", in order of time. A file that is
// missing or has been tampered with is an empty history.
func readHistory(file string) ([]sample, error) {
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var history []sample
	for line := range bytes.Lines(text) {
		var s sample
		if _, err := fmt.Sscanf(string(line), "%d %d\n", &s.at, &s.total); err != nil {
			return nil, nil
		}
		history = append(history, s)
	}
	return history, nil
}

func writeHistory(file string, history []sample) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	var text strings.Builder
	for _, s := range history {
		fmt.Fprintf(&text, "%d %d\n", s.at, s.total)
	}
	return atomicfile.Write(file, text.String())
}
