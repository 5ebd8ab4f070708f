package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Ports of the namespace: where the relay listens, and both sinks.
const portIn, portOut = 2514, 2515

const forwarderConfig = `[source.s]
driver = "%[1]s"
ip = "127.0.0.1"
port = 2514
[destination.d]
driver = "%[2]s"
address = "127.0.0.1"
port = 2515
time_reopen = "1s"
stall_timeout = "3s"
%[3]s
[destination.d.failover]
servers = ["127.0.0.2"]
%[4]s
[log.l]
source = ["s"]
destination = ["d"]
flags = ["flow_control"]
`

const syslogNGConfig = `@version: 3.38
options { time-reopen(1); stats-freq(0); };
source s { network(ip("127.0.0.1") port(2514)); };
destination d { network("127.0.0.1" port(2515) failover(servers("127.0.0.2") %s)); };
log { source(s); destination(d); flags(flow-control); };
`

// A scenario is one way in which a server, or the relay, fails in the middle of the messages.
type scenario struct {
	name     string
	alone    bool   // syslog-ng cannot do it
	source   string // forwarder's driver; empty: network
	driver   string // of forwarder's destination; empty: network
	sink     string // how the first one behaves: slow, relp, slow relp; "none": it is not there yet
	failback bool
	disk     bool
	fault    func(t *trial) error // begins what is measured
	after    func(t *trial) error // when the next sink has got something
}

var scenarios = []scenario{
	{name: "kill -9", fault: killSink},
	{name: "kill -9, slow sink", sink: "slow", fault: killSink},
	{name: "kill -9, slow sink, RELP", alone: true, driver: "relp", sink: "slow relp", fault: killSink},
	{name: "kill -9, RELP", alone: true, driver: "relp", sink: "relp", fault: killSink},
	{name: "orderly close", fault: func(t *trial) error { return t.sinks[0].Process.Signal(syscall.SIGTERM) }},
	{name: "silence, dead_peer_timeout 3 s", fault: dropPackets, after: passPackets},
	{name: "hung for 8 s, then killed; stall_timeout 3 s, failback", failback: true, fault: hang, after: awaitDeath},
	{name: "failback, 3 probes each second", failback: true, sink: "none", fault: func(t *trial) error { return t.startSink(0, "") }},
	{name: "kill -9 of the relay, RELP to reliable disk buffer", alone: true, source: "relp", disk: true, fault: restart},
	{name: "kill -9 of the relay and the slow sink at once, RELP to reliable disk buffer", alone: true, source: "relp", sink: "slow", disk: true,
		fault: func(t *trial) error { return errors.Join(killSink(t), restart(t)) }},
}

// configure writes the configuration and returns how the relay is started.
func (t *trial) configure() (argv []string, err error) {
	file, text := filepath.Join(t.dir, "config"), ""
	if t.relay == "syslog-ng" {
		failback := ""
		if t.failback {
			failback = "failback(tcp-probe-interval(1) successful-probes-required(3))"
		}
		text = fmt.Sprintf(syslogNGConfig, failback)
		argv = []string{"syslog-ng", "-F", "--no-caps", "-f", file, "-R", t.dir + "/persist", "-c", t.dir + "/ctl", "--pidfile", t.dir + "/pid"}
	} else {
		failback, disk := "", ""
		if t.failback {
			failback = `failback = { tcp_probe_interval = "1s", successful_probes_required = 3 }`
		}
		if t.disk {
			disk = fmt.Sprintf("disk_buffer = { dir = %q, reliable = true }", t.dir+"/queue")
		}
		text = fmt.Sprintf(forwarderConfig, or(t.source, "network"), or(t.driver, "network"), disk, failback)
		argv = []string{t.binary, "run", "--config", file}
	}
	return argv, os.WriteFile(file, []byte(text), 0o600)
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func killSink(t *trial) error {
	kill(t.sinks[0])
	return nil
}

// dropPackets drops what comes for the first sink. The kernel of syslog-ng gives up after about 11 s instead of 16 minutes:
// nobody waits for that here.
func dropPackets(t *trial) error {
	retries := "15"
	if t.relay == "syslog-ng" {
		retries = "4"
	}
	return errors.Join(
		os.WriteFile("/proc/sys/net/ipv4/tcp_retries2", []byte(retries), 0),
		os.WriteFile("/proc/sys/net/ipv4/tcp_syn_retries", []byte("1"), 0),
		command("nft", "add table ip kad; add chain ip kad in { type filter hook input priority 0; }; add rule ip kad in ip daddr 127.0.0.1 tcp dport 2515 drop"))
}

func passPackets(*trial) error { return command("nft", "delete table ip kad") }

// hang stops the first sink, and kills it after 8 s.
func hang(t *trial) error {
	hung, sink := make(chan struct{}), t.sinks[0]
	t.hung = hung
	err := sink.Process.Signal(syscall.SIGSTOP)
	time.AfterFunc(8*time.Second, func() {
		defer close(hung)
		kill(sink)
	})
	return err
}

// awaitDeath waits for the end of the sink that hangs, which must not be used meanwhile.
func awaitDeath(t *trial) error {
	<-t.hung
	if t.relay == "forwarder" && len(t.files(1)) > 1 {
		return errors.New("it went back to the server that hung")
	}
	return nil
}

// restart kills the relay and starts it again.
func restart(t *trial) error {
	kill(t.daemon)
	return t.startRelay()
}

func kill(cmd *exec.Cmd) {
	if cmd != nil && cmd.Process != nil && cmd.ProcessState == nil {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
}
