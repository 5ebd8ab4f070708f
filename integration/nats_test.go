package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"kad/integration/lab"
)

// natsServer is a server of a cluster.
var natsServer = lab.Program{Name: "nats-server", Argv: []string{"nats-server", "-c", "/run/nats.conf"}}

const natsConf = `server_name: %s
listen: "0.0.0.0:4222"
jetstream { store_dir: "/run/nats" }
cluster { name: "logs", listen: "0.0.0.0:6222", routes: ["nats://nats1:6222", "nats://nats2:6222", "nats://nats3:6222"] }
`

const natsServers = `driver = "nats"
servers = ["nats://nats1:4222", "nats://nats2:4222", "nats://nats3:4222"]
stream = "LOGS"
time_reopen = "100ms"
`

// The forwarder edge publishes what comes by TCP, center consumes it and sends it on.
const edgeConfig = `[options]
control_socket = "/run/edge.sock"
keep_hostname = true
[source.s]
driver = "network"
ip = "127.0.0.1"
port = 5140
[destination.d]
` + natsServers + `subject = "logs.$HOST.$PROGRAM"
[destination.d.disk_buffer]
dir = "/run/queue"
reliable = true
[destination.d.create_stream]
subjects = ["logs.>"]
replicas = 3
[log.l]
source = ["s"]
destination = ["d"]
flags = ["flow_control"]
`

const centerConfig = `[options]
control_socket = "/run/center.sock"
time_reopen = "100ms"
[source.s]
driver = "nats"
servers = ["nats://nats1:4222", "nats://nats2:4222", "nats://nats3:4222"]
stream = "LOGS"
consumer = "center"
[destination.d]
driver = "network"
address = "127.0.0.1"
port = 5150
[log.l]
source = ["s"]
destination = ["d"]
flags = ["flow_control"]
`

var (
	edge   = lab.Program{Name: "edge", Argv: []string{"forwarder", "run", "--config", "/run/edge.toml"}}
	center = lab.Program{Name: "center", Argv: []string{"forwarder", "run", "--config", "/run/center.toml"}}
)

var natsNames = []string{"nats1", "nats2", "nats3"}

func natsAddress(i int) string { return fmt.Sprintf("192.168.245.%d", 11+i) }

// A natsLab is three servers, and a host with edge, center, and what sends numbered messages and receives them.
type natsLab struct {
	*lab.Lab
	t       testing.TB
	servers map[string]*lab.Host
	relay   *lab.Host
}

// startCluster adds the servers to a lab and starts them.
func startCluster(l *lab.Lab) (servers map[string]*lab.Host) {
	l.Require("nats-server", "nft")
	servers = map[string]*lab.Host{}
	for i, name := range natsNames {
		servers[name] = l.AddHost(name, natsAddress(i)+"/24")
	}
	for name, h := range servers {
		h.WriteFile("/run/nats.conf", fmt.Appendf(nil, natsConf, name), 0o644)
		h.Start(natsServer)
	}
	return servers
}

func newNATSLab(t testing.TB, edgeConfig string) *natsLab {
	t.Helper()
	l := &natsLab{Lab: lab.New(t, lab.Options{Bin: bin}), t: t}
	l.servers = startCluster(l.Lab)
	l.relay = l.AddHost("relay", "192.168.245.20/24")
	l.relay.WriteFile("/run/edge.toml", []byte(edgeConfig), 0o644)
	l.relay.WriteFile("/run/center.toml", []byte(centerConfig), 0o644)
	l.relay.Start(edge)
	l.awaitHealthy()
	l.relay.Start(center)
	l.Eventually(time.Minute, func() error {
		s, err := l.status("center")
		if err == nil && (len(s.Sources) == 0 || s.Sources[0].Stream.Leader == "") {
			err = errors.New("center does not consume")
		}
		return err
	})
	return l
}

// A natsStatus is what forwarder status tells.
type natsStatus struct {
	Sources []struct {
		Stream natsStream `json:"stream"`
	} `json:"sources"`
	Destinations []struct {
		Sent   int        `json:"sent_messages"`
		Stream natsStream `json:"stream"`
	} `json:"destinations"`
}

type natsStream struct {
	Cluster  string `json:"cluster"`
	Server   string `json:"server"`
	Leader   string `json:"leader"`
	Messages int    `json:"messages"`
	Replicas []struct {
		Name      string `json:"name"`
		IsCurrent bool   `json:"current"`
	} `json:"replicas"`
}

func (s natsStream) leader() string { return s.Leader }

// server is the name of the server of the connection, which may be told by its address.
func (s natsStream) server() string {
	host := strings.TrimSuffix(strings.TrimPrefix(s.Server, "nats://"), ":4222")
	for i, name := range natsNames {
		if host == natsAddress(i) {
			return name
		}
	}
	return host
}

// status asks a forwarder on relay.
func (l *natsLab) status(name string) (s natsStatus, err error) {
	err = l.relay.Do(func() error {
		conn, err := net.Dial("unix", "/run/"+name+".sock")
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, "GET /v1/status HTTP/1.0\r\nHost: forwarder\r\n\r\n"); err != nil {
			return err
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		return json.NewDecoder(answer.Body).Decode(&s)
	})
	return s, err
}

// awaitHealthy waits until the stream has a leader and two replicas that are current, as edge sees it, and returns the leader.
func (l *natsLab) awaitHealthy() (leader *lab.Host) {
	l.t.Helper()
	l.Eventually(60*time.Second, func() error {
		s, err := l.status("edge")
		if err != nil {
			return err
		}
		stream := s.Destinations[0].Stream
		if leader = l.servers[stream.Leader]; leader == nil || stream.Cluster != "logs" || len(stream.Replicas) != 2 {
			return fmt.Errorf("stream %+v", stream)
		}
		for _, r := range stream.Replicas {
			if !r.IsCurrent {
				return fmt.Errorf("stream %+v", stream)
			}
		}
		return nil
	})
	return leader
}

// traffic is numbered messages through edge, the stream and center.
type traffic struct {
	l       *natsLab
	program lab.Program
}

func (l *natsLab) send(rate int, duration time.Duration) *traffic {
	p := lab.Program{Name: "send", Argv: []string{"forwarder", "send", "127.0.0.1:5140", "--sink", "tcp://127.0.0.1:5150",
		"--rate", strconv.Itoa(rate), "--duration", duration.String(), "--wait", "150s", "--format", "rfc5424", "-o", "json"}}
	l.relay.Start(p)
	return &traffic{l, p}
}

// A natsTally is what came of traffic.
type natsTally struct {
	Sent       int     `json:"sent"`
	Received   int     `json:"received"`
	Lost       int     `json:"lost"`
	Duplicated int     `json:"duplicated"`
	Seconds    float64 `json:"receive_seconds"`
}

// judge waits until all has come and wants it once.
func (tr *traffic) judge(limit time.Duration) (tally natsTally) {
	tr.l.t.Helper()
	tr.l.Eventually(limit, func() error {
		if _, ok := tr.l.relay.Running(tr.program); ok {
			return errors.New("send is not done")
		}
		return nil
	})
	text := tr.l.relay.Log(tr.program)
	if start := strings.Index(text, "{"); start < 0 || json.NewDecoder(strings.NewReader(text[start:])).Decode(&tally) != nil {
		tr.l.t.Fatalf("send says %s", text)
	}
	if tally.Sent == 0 || tally.Received != tally.Sent || tally.Lost > 0 || tally.Duplicated > 0 {
		s, err := tr.l.status("edge")
		tr.l.t.Errorf("not each message came once: %s\nstream %+v, %v\nedge:\n%s\ncenter:\n%s", text, s, err, tr.l.relay.Log(edge), tr.l.relay.Log(center))
	}
	return tally
}

// TestNATSCluster: a leader that is killed, a leader and the server of edge that are cut off, and a restart of one server after the
// other neither lose nor double a message.
func TestNATSCluster(t *testing.T) {
	l := newNATSLab(t, edgeConfig)
	traffic := l.send(1000, 15*time.Second)

	leader := l.awaitHealthy()
	leader.Kill(natsServer)
	l.await("leader", leader.Name, natsStream.leader)
	leader.Start(natsServer)

	for _, role := range []struct {
		name string
		of   func(natsStream) string
	}{{"leader", natsStream.leader}, {"server of edge", natsStream.server}} {
		l.awaitHealthy()
		before, start := l.await(role.name, "", role.of), time.Now()
		cut(t, l.servers[before])
		after := l.await(role.name, before, role.of)
		heal(t, l.servers[before])
		t.Logf("%s: %s took over from %s within %v", role.name, after, before, time.Since(start).Round(time.Second))
	}
	for _, name := range natsNames {
		l.awaitHealthy()
		l.servers[name].Restart(natsServer)
	}
	tally := traffic.judge(4 * time.Minute)
	t.Logf("%+v", tally)
}

// await waits until edge sees that another server than before is something of the stream's, and returns its name.
func (l *natsLab) await(what, before string, of func(natsStream) string) (name string) {
	l.t.Helper()
	l.Eventually(60*time.Second, func() error {
		s, err := l.status("edge")
		if err != nil {
			return err
		}
		if name = of(s.Destinations[0].Stream); l.servers[name] == nil || name == before {
			return fmt.Errorf("%s is %q", what, name)
		}
		return nil
	})
	return name
}

// cut has a host's packets dropped.
func cut(t testing.TB, h *lab.Host) {
	t.Helper()
	r := h.Run("nft", `table inet cut {
		chain in { type filter hook input priority 0; iifname "eth0" drop; }
		chain out { type filter hook output priority 0; oifname "eth0" drop; }
	}`)
	if r.Code != 0 {
		t.Fatalf("nft: %+v", r)
	}
}

func heal(t testing.TB, h *lab.Host) {
	t.Helper()
	if r := h.Run("nft", "delete table inet cut"); r.Code != 0 {
		t.Fatalf("nft: %+v", r)
	}
}

// TestNATSExample runs the example: what the pairs of three sites publish is all in the archive, and the errors of it are in the
// alerts.
func TestNATSExample(t *testing.T) {
	l := lab.New(t, lab.Options{Bin: bin})
	startCluster(l)
	example := func(host *lab.Host, name string) {
		config, err := os.ReadFile("../examples/forwarder/" + name + ".toml")
		if err != nil {
			t.Fatal(err)
		}
		host.WriteFile("/run/forwarder.toml", config, 0o644)
		host.Start(lab.Program{Name: name, Argv: []string{"forwarder", "run", "--config", "/run/forwarder.toml"}})
	}
	archive, alerts := l.AddHost("archive", "192.168.245.31/24"), l.AddHost("alerts", "192.168.245.32/24")
	example(archive, "nats-archive") // before there is a stream
	example(alerts, "nats-alerts")
	for i, name := range []string{"site1", "site2", "site3"} {
		for j, relay := range []string{"a", "b"} {
			host := l.AddHost(name+relay, fmt.Sprintf("192.168.245.%d/24", 21+2*i+j))
			example(host, "nats-site")
			host.AwaitListener("tcp", "127.0.0.1:514")
			if err := host.Do(func() error { return sendSyslog(name, 100) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	lines := func(h *lab.Host, file string, want int) {
		t.Helper()
		l.Eventually(60*time.Second, func() error {
			text, err := h.ReadFile(file)
			if n := bytes.Count(text, []byte("\n")); err == nil && n != want {
				err = fmt.Errorf("%s has %d lines, want %d", file, n, want)
			}
			return err
		})
	}
	for _, name := range []string{"site1", "site2", "site3"} {
		lines(archive, "/var/log/hosts/"+name+".log", 200)
	}
	lines(alerts, "/var/log/alerts.log", 300)
}

// sendSyslog sends messages by TCP, every other one an error.
func sendSyslog(host string, count int) error {
	conn, err := net.Dial("tcp", "127.0.0.1:514")
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := range count {
		if _, err := fmt.Fprintf(conn, "<%d>Oct 11 22:14:15 %s app: message %d\n", 11+i%2*3, host, i); err != nil {
			return err
		}
	}
	return nil
}
