package main

import (
	"fmt"
	"slices"
	"strings"

	"kad/pkg/cli"
)

// kind is a sort of check: a flag, and with underscores a key of a profile.
type kind struct {
	flag     cli.GenericFlag
	optional bool // the value may be left out: it is "" then
	parse    func(value string, s setting) (probe, error)
}

func (k *kind) name() string { return k.flag.Name }

// key returns the kind's name in a profile.
func (k *kind) key() string { return strings.ReplaceAll(k.name(), "-", "_") }

// wants says what a value in a profile may be.
func (k *kind) wants() string {
	_, rest, _ := strings.Cut(k.flag.Usage, "`")
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
	{flag: cli.GenericFlag{Name: "syslog-ng", Category: "Checks", Usage: "syslog-ng's main thread answers on its control `SOCKET`"},
		optional: true, parse: checkSyslogNG},
	{flag: cli.GenericFlag{Name: "forwarder", Category: "Checks", Usage: "the forwarder says on its control `SOCKET` that it is ready"},
		optional: true, parse: checkForwarder},
	{flag: cli.GenericFlag{Name: "tcp", Category: "Checks", Usage: "`ADDR` accepts TCP connections"},
		parse: checkTCP},
	{flag: cli.GenericFlag{Name: "tls", Category: "Checks", Usage: "`ADDR` answers a TLS handshake"},
		parse: checkTLS},
	{flag: cli.GenericFlag{Name: "udp-listen", Category: "Checks", Usage: "a UDP socket is bound to `ADDR`"},
		parse: checkUDPListen},
	{flag: cli.GenericFlag{Name: "unix", Category: "Checks", Usage: "somebody listens on the unix socket `PATH`"},
		parse: checkUnix},
	{flag: cli.GenericFlag{Name: "pid-file", Category: "Checks", Usage: "the process named in `FILE` is alive"},
		parse: checkPIDFile},
	{flag: cli.GenericFlag{Name: "unit", Category: "Checks", Usage: "the systemd unit `NAME` is active"},
		parse: checkUnit},
	{flag: cli.GenericFlag{Name: "process", Category: "Checks", Usage: "a process called `NAME` is alive"},
		parse: checkProcess},
	{flag: cli.GenericFlag{Name: "disk", Category: "Checks", Usage: "the file system of PATH is writable and has MINFREE, a size or percentage, to spare: `PATH=MINFREE`"},
		parse: checkDisk},
	{flag: cli.GenericFlag{Name: "queue-below", Category: "Checks", Usage: "each destination has less than `N` messages waiting"},
		parse: checkQueueBelow},
	{flag: cli.GenericFlag{Name: "dropped-below", Category: "Checks", Usage: "less than N messages were dropped in the last INTERVAL: `N/INTERVAL`"},
		parse: checkDroppedBelow},
	{flag: cli.GenericFlag{Name: "exec", Category: "Checks", Usage: "`CMD` exits with 0; its words are parted as keepalived does, no shell"},
		parse: checkExec},
	{flag: cli.GenericFlag{Name: "probe", Category: "Checks", Usage: "a marked message sent to ADDR arrives in FILE: `ADDR=FILE`"},
		parse: checkProbe},
	{flag: cli.GenericFlag{Name: "not-if-exists", Category: "Checks", Usage: "`FILE` does not exist: touch it to drain this host"},
		parse: checkNotIfExists},
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
		return "--" + w.kind.name()
	case w.kind.optional:
		return "--" + w.kind.name() + "=" + w.value
	}
	return "--" + w.kind.name() + " " + w.value
}

// checklist is what is wanted, in order.
type checklist []wanted

// given returns the checks of the command line.
func given(c *cli.Context) checklist {
	var list checklist
	for _, g := range cli.InOrder(c) {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name() == g.Name })
		if i >= 0 {
			list = append(list, wanted{&kinds[i], g.Value})
		}
	}
	return list
}

// units returns the systemd units in the list.
func (list checklist) units() []string {
	var names []string
	for _, w := range list {
		if w.kind.name() == "unit" {
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
		switch w.kind.name() {
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
