package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kad/pkg/testneed"
)

// A service is forwarder as a process of its own.
type service struct {
	*exec.Cmd
	t      *testing.T
	config string
	log    string
}

// serve starts forwarder with a configuration and waits until it has said that it is ready.
func serve(t *testing.T, text string, env ...string) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{t: t, config: filepath.Join(dir, "forwarder.toml"), log: filepath.Join(dir, "log")}
	s.write(text)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { notify.Close() })
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.Cmd = exec.Command(self, "run", "--config", s.config)
	s.Env = append(append(os.Environ(), "FORWARDER_IS_MAIN=1", "NOTIFY_SOCKET="+filepath.Join(dir, "notify")), env...)
	s.Stdout, s.Stderr = log, log
	s.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.ProcessState == nil {
			_ = s.Process.Kill()
			_ = s.Wait()
		}
	})
	buf := make([]byte, 1024)
	_ = notify.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := notify.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Fatalf("%v, got %q, want READY=1\n%s", err, buf[:n], s.said())
	}
	_ = notify.SetReadDeadline(time.Time{})
	go func() { // forwarder waits for somebody who reads
		for {
			if _, err := notify.Read(buf); err != nil {
				return
			}
		}
	}()
	return s
}

func (s *service) write(text string) {
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) said() string {
	b, _ := os.ReadFile(s.log)
	return string(b)
}

// signal sends a signal and waits until forwarder has said text once more.
func (s *service) signal(sig syscall.Signal, text string) {
	s.t.Helper()
	before := strings.Count(s.said(), text)
	if err := s.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
	if !happens(func() bool { return strings.Count(s.said(), text) > before }) {
		s.t.Fatalf("%v is not answered by %q\n%s", sig, text, s.said())
	}
}

// end stops forwarder, which must have lost nothing.
func (s *service) end() {
	s.t.Helper()
	_ = s.Process.Signal(syscall.SIGTERM)
	if err := s.Wait(); err != nil {
		s.t.Errorf("%v\n%s", err, s.said())
	}
}

func happens(done func() bool) bool {
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// A collector is a server that keeps all lines.
type collector struct {
	net.Listener
	connections atomic.Int64
	lines       chan string
}

func collect(t *testing.T) *collector {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &collector{Listener: l, lines: make(chan string, 1<<20)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.connections.Add(1)
			go func() {
				defer conn.Close()
				for s := bufio.NewScanner(conn); s.Scan(); {
					c.lines <- s.Text()
				}
			}()
		}
	}()
	return c
}

func (c *collector) port() int { return c.Addr().(*net.TCPAddr).Port }

// TestReload changes the configuration again and again while messages come in: each must arrive once at each destination,
// over the connections of the beginning.
func TestReload(t *testing.T) {
	server, port, dir := collect(t), testneed.Port(t), t.TempDir()
	config := func(file, tag string) string {
		return fmt.Sprintf(`
[source.tcp]
driver = "network"
ip = "127.0.0.1"
port = %d
[source.unix]
driver = "unix_dgram"
path = "%s/socket"
tags = [%q]
[destination.server]
driver = "network"
address = "127.0.0.1"
port = %d
template = "$MSG\n"
[destination.file]
driver = "file"
path = "%s/%s"
template = "$MSG\n"
[log.%s]
source = ["tcp", "unix"]
destination = ["server", "file"]
flags = ["flow_control"]
`, port, dir, tag, server.port(), dir, file, tag)
	}
	s := serve(t, config("a", "one"))
	tcp, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	unix, err := net.Dial("unixgram", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	stop := make(chan struct{})
	sent := make(chan []string)
	send := func(conn net.Conn, host, name string) {
		var messages []string
		for i := 0; ; i++ {
			m := fmt.Sprintf("%s%d", name, i)
			if _, err := fmt.Fprintf(conn, "<13>Oct 11 22:14:15 %sapp: %s\n", host, m); err != nil {
				t.Errorf("%s: %v", m, err)
				sent <- messages
				return
			}
			messages = append(messages, m)
			select {
			case <-stop:
				sent <- messages
				return
			case <-time.After(50 * time.Microsecond):
			}
		}
	}
	go send(tcp, "h ", "t")
	go send(unix, "", "u")
	for range 5 {
		s.write(config("b", "two"))
		s.signal(syscall.SIGHUP, "configuration is loaded")
		s.write(`[source.tcp]`)
		s.signal(syscall.SIGHUP, "the one before goes on")
		s.write(config("a", "one"))
		s.signal(syscall.SIGHUP, "configuration is loaded")
	}
	close(stop)
	want := append(<-sent, <-sent...)
	happens(func() bool { return len(server.lines) >= len(want) }) // what is missing is told below
	s.end()
	got := map[string]int{}
	for len(server.lines) > 0 {
		got[<-server.lines]++
	}
	compareCounts(t, "server", got, want)
	got = map[string]int{}
	for _, file := range []string{"a", "b"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			got[string(bytes.TrimSpace(line))]++
		}
	}
	compareCounts(t, "files", got, want)
	if n := server.connections.Load(); n != 1 {
		t.Errorf("%d connections to the server, want the first one kept", n)
	}
}

// TestReloadChangedSource changes a source again and again while a client sends that connects anew when its connection ends:
// each message arrives once, in the order in which it was sent.
func TestReloadChangedSource(t *testing.T) {
	server, port := collect(t), testneed.Port(t)
	config := func(tag string) string {
		return fmt.Sprintf(`
[source.tcp]
driver = "network"
ip = "127.0.0.1"
port = %d
tags = [%q]
[destination.server]
driver = "network"
address = "127.0.0.1"
port = %d
template = "$MSG\n"
[log.all]
source = ["tcp"]
destination = ["server"]
flags = ["flow_control"]
`, port, tag, server.port())
	}
	s := serve(t, config("0"))
	stop, sent := make(chan struct{}), make(chan []string)
	go func() { sent <- sendAnew(t, fmt.Sprintf("127.0.0.1:%d", port), stop) }()
	for i := range 10 {
		s.write(config(fmt.Sprint(i + 1)))
		s.signal(syscall.SIGHUP, "configuration is loaded")
		time.Sleep(20 * time.Millisecond) // for the client to send something
	}
	close(stop)
	want := <-sent
	s.end()
	happens(func() bool { return len(server.lines) >= len(want) }) // what is missing is told below
	got := map[string]int{}
	for len(server.lines) > 0 {
		line := <-server.lines
		if i := len(got); i < len(want) && line != want[i] {
			t.Errorf("got %s, want %s", line, want[i])
		}
		got[line]++
	}
	compareCounts(t, "server", got, want)
}

// sendAnew sends messages until stop is closed, over a new connection each time that one ends.
func sendAnew(t *testing.T, addr string, stop chan struct{}) (messages []string) {
	for {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return messages
		}
		ended := make(chan struct{})
		go func() {
			_, _ = conn.Read(make([]byte, 1)) // it waits for the end
			close(ended)
		}()
		for isOpen := true; isOpen; {
			m := fmt.Sprint("m", len(messages))
			if _, err := fmt.Fprintf(conn, "<13>Oct 11 22:14:15 h app: %s\n", m); err != nil {
				t.Error(err)
			}
			messages = append(messages, m)
			select {
			case <-ended:
				isOpen = false
			case <-stop:
				_ = conn.Close()
				return messages
			case <-time.After(50 * time.Microsecond):
			}
		}
		_ = conn.Close()
	}
}

func compareCounts(t *testing.T, where string, got map[string]int, want []string) {
	t.Helper()
	var wrong []string
	for _, m := range want {
		if got[m] != 1 {
			wrong = append(wrong, fmt.Sprintf("%s %d times", m, got[m]))
		}
	}
	if len(wrong) > 0 || len(got) != len(want) {
		t.Errorf("%s: got %d messages, want %d, each once: %.500q", where, len(got), len(want), wrong)
	}
}

// TestReopen: after SIGUSR1 the file of that name is another one.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, fmt.Sprintf(`
[source.unix]
driver = "unix_dgram"
path = "%s/socket"
[destination.file]
driver = "file"
path = "%s/log"
template = "$MSG\n"
[log.all]
source = ["unix"]
destination = ["file"]
`, dir, dir))
	conn, err := net.Dial("unixgram", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send := func(text, file string) {
		t.Helper()
		fmt.Fprintf(conn, "<13>Oct 11 22:14:15 app: %s\n", text)
		if !happens(func() bool {
			b, _ := os.ReadFile(filepath.Join(dir, file))
			return strings.HasSuffix(string(b), text+"\n")
		}) {
			t.Errorf("%s is not in %s", text, file)
		}
	}
	send("one", "log")
	if err := os.Rename(dir+"/log", dir+"/log.1"); err != nil {
		t.Fatal(err)
	}
	send("two", "log.1")
	s.signal(syscall.SIGUSR1, "files are opened anew")
	send("three", "log")
	s.end()
}

// TestSocketActivation: a source takes the socket that is there already.
func TestSocketActivation(t *testing.T) {
	activate := testneed.Program(t, "systemd-socket-activate")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), testneed.Port(t)
	config := write(t, "f.toml", fmt.Sprintf(`
[source.s]
driver = "network"
port = %d
[destination.file]
driver = "file"
path = "%s/log"
template = "$MSG\n"
[log.all]
source = ["s"]
destination = ["file"]
`, port, dir))
	cmd := exec.Command(activate, "-l", fmt.Sprint(port), "-E", "FORWARDER_IS_MAIN=1", self, "run", "--config", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &talk, &talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, &talk)
		}
	}()
	if !happens(func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false // not listened on yet
		}
		defer conn.Close()
		_, err = fmt.Fprintln(conn, "<13>Oct 11 22:14:15 h app: hello")
		return err == nil
	}) {
		t.Error("no connection")
	}
	if !happens(func() bool {
		b, _ := os.ReadFile(dir + "/log")
		return string(b) == "hello\n"
	}) {
		t.Error("the message does not arrive")
	}
}

// A destination that changes goes on with its queue, in memory or on disk, and with the server in use.
func TestReloadKeepsQueue(t *testing.T) {
	for _, test := range []struct{ name, before, after string }{
		{"memory", "log_fifo_size = 1000\n", "log_fifo_size = 500\n"},
		{"disk", "disk_buffer = { front_cache_size = 100 }\n", "disk_buffer = { front_cache_size = 50, reliable = true }\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, port, dir := collect(t), testneed.Port(t), t.TempDir()
			config := func(template, options string) string {
				return fmt.Sprintf(`
[source.tcp]
driver = "network"
ip = "127.0.0.1"
port = %d
[destination.server]
driver = "network"
address = "127.0.0.2"
failover = { servers = ["127.0.0.1"] }
port = %d
template = %q
%s
[log.all]
source = ["tcp"]
destination = ["server"]
flags = ["flow_control"]
`, port, server.port(), template, strings.Replace(options, "{", fmt.Sprintf("{ dir = %q,", dir), 1))
			}
			s := serve(t, config("$MSG\n", test.before))
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if !happens(func() bool { return server.connections.Load() == 1 }) {
				t.Fatalf("there is no connection to the second server\n%s", s.said())
			}
			primary, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", server.port()))
			if err != nil {
				t.Fatal(err)
			}
			defer primary.Close()
			go func() {
				if conn, err := primary.Accept(); err == nil {
					conn.Close()
					t.Error("the primary server is used after a reload, though the other one worked")
				}
			}()
			stop, sent := make(chan struct{}), make(chan int)
			go func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						sent <- i
						return
					default:
						fmt.Fprintf(conn, "<13>Oct 11 22:14:15 h app: %d\n", i)
					}
				}
			}()
			for range 3 {
				s.write(config("$MSG 2\n", test.after))
				s.signal(syscall.SIGHUP, "configuration is loaded")
				s.write(config("$MSG 1\n", test.before))
				s.signal(syscall.SIGHUP, "configuration is loaded")
			}
			close(stop)
			want := <-sent
			_ = conn.Close()
			next := 0
			for next < want {
				select {
				case line := <-server.lines:
					var n int
					if _, err := fmt.Sscan(line, &n); err != nil || n > next {
						t.Fatalf("got %q, want %d\n%s", line, next, s.said())
					}
					next = max(next, n+1)
				case <-time.After(time.Minute):
					t.Fatalf("nothing comes after %d of %d\n%s", next, want, s.said())
				}
			}
			s.end()
		})
	}
}

// TestEarlyReload sends SIGHUP while the configuration is still being read, which is a FIFO: it must be read again, not end forwarder.
func TestEarlyReload(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "forwarder.toml")
	for _, name := range []string{fifo, fifo + ".next"} {
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "run", "--config", fifo)
	cmd.Env = append(os.Environ(), "FORWARDER_IS_MAIN=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	read := make(chan error)
	go func() {
		for i := range 2 {
			file, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for a reader
			if i == 0 && err == nil {
				err = os.Rename(fifo+".next", fifo) // for the next reader, that it is not taken for this one
			}
			if err == nil {
				_ = cmd.Process.Signal(syscall.SIGHUP)
				_, err = file.WriteString("[source.s]\ndriver = \"internal\"\n")
				_ = file.Close()
			}
			read <- err
		}
	}()
	for range 2 {
		select {
		case err := <-read:
			if err != nil {
				t.Error(err)
			}
		case err := <-ended:
			t.Fatalf("%v\n%s", err, said.String())
		case <-time.After(time.Minute):
			t.Error("the configuration is not read again")
		}
	}
	_ = cmd.Process.Kill() // it may read once more, for the second SIGHUP
	<-ended
}
