package main

import (
	"bytes"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"

	"kad/integration/rsyslog"
)

// A peer is a program that is measured.
type peer struct {
	name    string
	version []string // a command that tells it in its first line
	rounds  int      // how often a run sends the messages: more for the fast ones, whose CPU time would be few ticks
	runs    func(w workload) bool
	argv    func(c settings) ([]string, error)
}

// Settings are what the configuration of a peer depends on.
type settings struct {
	In          int
	Outs        []int
	Connections int
	Window      int    // syslog-ng's log-iw-size, which it shares out to the connections
	Dir         string // with cert.pem and key.pem; the peer may write there
	Counted     bool
	Routed      bool
	TLS         bool
	UDP         bool
	Disk        bool
	Before      int // log paths that do not match
	Depth       int // of embedded log statements
}

// Out is one destination, for a configuration that repeats it.
func (c settings) Out(i int) any {
	return struct {
		Port         int
		Counted, TLS bool
	}{c.Outs[i], c.Counted, c.TLS}
}

//go:embed config
var configs embed.FS

// peersOf are the programs. Of several forwarders each has a number in its name.
func peersOf(forwarders []string) ([]peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	rsyslogd, err := rsyslog.Path()
	if err != nil {
		return nil, err
	}
	all := func(workload) bool { return true }
	peers := []peer{
		{"syslog-ng", []string{"syslog-ng", "-V"}, 1, all, func(c settings) ([]string, error) {
			file, err := configure("syslog-ng.conf", c)
			return []string{"syslog-ng", "-F", "--no-caps", "--worker-threads=2", "-f", file, "-R", filepath.Join(c.Dir, "persist"),
				"-p", filepath.Join(c.Dir, "pid"), "-c", filepath.Join(c.Dir, "ctl")}, err
		}},
		{"rsyslog", []string{rsyslogd, "-v"}, 1, all, func(c settings) ([]string, error) {
			file, err := configure("rsyslog.conf", c)
			return []string{rsyslogd, "-n", "-i", "NONE", "-f", file}, err
		}},
	}
	for i, path := range forwarders {
		name := "forwarder"
		if i > 0 {
			name += strconv.Itoa(i + 1)
		}
		peers = append(peers, peer{name, []string{path, "--version"}, 4, all, func(c settings) ([]string, error) {
			file, err := configure("forwarder.toml", c)
			return []string{path, "run", "--config", file}, err
		}})
	}
	lines := func(w workload) bool { return !w.counted && !w.tls && !w.disk && w.destinations == 1 }
	return append(peers, peer{"relay", nil, 4, lines, func(c settings) ([]string, error) {
		network := map[bool]string{true: "udp", false: "tcp"}[c.UDP]
		return []string{self, "relay", network, strconv.Itoa(c.In), strconv.Itoa(c.Outs[0])}, nil
	}}), nil
}

// configure writes a configuration into c.Dir.
func configure(name string, c settings) (string, error) {
	functions := template.FuncMap{"inc": func(i int) int { return i + 1 }, "repeat": strings.Repeat}
	t, err := template.New(name).Funcs(functions).ParseFS(configs, "config/"+name)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, c); err != nil {
		return "", err
	}
	file := filepath.Join(c.Dir, name)
	return file, os.WriteFile(file, text.Bytes(), 0o600)
}

// A process is a peer at work.
type process struct {
	*exec.Cmd
	port int
	log  bytes.Buffer
	done chan struct{}
}

// start starts p for a workload in dir, with the ports where it must send.
func (p peer) start(dir string, w workload, outs []int) (*process, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	conns := w.conns + w.idle + 2
	argv, err := p.argv(settings{
		In: ports[0], Outs: outs, Connections: conns, Window: max(100000, 100*conns), Dir: dir,
		Counted: w.counted, Routed: w.destinations > 1 && !w.fanout, TLS: w.tls, UDP: w.udp, Disk: w.disk, Before: w.before, Depth: w.depth,
	})
	if err != nil {
		return nil, err
	}
	run := &process{Cmd: exec.Command(argv[0], argv[1:]...), port: ports[0], done: make(chan struct{})}
	run.Env = append(os.Environ(), "TZ=:/etc/localtime") // without it syslog-ng looks at that file for most messages
	run.Stdout, run.Stderr = &run.log, &run.log
	run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := run.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(run.done)
		_ = run.Wait() // it ends by our signal
	}()
	return run, nil
}

// stop ends the process at once: what it still has to do is of no interest.
func (p *process) stop() {
	_ = p.Process.Kill() // it has ended: so be it
	<-p.done
}

// freePorts are n ports that nobody listens on.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("no free port: %w", err)
		}
		defer l.Close() // all at the end, or the next one would have the same port
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
