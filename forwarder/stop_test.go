package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kad/pkg/testneed"
)

// stopsWithin sends SIGTERM and holds forwarder to a time in which it must have ended. One that has not says where it is.
func (s *service) stopsWithin(limit time.Duration) {
	s.t.Helper()
	_ = s.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(limit, func() { _ = s.Process.Signal(syscall.SIGQUIT) })
	err := s.Wait()
	if !late.Stop() {
		s.t.Fatalf("forwarder has not ended %v after SIGTERM: %v\n%s", limit, err, s.said())
	}
}

// TestStopAfterReloads changes sources of all kinds of sockets many times, each of which the next source takes over, and then
// stops: none of those that left may still wait for a client.
func TestStopAfterReloads(t *testing.T) {
	dir := t.TempDir()
	port := testneed.Port(t)
	config := func(tag string) string {
		var text strings.Builder
		for i := range 6 {
			fmt.Fprintf(&text, "[source.tcp%d]\ndriver = \"network\"\nip = \"127.0.0.%d\"\nport = %d\ntags = [%q]\n", i, i+1, port, tag)
		}
		fmt.Fprintf(&text, `
[options]
drain_timeout = "1s"
[source.udp]
driver = "network"
transport = "udp"
ip = "127.0.0.1"
port = %[1]d
tags = [%[3]q]
[source.stream]
driver = "unix_stream"
path = "%[2]s/stream"
tags = [%[3]q]
[source.dgram]
driver = "unix_dgram"
path = "%[2]s/dgram"
tags = [%[3]q]
[destination.file]
driver = "file"
path = "%[2]s/log"
[log.all]
source = ["tcp0", "tcp1", "tcp2", "tcp3", "tcp4", "tcp5", "udp", "stream", "dgram"]
destination = ["file"]
`, port, dir, tag)
		return text.String()
	}
	s := serve(t, config("0"))
	for i := range 60 {
		s.write(config(fmt.Sprint(i + 1)))
		s.signal(syscall.SIGHUP, "configuration is loaded")
	}
	s.stopsWithin(time.Minute)
}

// A program that never reads can delay a reload that changes its destination, and a stop, for drain_timeout only.
func TestStopIsBounded(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "in")
	config := func(fifo int) string {
		return fmt.Sprintf("[options]\ndrain_timeout = \"1s\"\n[source.s]\ndriver = \"unix_stream\"\npath = %q\n"+
			"[destination.d]\ndriver = \"program\"\ncommand = \"exec sleep 1000\"\nlog_fifo_size = %d\n"+
			"[log.l]\nsource = [\"s\"]\ndestination = [\"d\"]\n", socket, fifo)
	}
	s := serve(t, config(5000))
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(strings.Repeat("<13>"+strings.Repeat("x", 995)+"\n", 500))); err != nil {
		t.Fatal(err)
	}
	for started := 1; ; started++ {
		if !happens(func() bool { return strings.Count(s.said(), "program started") == started }) {
			t.Fatalf("the program is not started for the %d. time\n%s", started, s.said())
		}
		if started == 2 {
			break
		}
		s.write(config(6000))
		s.signal(syscall.SIGHUP, "configuration is loaded")
	}
	s.stopsWithin(time.Minute)
	if !strings.Contains(s.said(), "messages are lost") {
		t.Errorf("the lost messages are not told\n%s", s.said())
	}
}

// TestStopDuringReload stops in the middle of a reload that changes everything, while clients send that do not close, and servers take
// nothing: after drain_timeout, or at a second SIGTERM, it does not wait for them.
func TestStopDuringReload(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	for _, test := range []struct {
		name, drain string
		port, terms int
	}{
		{"no server", "1s", testneed.Port(t), 1},
		{"a server that does not read", "1s", deaf.Addr().(*net.TCPAddr).Port, 1},
		{"twice", "2m", deaf.Addr().(*net.TCPAddr).Port, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			port, dir := testneed.Port(t), t.TempDir()
			config := func(change int) string {
				return fmt.Sprintf(`
[options]
drain_timeout = %q
[source.tcp]
driver = "network"
ip = "127.0.0.1"
port = %d
max_connections = %d
[destination.memory]
driver = "network"
address = "127.0.0.1"
port = %d
log_fifo_size = %d
[destination.disk]
driver = "network"
address = "127.0.0.1"
port = %[4]d
disk_buffer = { dir = %[6]q, reliable = true, capacity_bytes = %[7]d }
[log.all]
source = ["tcp"]
destination = ["memory", "disk"]
flags = ["flow_control"]
`, test.drain, port, 10+change, test.port, 100+change, dir, 1<<20+change)
			}
			s := serve(t, config(0))
			stop := make(chan struct{})
			defer close(stop)
			for range 4 {
				go sendOnAndOn(fmt.Sprintf("127.0.0.1:%d", port), stop)
			}
			s.write(config(1))
			s.signal(syscall.SIGHUP, "configuration is loaded")
			s.write(config(2))
			_ = s.Process.Signal(syscall.SIGHUP)
			time.Sleep(rand.N(50 * time.Millisecond)) // anything may be under way
			for range test.terms - 1 {
				_ = s.Process.Signal(syscall.SIGTERM)
				happens(func() bool { // it stops when nobody can connect
					conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
					if err == nil {
						_ = conn.Close()
					}
					return err != nil
				})
			}
			s.stopsWithin(time.Minute)
		})
	}
}

// sendOnAndOn sends until stop is closed, and neither looks whether the connection has ended nor closes it.
func sendOnAndOn(addr string, stop chan struct{}) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		select {
		case <-stop:
			return
		default:
		}
		_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := fmt.Fprintln(conn, "<13>Oct 11 22:14:15 h app: on and on")
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}
