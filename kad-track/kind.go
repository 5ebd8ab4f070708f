package main

import (
	"fmt"
	"strings"
)

// kind is a sort of check: a flag, and with underscores a key of a profile.
type kind struct {
	flag     string
	usage    string // with the value's name in backquotes
	optional bool   // the value may be left out: it is "" then
	parse    func(value string, s setting) (probe, error)
}

// key returns the kind's name in a profile.
func (k *kind) key() string { return strings.ReplaceAll(k.flag, "-", "_") }

// wants says what a value in a profile may be.
func (k *kind) wants() string {
	_, rest, _ := strings.Cut(k.usage, "`")
	value, _, _ := strings.Cut(rest, "`")
	if k.optional {
		return "true or a " + value
	}
	return value
}

// setting is what the probes of one command line share.
type setting struct {
	sources  []source // whose counters are meant
	stateDir string
}

// kinds has all checks in the order of the manual.
var kinds = []kind{
	{"syslog-ng", "syslog-ng's main thread answers on its control `SOCKET`", true, checkSyslogNG},
	{"forwarder", "the forwarder says on its control `SOCKET` that it is ready", true, checkForwarder},
	{"tcp", "`ADDR` accepts TCP connections", false, checkTCP},
	{"tls", "`ADDR` answers a TLS handshake", false, checkTLS},
	{"udp-listen", "a UDP socket is bound to `ADDR`", false, checkUDPListen},
	{"unix", "somebody listens on the unix socket `PATH`", false, checkUnix},
	{"pid-file", "the process named in `FILE` is alive", false, checkPIDFile},
	{"unit", "the systemd unit `NAME` is active", false, checkUnit},
	{"process", "a process called `NAME` is alive", false, checkProcess},
	{"disk", "the file system of PATH is writable and has MINFREE, a size or percentage, to spare: `PATH=MINFREE`", false, checkDisk},
	{"queue-below", "each destination has less than `N` messages waiting", false, checkQueueBelow},
	{"dropped-below", "less than N messages were dropped in the last INTERVAL: `N/INTERVAL`", false, checkDroppedBelow},
	{"exec", "`CMD` exits with 0; its words are parted as keepalived does, no shell", false, checkExec},
	{"probe", "a marked message sent to ADDR arrives in FILE: `ADDR=FILE`", false, checkProbe},
	{"not-if-exists", "`FILE` does not exist: touch it to drain this host", false, checkNotIfExists},
}

// wanted is a check as asked for on the command line or in a profile.
type wanted struct {
	kind  *kind
	value string
}

// name returns the check as the command line has it.
func (w wanted) name() string {
	switch {
	case w.kind.optional && w.value == "":
		return "--" + w.kind.flag
	case w.kind.optional:
		return "--" + w.kind.flag + "=" + w.value
	}
	return "--" + w.kind.flag + " " + w.value
}

// checklist is what is wanted, in order.
type checklist []wanted

// units returns the systemd units in the list.
func (list checklist) units() []string {
	var names []string
	for _, w := range list {
		if w.kind.flag == "unit" {
			names = append(names, w.value)
		}
	}
	return names
}

// build makes checks of the list; of an empty one, that of syslog-ng.
func (list checklist) build(stateDir string) ([]check, error) {
	if len(list) == 0 {
		list = checklist{{kind: &kinds[0]}}
	}
	s := setting{sources: list.sources(), stateDir: stateDir}
	var checks []check
	for _, w := range list {
		p, err := w.kind.parse(w.value, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name(), err)
		}
		checks = append(checks, check{w.name(), p})
	}
	return checks, nil
}

// sources returns the daemons in the list, whose counters --queue-below and --dropped-below
// mean; syslog-ng when there are none.
func (list checklist) sources() []source {
	var sources []source
	for _, w := range list {
		switch w.kind.flag {
		case "syslog-ng":
			sources = append(sources, source{w.name()[2:], syslogNGCounters, w.value})
		case "forwarder":
			sources = append(sources, source{w.name()[2:], forwarderCounters, w.value})
		}
	}
	if sources == nil {
		sources = []source{{"syslog-ng", syslogNGCounters, ""}}
	}
	return sources
}
