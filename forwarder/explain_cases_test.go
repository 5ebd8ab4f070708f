package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kad/forwarder/internal/config"
	"kad/forwarder/internal/convert"
	"kad/forwarder/internal/source"
	"kad/pkg/syslog"
)

// notExplained are the cases whose outcome is not that of messages alone.
var notExplained = map[string]string{
	"flag-flow-control-absent":     "drops depend on time",
	"destination-file-templates":   "names that lead out of the directory are refused when they are opened",
	"destination-net-udp-template": "an empty datagram is not sent",
	"path-inline-source-tags":      "tags stand in the order in which the process has met them",
	"rewrite-tags":                 "tags stand in the order in which the process has met them",
	"source-parse-error":           "messages of this host get their numbers when they are sent",
	"source-unix-kernel":           "messages of this host get their numbers when they are sent",
	"source-unix-to-syslog":        "messages of this host get their numbers when they are sent",
}

// TestExplainCases holds what explain says of each message of each routing case against what run delivers, the case's
// expectation: which destinations get it, in which order, with which bytes.
func TestExplainCases(t *testing.T) {
	t.Setenv("TZ", "UTC")
	for _, conf := range casesOf(t) {
		dir := filepath.Dir(conf)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			if why := notExplained[filepath.Base(dir)]; why != "" {
				t.Skip(why)
			}
			r := newRun(t, dir)
			if r.prepare(); r.test.ExpectError {
				t.Skip("there is nothing to explain")
			}
			for name, value := range r.test.Env {
				t.Setenv(name, value)
			}
			for _, s := range r.sinks { // explain connects to nobody
				s.delay = 1
			}
			text, err := os.ReadFile(r.path("syslog-ng.conf"))
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Parse("config.toml", convert.Convert(r.path("syslog-ng.conf"), text, convert.Options{}).TOML)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range r.differences(r.expected(), r.explained(cfg)) {
				t.Error(d)
			}
		})
	}
}

// explained is what each output of the case would hold, by what explain says.
func (r *caseRun) explained(cfg *config.Config) map[string]string {
	got := map[string]string{}
	for _, s := range r.test.Send {
		in, framer := r.inputOf(cfg, s)
		peer := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if s.Bind != "" {
			peer = netip.MustParseAddr(s.Bind)
		}
		file := s.File
		if file == "" {
			file = "input"
		}
		for _, frame := range frames(r.read(file), s, framer) {
			for _, d := range explainJSON(in, frame, peer).Deliveries {
				if name := r.outputOf(d.To); name != "" {
					got[name] += string(d.data())
				}
			}
		}
	}
	return got
}

// inputOf finds the driver that a step sends to, and how it tells messages apart; nil: a datagram is a message.
func (r *caseRun) inputOf(cfg *config.Config, s step) (*source.Input, *syslog.Framer) {
	kind, where, _ := strings.Cut(s.To, ":")
	for _, src := range cfg.Sources {
		for i, driver := range src.Drivers {
			switch d := driver.(type) {
			case *source.Network:
				if (kind == "tcp" || kind == "udp") && d.Transport == kind && d.Port == r.port(where) {
					framing := map[string]syslog.Framing{"newline": syslog.Newline, "octet_counting": syslog.OctetCounting, "detect": syslog.Detect}[d.Framing]
					f := &syslog.Framer{Framing: framing, MaxSize: d.LogMsgSize, Trim: d.TrimLarge, KeepEmpty: slices.Contains(d.Flags, "empty_lines")}
					if kind == "udp" {
						f = nil
					}
					return driverInput(cfg, src, i), f
				}
			case *source.Unix:
				if d.Path == r.path(where) && kind == "unix-dgram" {
					return driverInput(cfg, src, i), nil
				} else if d.Path == r.path(where) {
					return driverInput(cfg, src, i), &syslog.Framer{MaxSize: d.LogMsgSize}
				}
			case *source.File:
				if d.Path == r.path(where) {
					return driverInput(cfg, src, i), &syslog.Framer{MaxSize: d.LogMsgSize}
				}
			}
		}
	}
	r.t.Fatalf("no source receives from %s", s.To)
	return nil, nil
}

// frames are the messages in what a step sends.
func frames(data []byte, s step, framer *syslog.Framer) (list [][]byte) {
	if framer == nil {
		return parts(data, s.Split, true)
	}
	kind, _, _ := strings.Cut(s.To, ":")
	for {
		msg, used, err := framer.Next(data)
		var bad *syslog.FrameError
		if errors.As(err, &bad) {
			return list
		}
		if data = data[used:]; msg == nil {
			break
		}
		list = append(list, msg)
	}
	if rest := framer.Last(data); len(rest) > 0 && kind != "file" && !s.Keep {
		list = append(list, rest)
	}
	return list
}

// outputOf is the name of the file or sink that a destination sends to, "" if it is not looked at.
func (r *caseRun) outputOf(to string) string {
	if name, ok := strings.CutPrefix(to, r.path("out")+"/"); ok {
		return strings.ReplaceAll(name, "/", "__")
	}
	_, port, _ := net.SplitHostPort(to)
	for name, s := range r.sinks {
		if _, at, _ := net.SplitHostPort(s.addr); at == port {
			return name
		}
	}
	return ""
}
