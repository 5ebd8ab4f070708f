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
	"syscall"
	"text/template"
	"time"
)

// A peer is a program that is measured.
type peer struct {
	name   string
	rounds int // how often a run sends the messages: more for the fast ones, whose CPU time would be few ticks
	runs   func(w workload) bool
	argv   func(dir string, c settings) ([]string, error)
}

// Settings are what the configuration of a peer depends on.
type settings struct {
	In          int
	Outs        []int
	Connections int
	Window      int // syslog-ng's log-iw-size, which it shares out to the connections
	Counted     bool
	Routed      bool
}

//go:embed config
var configs embed.FS

// peersOf are the programs. Of several forwarders each has a number in its name.
func peersOf(forwarders []string) ([]peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	all := func(workload) bool { return true }
	peers := []peer{{"syslog-ng", 1, all, func(dir string, c settings) ([]string, error) {
		file, err := configure(dir, "syslog-ng.conf", c)
		return []string{"syslog-ng", "-F", "--no-caps", "--worker-threads=2", "-f", file, "-R", filepath.Join(dir, "persist"),
			"-p", filepath.Join(dir, "pid"), "-c", filepath.Join(dir, "ctl")}, err
	}}}
	for i, path := range forwarders {
		name := "forwarder"
		if i > 0 {
			name += strconv.Itoa(i + 1)
		}
		peers = append(peers, peer{name, 4, all, func(dir string, c settings) ([]string, error) {
			file, err := configure(dir, "forwarder.toml", c)
			return []string{path, "run", "--config", file}, err
		}})
	}
	lines := func(w workload) bool { return !w.counted && w.destinations == 1 }
	return append(peers, peer{"relay", 4, lines, func(_ string, c settings) ([]string, error) {
		return []string{self, "relay", strconv.Itoa(c.In), strconv.Itoa(c.Outs[0])}, nil
	}}), nil
}

// configure writes a configuration into dir.
func configure(dir, name string, c settings) (string, error) {
	functions := template.FuncMap{"inc": func(i int) int { return i + 1 }}
	t, err := template.New(name).Funcs(functions).ParseFS(configs, "config/"+name)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, c); err != nil {
		return "", err
	}
	file := filepath.Join(dir, name)
	return file, os.WriteFile(file, text.Bytes(), 0o600)
}

// A process is a peer at work.
type process struct {
	*exec.Cmd
	port int
	log  bytes.Buffer
	done chan struct{}
}

// start starts p for a workload, with the ports where it must send.
func (p peer) start(dir string, w workload, outs []int) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	conns := w.conns + w.idle + 2
	argv, err := p.argv(dir, settings{In: port, Outs: outs, Connections: conns, Window: max(100000, 100*conns), Counted: w.counted, Routed: w.destinations > 1})
	if err != nil {
		return nil, err
	}
	run := &process{Cmd: exec.Command(argv[0], argv[1:]...), port: port, done: make(chan struct{})}
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

// stop ends the process.
func (p *process) stop() {
	_ = p.Process.Signal(syscall.SIGTERM) // it has ended: so be it
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.Process.Kill()
		<-p.done
	}
}

// freePort is a port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("no free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
