package main

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pause is a probe that takes its time, and then says err.
func pause(d time.Duration, err error) probe {
	return func(ctx context.Context) (int, error) {
		select {
		case <-time.After(d):
			return 0, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// The first check in order that fails is named, however long the others take.
func TestVerdict(t *testing.T) {
	bad := errors.New("bad")
	tests := []struct {
		name   string
		checks []check
		want   string
		took   time.Duration
	}{
		{"one passes", []check{{"a", pause(0, nil)}}, "", 0},
		{"one fails", []check{{"a", pause(0, bad)}}, "a: bad", 0},
		{"one hangs", []check{{"a", pause(time.Hour, nil)}}, "a: no answer within 1s", 950 * time.Millisecond},
		{"side by side", []check{{"a", pause(300*time.Millisecond, nil)}, {"b", pause(400*time.Millisecond, nil)}}, "", 400 * time.Millisecond},
		{"first in order", []check{{"a", pause(0, nil)}, {"b", pause(200*time.Millisecond, bad)}, {"c", pause(0, bad)}}, "b: bad", 200 * time.Millisecond},
		{"the rest is cancelled", []check{{"a", pause(0, bad)}, {"b", pause(time.Hour, nil)}}, "a: bad", 0},
		{"hangs before one that fails", []check{{"a", pause(time.Hour, nil)}, {"b", pause(0, bad)}}, "a: no answer within 1s", 950 * time.Millisecond},
		{"hangs in the kernel", []check{{"a", detached(func(context.Context) (int, error) { time.Sleep(time.Minute); return 0, nil })}},
			"a: no answer within 1s", 955 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				got := ""
				if err := verdict(t.Context(), tt.checks, time.Second); err != nil {
					got = err.Error()
				}
				if took := time.Since(begin); got != tt.want || took != tt.took {
					t.Errorf("got %q after %v, want %q after %v", got, took, tt.want, tt.took)
				}
				time.Sleep(time.Hour) // until what was left behind has ended too
			})
		})
	}
}

func TestOrderAndDefault(t *testing.T) {
	dir := t.TempDir()
	// The order is that of the command line, also among flags with and without a value.
	expect(t, "--pid-file /none: no such file or directory", "--pid-file", "/none", "--syslog-ng=/none", "--disk", "/none=1")
	expect(t, "--syslog-ng=/none: syslog-ng does not run, or has its control socket elsewhere than in /none", "--syslog-ng=/none", "--pid-file", "/none")
	code, _, stderr := kadTrack(t)
	if code != 0 && !strings.HasPrefix(stderr, "kad-track: --syslog-ng: ") {
		t.Errorf("without a check: %d, %q", code, stderr)
	}
	expect(t, "--timeout 0s: want more than 0", "--timeout", "0")
	if code, stdout, stderr := kadTrack(t, "--quiet", "--pid-file", filepath.Join(dir, "none")); code != 1 || stdout+stderr != "" {
		t.Errorf("quiet: %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, stderr := kadTrack(t, "--qiet"); code != 1 || stdout != "" || stderr == "" {
		t.Errorf("wrong flag: %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, _ := kadTrack(t, "--help"); code != 0 || stdout == "" {
		t.Errorf("help: %d, %q", code, stdout)
	}
}

func TestExplain(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--explain", "--not-if-exists", filepath.Join(dir, "none"), "--pid-file", filepath.Join(dir, "pid"), "--disk", "/=0"}
	code, stdout, stderr := kadTrack(t, args...)
	var got []string
	for line := range strings.Lines(stdout) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), " ms  ")
		got = append(got, strings.ReplaceAll(rest, dir, "DIR"))
	}
	want := []string{"pass  --not-if-exists DIR/none", "FAIL  --pid-file DIR/pid: no such file or directory", "pass  --disk /=0"}
	if code != 1 || stderr != "" || !slices.Equal(got, want) {
		t.Errorf("%d, %q, got\n%s", code, stderr, stdout)
	}
	if code, _, _ := kadTrack(t, args[:3]...); code != 0 {
		t.Errorf("all pass: %d", code)
	}

	code, stdout, stderr = kadTrack(t, append(args, "-o", "json")...)
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 1 || stderr != "" {
		t.Fatalf("%d, %q, %v: %s", code, stderr, err, stdout)
	}
	for i := range r.Checks {
		r.Checks[i].Milliseconds = 0
	}
	wanted := []checkReport{{Check: args[1] + " " + args[2], Pass: true}, {Check: args[3] + " " + args[4], Error: "no such file or directory"}, {Check: "--disk /=0", Pass: true}}
	if r.Schema != 1 || r.Pass || !slices.Equal(r.Checks, wanted) {
		t.Errorf("got %+v", r)
	}
}
