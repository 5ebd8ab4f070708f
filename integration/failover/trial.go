package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type result struct {
	lost, twice int
	took        time.Duration // from the fault until the sink that is next got something
}

// A trial is a relay between a feed and two sinks.
type trial struct {
	*bench
	scenario
	relay, dir string
	sinks      [2]*exec.Cmd
	daemon     *exec.Cmd
	hung       chan struct{} // closed when the sink that hangs is killed
}

// limit is for what has to happen at last.
const limit = 40 * time.Second

func (t *trial) run() (r result, err error) {
	next := 1 // the sink that is to take over
	if t.sink == "none" {
		next = 0
	} else if err := t.startSink(0, t.sink); err != nil {
		return r, err
	}
	second := ""
	if t.driver == "relp" {
		second = "relp"
	}
	if err := errors.Join(t.startSink(1, second), t.startRelay()); err != nil {
		return r, err
	}
	f, err := t.feed()
	if err != nil {
		return r, err
	}
	time.Sleep(time.Second)
	before := time.Now()
	if err := t.fault(t); err != nil {
		return r, err
	}
	if t.disk && t.sinks[0].ProcessState == nil { // the same sink goes on
		next = 0
	}
	if r.took, err = t.await(next, before); err != nil {
		return r, err
	}
	if t.after != nil {
		if err := t.after(t); err != nil {
			return r, err
		}
	}
	if !t.disk {
		time.Sleep(time.Second)
	}
	sent, err := f.stop()
	if err != nil {
		return r, err
	}
	r.lost, r.twice, err = t.count(sent)
	return r, err
}

func (t *trial) end() {
	kill(t.daemon)
	for _, s := range t.sinks {
		kill(s)
	}
}

func (t *trial) startSink(i int, behaviour string) error {
	cmd := t.command("/proc/self/exe", "sink", fmt.Sprintf("127.0.0.%d:%d", i+1, portOut), filepath.Join(t.dir, strconv.Itoa(i)), behaviour)
	t.sinks[i] = cmd
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	_, err = bufio.NewReader(out).ReadString('\n') // it listens
	return err
}

func (t *trial) startRelay() error {
	argv, err := t.configure()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(t.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	t.daemon = t.command(argv[0], argv[1:]...)
	t.daemon.Stdout, t.daemon.Stderr = log, log
	return t.daemon.Start()
}

func (t *trial) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// files are those of a sink's connections that brought something.
func (t *trial) files(sink int) []string {
	list, _ := filepath.Glob(filepath.Join(t.dir, strconv.Itoa(sink)+"-*")) // the pattern is good
	return list
}

// await waits until a sink got the first bytes of a connection that began after a time, and tells how long after that.
func (t *trial) await(sink int, since time.Time) (time.Duration, error) {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, name := range t.files(sink) {
			data, err := os.ReadFile(name)
			if err != nil {
				return 0, err
			}
			text, _, whole := strings.Cut(string(data[:min(32, len(data))]), "\n")
			stamp, err := strconv.ParseInt(text, 10, 64)
			if took := time.Unix(0, stamp).Sub(since); whole && err == nil && took > 0 {
				return took, nil
			}
		}
	}
	return 0, fmt.Errorf("sink %d gets nothing", sink+1)
}

// count waits until nothing more comes, and counts how many of the numbers below sent came never, and again.
func (t *trial) count(sent int) (lost, twice int, err error) {
	size, since := int64(-1), time.Now()
	for {
		time.Sleep(200 * time.Millisecond)
		now := t.size()
		if now != size {
			size, since = now, time.Now()
			continue
		}
		lost, twice, err = t.tally(sent)
		if err != nil || lost == 0 || time.Since(since) > 4*time.Second {
			return lost, twice, err
		}
	}
}

func (t *trial) size() (n int64) {
	for _, name := range append(t.files(0), t.files(1)...) {
		if info, err := os.Stat(name); err == nil {
			n += info.Size()
		}
	}
	return n
}

func (t *trial) tally(sent int) (lost, twice int, err error) {
	times := make([]int, sent)
	for _, name := range append(t.files(0), t.files(1)...) {
		data, err := os.ReadFile(name)
		if err != nil {
			return 0, 0, err
		}
		for line := range bytes.Lines(data[:bytes.LastIndexByte(data, '\n')+1]) {
			_, text, _ := bytes.Cut(line, []byte(mark))
			if n, err := strconv.Atoi(string(text[:min(digits, len(text))])); err == nil && n < sent {
				times[n]++
			}
		}
	}
	for _, n := range times {
		if n == 0 {
			lost++
		}
		twice += max(0, n-1)
	}
	return lost, twice, nil
}

func dial(port int) (conn net.Conn, err error) {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}
