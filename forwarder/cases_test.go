package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kad/pkg/testneed"
)

// TestMain lets the test binary be forwarder itself: the cases start it as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("FORWARDER_IS_MAIN") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// fixedLater are the cases whose expectation is that of syslog-ng 4.1: 3.38 has bugs there.
var fixedLater = map[string]bool{"junction-filter-after": true, "if-inner-filter-fails": true, "if-filter-after": true}

// TestCases converts the configuration of each case, runs it, sends the input and compares what arrives.
func TestCases(t *testing.T) { runCases(t, nil, ourselves(t)) }

// TestCasesOfSyslogNg proves the expectations on the program they come from.
func TestCasesOfSyslogNg(t *testing.T) { runCases(t, fixedLater, syslogNg(t)) }

// ourselves is forwarder, with the configuration converted.
func ourselves(t *testing.T) program {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program{
		env: []string{"FORWARDER_IS_MAIN=1"},
		convert: func(r *caseRun) []string {
			return []string{self, "convert", r.path("syslog-ng.conf"), "-o", r.path("config.toml")}
		},
		start: func(r *caseRun) []string { return []string{self, "run", "--config", r.path("config.toml")} },
	}
}

// syslogNg is the installed syslog-ng; without one the test is skipped.
func syslogNg(t *testing.T) program {
	bin := testneed.Program(t, "syslog-ng")
	return program{start: func(r *caseRun) []string {
		return []string{bin, "-F", "--no-caps", "-f", r.path("syslog-ng.conf"), "-p", r.path("run.pid"), "-R", r.path("run.persist"), "-c", r.path("run.ctl")}
	}}
}

// A program is what a case runs.
type program struct {
	env     []string
	convert func(r *caseRun) []string // nil: there is nothing to convert
	start   func(r *caseRun) []string
}

// A step sends one input.
type step struct {
	To    string  // tcp:PORTn, udp:PORTn, unix-stream:NAME, unix-dgram:NAME, file:NAME
	File  string  // "" is input
	Split string  // lines, whole, bytes
	Bind  string  // the sender's address
	Keep  bool    // the connection stays open to the end
	After bool    // a file is written after the start
	Pause float64 // seconds
}

// A testCase is case.json.
type testCase struct {
	Send  []step
	Sinks map[string]struct {
		Proto string
		Port  string
		Delay float64
	}
	Compare     map[string]string // exact, sorted, count, json
	ExpectError bool              `json:"expect_error"`
	Env         map[string]string
	Settle      float64 // seconds without output after which nothing more is expected
	Quiet       float64 // seconds that a complete output must stay as it is
}

// fewAtATime keeps the machine usable while the cases run, which mostly wait.
var fewAtATime = make(chan struct{}, 4)

// casesOf are the configurations of all cases: testdata/routing has those of the behaviour that is promised, a question
// each, testdata/routing-more those of many small questions.
func casesOf(t *testing.T) []string {
	confs, err := filepath.Glob("testdata/routing*/*/syslog-ng.conf")
	if err != nil || len(confs) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	return confs
}

func runCases(t *testing.T, skip map[string]bool, p program) {
	for _, conf := range casesOf(t) {
		dir := filepath.Dir(conf)
		if skip[filepath.Base(dir)] {
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			fewAtATime <- struct{}{}
			defer func() { <-fewAtATime }()
			newRun(t, dir).execute(p)
		})
	}
}

// A caseRun is one case on one program.
type caseRun struct {
	t        *testing.T
	source   string // the case
	dir      string // of its own
	test     testCase
	ports    map[string]int
	sinks    map[string]*sink
	kept     []net.Conn
	deadline time.Time
}

func newRun(t *testing.T, source string) *caseRun {
	return &caseRun{
		t: t, source: source, dir: t.TempDir(), ports: map[string]int{}, sinks: map[string]*sink{}, deadline: time.Now().Add(2 * time.Minute),
	}
}

func (r *caseRun) path(name string) string { return filepath.Join(r.dir, name) }

func (r *caseRun) read(name string) []byte {
	b, err := os.ReadFile(filepath.Join(r.source, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *caseRun) prepare() {
	r.test = testCase{Send: []step{{To: "tcp:PORT1"}}, Env: map[string]string{"TZ": "UTC"}, Settle: 10, Quiet: 0.5}
	if b, err := os.ReadFile(filepath.Join(r.source, "case.json")); err == nil {
		if err := json.Unmarshal(b, &r.test); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := os.Mkdir(r.path("out"), 0o755); err != nil {
		r.t.Fatal(err)
	}
	aux := filepath.Join(r.source, "aux")
	if _, err := os.Stat(aux); err == nil {
		if err := os.CopyFS(r.dir, os.DirFS(aux)); err != nil {
			r.t.Fatal(err)
		}
	}
	conf := regexp.MustCompile(`@@[A-Z0-9]+@@`).ReplaceAllFunc(r.read("syslog-ng.conf"), func(b []byte) []byte {
		if name := strings.Trim(string(b), "@"); name != "DIR" {
			return strconv.AppendInt(nil, int64(r.port(name)), 10)
		}
		return []byte(r.dir)
	})
	if err := os.WriteFile(r.path("syslog-ng.conf"), conf, 0o600); err != nil {
		r.t.Fatal(err)
	}
	for name, s := range r.test.Sinks {
		r.sinks[name] = newSink(r.t, s.Proto, r.port(s.Port), time.Duration(s.Delay*float64(time.Second)))
	}
}

// port is the free port that has that name in the case.
func (r *caseRun) port(name string) int {
	if r.ports[name] == 0 {
		r.ports[name] = testneed.Port(r.t)
	}
	return r.ports[name]
}

func (r *caseRun) command(p program, argv []string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), p.env...)
	for k, v := range r.test.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	return cmd
}

// execute drives the case and compares.
func (r *caseRun) execute(p program) {
	if proc := r.drive(p); proc != nil {
		r.compare(proc)
	}
}

// drive does all that the case says but compare. It returns nil if the configuration was refused, as it should be.
func (r *caseRun) drive(p program) *process {
	r.prepare()
	if p.convert != nil {
		out, err := r.command(p, p.convert(r)).CombinedOutput()
		if err != nil {
			if !r.test.ExpectError {
				r.t.Fatalf("conversion: %v\n%s", err, out)
			}
			return nil
		}
	}
	for _, s := range r.test.Send {
		if strings.HasPrefix(s.To, "file:") && !s.After {
			r.send(s)
		}
	}
	proc := r.start(p)
	if r.test.ExpectError {
		select {
		case <-proc.ended:
			if proc.err == nil {
				r.t.Fatal("the configuration was accepted")
			}
		case <-time.After(time.Minute):
			r.t.Fatal("the configuration was accepted")
		}
		return nil
	}
	r.waitReady(proc)
	steps := slices.DeleteFunc(slices.Clone(r.test.Send), func(s step) bool { return strings.HasPrefix(s.To, "file:") && !s.After })
	for i, s := range steps {
		r.send(s)
		time.Sleep(time.Duration(s.Pause * float64(time.Second)))
		if i+1 < len(steps) {
			r.untilStill(250 * time.Millisecond)
		}
	}
	for _, s := range r.sinks {
		s.open()
	}
	return proc
}

// A process is a program that runs.
type process struct {
	ended chan struct{}
	err   error // after ended
	log   string
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// tail is the end of what the program said.
func (p *process) tail() string {
	b, _ := os.ReadFile(p.log)
	return string(b[max(0, len(b)-1500):])
}

func (r *caseRun) start(p program) *process {
	cmd := r.command(p, p.start(r))
	proc := &process{ended: make(chan struct{}), log: r.path("program.log")}
	log, err := os.Create(proc.log)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		proc.err = cmd.Wait()
		close(proc.ended)
	}()
	r.t.Cleanup(func() {
		for _, c := range r.kept {
			c.Close()
		}
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-proc.ended:
		case <-time.After(time.Minute):
			r.t.Errorf("the program does not end: %s", proc.tail())
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-proc.ended
		}
	})
	return proc
}

// waitReady waits until all addresses of the case are bound.
func (r *caseRun) waitReady(proc *process) {
	ready := func() bool {
		for _, s := range r.test.Send {
			kind, where, _ := strings.Cut(s.To, ":")
			switch {
			case kind == "tcp" || kind == "udp":
				if !bound(kind, r.port(where)) {
					return false
				}
			case strings.HasPrefix(kind, "unix"):
				if _, err := os.Stat(r.path(where)); err != nil {
					return false
				}
			}
		}
		return true
	}
	for end := time.Now().Add(time.Minute); !ready(); time.Sleep(20 * time.Millisecond) {
		if !proc.alive() {
			r.t.Fatalf("the program ended at once: %v\n%s", proc.err, proc.tail())
		}
		if time.Now().After(end) {
			r.t.Fatalf("not listening after a minute: %s", proc.tail())
		}
	}
}

// bound asks the kernel's tables.
func bound(proto string, port int) bool {
	suffix := fmt.Sprintf(":%04X", port)
	for _, file := range []string{proto, proto + "6"} {
		b, _ := os.ReadFile("/proc/net/" + file)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > 3 && strings.HasSuffix(f[1], suffix) && (proto == "udp" || f[3] == "0A") {
				return true
			}
		}
	}
	return false
}

func (r *caseRun) send(s step) {
	kind, where, _ := strings.Cut(s.To, ":")
	file := s.File
	if file == "" {
		file = "input"
	}
	data := r.read(file)
	if kind == "file" {
		f, err := os.OpenFile(r.path(where), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			r.t.Fatal(err)
		}
		f.Close()
		return
	}
	conn := r.dial(kind, where, s.Bind)
	datagrams := kind == "udp" || kind == "unix-dgram"
	for _, part := range parts(data, s.Split, datagrams) {
		if _, err := conn.Write(part); err != nil {
			break // the program may close a connection with a bad frame
		}
		if s.Split != "whole" && s.Split != "" || datagrams {
			time.Sleep(2 * time.Millisecond)
		}
	}
	if s.Keep {
		r.kept = append(r.kept, conn)
		return
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok && !datagrams {
		c.CloseWrite()
		conn.SetReadDeadline(time.Now().Add(time.Second))
		io.Copy(io.Discard, conn)
	}
	conn.Close()
}

func (r *caseRun) dial(kind, where, bind string) net.Conn {
	d := net.Dialer{Timeout: time.Minute}
	network, addr := kind, ""
	switch kind {
	case "tcp", "udp":
		addr = fmt.Sprintf("127.0.0.1:%d", r.port(where))
		if bind != "" && kind == "tcp" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(bind)}
		} else if bind != "" {
			d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(bind)}
		}
	case "unix-dgram":
		network, addr = "unixgram", r.path(where)
	case "unix-stream":
		network, addr = "unix", r.path(where)
	}
	conn, err := d.Dial(network, addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

func parts(data []byte, split string, datagrams bool) [][]byte {
	switch {
	case split == "lines" || split == "" && datagrams:
		var lines [][]byte
		for line := range bytes.Lines(data) {
			if datagrams {
				line = bytes.TrimSuffix(line, []byte("\n"))
			}
			lines = append(lines, line)
		}
		return lines
	case split == "bytes":
		return bytes.SplitAfter(data, nil)
	}
	return [][]byte{data}
}

// snapshot is what has arrived, by destination; a slash in a file's name is written as two underscores.
func (r *caseRun) snapshot() map[string]string {
	got := map[string]string{}
	out := r.path("out")
	filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		name, _ := filepath.Rel(out, path)
		b, _ := os.ReadFile(path)
		got[strings.ReplaceAll(name, "/", "__")] = string(b)
		return nil
	})
	for name, s := range r.sinks {
		got[name] = s.received()
	}
	return got
}

// untilStill waits until nothing has arrived for d, by looks and not by the clock: that goes on while the machine stalls.
func (r *caseRun) untilStill(d time.Duration) {
	const pause = 20 * time.Millisecond
	last := r.snapshot()
	for still := time.Duration(0); still < d && time.Now().Before(r.deadline); still += pause {
		time.Sleep(pause)
		if now := r.snapshot(); !maps.Equal(now, last) {
			last, still = now, 0
		}
	}
}

func (r *caseRun) expected() map[string]string {
	want := map[string]string{}
	files, _ := os.ReadDir(filepath.Join(r.source, "expect"))
	for _, f := range files {
		want[f.Name()] = string(r.read("expect/" + f.Name()))
	}
	return want
}

// compare waits until all that is expected has arrived and nothing else comes.
func (r *caseRun) compare(proc *process) {
	want := r.expected()
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	quiet := seconds(r.test.Quiet)
	if !slices.ContainsFunc(slices.Collect(maps.Values(want)), func(s string) bool { return s != "" }) {
		quiet = max(quiet, 1500*time.Millisecond)
	}
	var last map[string]string
	var bad []string
	changed, good := time.Now(), time.Time{}
	for {
		got := r.snapshot()
		if !maps.Equal(got, last) {
			last, changed = got, time.Now()
		}
		bad = r.differences(want, got)
		if len(bad) > 0 {
			good = time.Time{}
			if time.Since(changed) > seconds(r.test.Settle) || time.Now().After(r.deadline) {
				break
			}
		} else if good.IsZero() {
			good = time.Now()
		} else if time.Since(good) >= quiet {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !proc.alive() {
		r.t.Errorf("the program died: %v\n%s", proc.err, proc.tail())
	}
	for _, b := range bad {
		r.t.Error(b)
	}
}

func (r *caseRun) differences(want, got map[string]string) (bad []string) {
	names := maps.Clone(want)
	maps.Copy(names, got)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		w, g := r.norm(name, want[name]), r.norm(name, got[name])
		if w != g {
			bad = append(bad, fmt.Sprintf("%s: got\n%swant\n%s", name, shown(g), shown(w)))
		}
	}
	return bad
}

func shown(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		fmt.Fprintf(&b, "  %q\n", line)
	}
	return b.String()
}

func (r *caseRun) norm(name, text string) string {
	lines := slices.Collect(strings.Lines(text))
	switch r.test.Compare[name] {
	case "sorted":
		slices.Sort(lines)
	case "count":
		return fmt.Sprintf("%d lines\n", strings.Count(text, "\n"))
	case "json":
		for i, line := range lines {
			var v any
			if json.Unmarshal([]byte(line), &v) == nil {
				b, _ := json.Marshal(v)
				lines[i] = string(b) + "\n"
			}
		}
	}
	return strings.Join(lines, "")
}

// A sink is a server that keeps what it receives.
type sink struct {
	t     *testing.T
	proto string
	addr  string
	delay time.Duration // after the last send
	mu    sync.Mutex    // guards data
	data  []byte
}

func newSink(t *testing.T, proto string, port int, delay time.Duration) *sink {
	s := &sink{t: t, proto: proto, addr: fmt.Sprintf("127.0.0.1:%d", port), delay: delay}
	if delay == 0 {
		s.listen()
	}
	return s
}

// open lets a late sink listen.
func (s *sink) open() {
	if s.delay > 0 {
		time.Sleep(s.delay)
		s.listen()
	}
}

func (s *sink) listen() {
	if s.proto == "udp" {
		c, err := net.ListenPacket("udp", s.addr)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { c.Close() })
		go s.datagrams(c)
		return
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.stream(c)
		}
	}()
}

func (s *sink) datagrams(c net.PacketConn) {
	b := make([]byte, 65536)
	for {
		n, _, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		if n == 0 || b[n-1] != '\n' {
			s.add(append(b[:n:n], '\n'))
		} else {
			s.add(b[:n])
		}
	}
}

func (s *sink) stream(c net.Conn) {
	defer c.Close()
	b := make([]byte, 65536)
	for {
		n, err := c.Read(b)
		s.add(b[:n])
		if err != nil {
			return
		}
	}
}

func (s *sink) add(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = append(s.data, b...)
}

func (s *sink) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.data)
}
