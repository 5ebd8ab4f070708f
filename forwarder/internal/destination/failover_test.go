package destination

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
	"kad/forwarder/internal/template"
	"kad/pkg/testneed"
)

// The test binary is a sink too, one that can be killed: address, file, bytes read at once, pause, bytes until a reset.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "sink" {
		if err := sink(os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// sink writes what it reads to a file. It reads size bytes (0: what is there) and pauses.
func sink(address, path, size, pause string) error {
	l, err := smallWindow.Listen(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	n, _ := strconv.Atoi(size)
	wait, _ := time.ParseDuration(pause)
	b := make([]byte, max(n, 64<<10))
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		for err == nil {
			read := 0
			read, err = conn.Read(b)
			if _, err := file.Write(b[:read]); err != nil {
				return err
			}
			time.Sleep(wait)
		}
		_ = conn.Close()
	}
}

type sinkProcess struct {
	*exec.Cmd
	path string
}

// smallWindow listens with a receive buffer of 128 KiB, so that what has to be sent again after a reset, at most twice the
// window, has a bound: left to itself the kernel lets the buffer grow to 32 MiB and more.
var smallWindow = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
	if failed := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10) // the kernel doubles it
	}); failed != nil {
		return failed
	}
	return err
}}

func startSink(t *testing.T, address, path string, size int, pause time.Duration) *sinkProcess {
	t.Helper()
	s := &sinkProcess{exec.Command("/proc/self/exe", "sink", address, path, strconv.Itoa(size), pause.String()), path}
	s.Stderr = os.Stderr
	s.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.StdoutPipe()
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.signal(t, syscall.SIGKILL) })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("sink said %q, %v", line, err)
	}
	return s
}

func (s *sinkProcess) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if s.ProcessState != nil {
		return
	}
	if err := s.Process.Signal(sig); err != nil {
		t.Error(err)
	}
	if sig == syscall.SIGKILL {
		_ = s.Wait() // killed
	}
}

// numbers are the whole lines of a sink's file. A line that a dead sink has read in part is left out.
func (s *sinkProcess) numbers(t *testing.T) (list []int) {
	t.Helper()
	data, err := os.ReadFile(s.path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	for line := range strings.Lines(string(data)) {
		n, err := strconv.Atoi(strings.TrimRight(line, ".\n"))
		if err != nil || len(line) != 201 {
			t.Fatalf("line %q", line)
		}
		list = append(list, n)
	}
	return list
}

// A feed appends numbered messages of 200 bytes to a destination while it runs.
type feed struct {
	d    *Destination
	next int
	done chan struct{}
}

func startFeed(t *testing.T, set func(n *Network)) *feed {
	t.Helper()
	d := open(t, "d", driver("network", func(n *Network) {
		n.Address, n.Template, n.LogFIFOSize = "127.0.0.1", template.Must("$MSG\n"), 100000
		n.Failover = &Failover{Servers: []string{"127.0.0.2"}}
		set(n)
	}))
	f := &feed{d: d, done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	go func() {
		defer close(f.done)
		defer cancel()
		if err := d.Run(ctx, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
			t.Error(err)
		}
	}()
	return f
}

// add appends n messages, 20 each millisecond.
func (f *feed) add(n int) {
	for end := f.next + n; f.next < end; {
		b := queue.Get(0)
		b.Wait = true
		for range min(20, end-f.next) {
			b.Data = append(fmt.Appendf(b.Data, "%0200d", f.next), '\n')
			b.Ends = append(b.Ends, len(b.Data))
			f.next++
		}
		f.d.queue.Append(b)
		time.Sleep(time.Millisecond)
	}
}

func (f *feed) finish(t *testing.T) Status {
	t.Helper()
	f.d.Drain()
	<-f.done
	if waiting := f.d.queue.Len(); waiting > 0 {
		t.Errorf("%d messages were not sent", waiting)
	}
	st, _ := f.d.Status()
	return st
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s in a minute", what)
		}
	}
}

// check holds what the sinks got to what was sent: all of it, each sink's part in order, and at most so many twice.
func (f *feed) check(t *testing.T, duplicates int, sinks ...*sinkProcess) {
	t.Helper()
	lost, twice := 0, 0
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		lost, twice = f.count(t, sinks)
		if lost == 0 || time.Now().After(end) { // what is acknowledged may not be read yet
			break
		}
	}
	t.Logf("of %d messages %d are lost, %d came twice", f.next, lost, twice)
	if lost > 0 || twice > duplicates {
		t.Errorf("lost %d, twice %d, want at most %d", lost, twice, duplicates)
	}
}

func (f *feed) count(t *testing.T, sinks []*sinkProcess) (lost, twice int) {
	t.Helper()
	times := make([]int, f.next)
	for _, s := range sinks {
		list := s.numbers(t)
		if !slices.IsSorted(list) {
			t.Errorf("%s is not in order", s.path)
		}
		for _, n := range list {
			times[n]++
		}
	}
	for _, n := range times {
		if n == 0 {
			lost++
		}
		twice += max(0, n-1)
	}
	return lost, twice
}

func TestFailover(t *testing.T) {
	for _, test := range []struct {
		name       string
		size       int // that the first server reads at once
		pause      time.Duration
		signal     syscall.Signal
		set        func(n *Network)
		duplicates int
	}{
		{"killed, reads all", 0, 0, syscall.SIGKILL, func(*Network) {}, 2000},
		{"killed, slow", 16 << 10, 20 * time.Millisecond, syscall.SIGKILL, func(*Network) {}, 2000},
		{"killed, never reads", 1, time.Hour, syscall.SIGKILL, func(*Network) {}, 2000},
		{"accepts and never reads", 1, time.Hour, syscall.SIGCONT, func(n *Network) { n.Stall = option.Duration(2 * time.Second) }, 2000},
		{"stopped", 0, 0, syscall.SIGSTOP, func(n *Network) { n.Stall = option.Duration(2 * time.Second) }, 2000},
	} {
		t.Run(test.name, func(t *testing.T) {
			port, dir := testneed.Port(t), t.TempDir()
			first := startSink(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), filepath.Join(dir, "1"), test.size, test.pause)
			second := startSink(t, net.JoinHostPort("127.0.0.2", strconv.Itoa(port)), filepath.Join(dir, "2"), 0, 0)
			f := startFeed(t, func(n *Network) { n.Port = port; test.set(n) })
			f.add(4000)
			first.signal(t, test.signal)
			killed := time.Now()
			f.add(2000)
			waitFor(t, "switch", func() bool { st, _ := f.d.Status(); return st.Address == fmt.Sprintf("127.0.0.2:%d", port) })
			st, _ := f.d.Status()
			f.add(20000)
			end := f.finish(t)
			t.Logf("switch after %s: %s; resent %d unacknowledged, %d unread", st.Since.Sub(killed), st.Reason, end.ResentUnacknowledged, end.ResentUnread)
			if test.signal == syscall.SIGSTOP { // what it has not read is lost with it
				first.signal(t, syscall.SIGKILL)
			}
			f.check(t, test.duplicates, first, second)
		})
	}
}

// A server that closes in order gets nothing twice, and nothing is lost.
func TestOrderlyClose(t *testing.T) {
	port := testneed.Port(t)
	got := make([][]byte, 2)
	for i, ip := range []string{"127.0.0.1", "127.0.0.2"} {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if i == 1 {
				got[1], _ = io.ReadAll(conn)
				return
			}
			limited := io.LimitReader(conn, 201*1000+7) // in the middle of a message
			got[0], _ = io.ReadAll(limited)
			_ = conn.(*net.TCPConn).CloseWrite()
			rest, _ := io.ReadAll(conn) // what was on its way
			got[0] = append(got[0], rest...)
		}()
	}
	f := startFeed(t, func(n *Network) { n.Port = port })
	f.add(5000)
	st := f.finish(t)
	if st.ResentUnread != 0 {
		t.Errorf("%d messages were sent again that had been read", st.ResentUnread)
	}
	var all []byte
	for i := range 5000 {
		all = append(fmt.Appendf(all, "%0200d", i), '\n')
	}
	first := got[0][:bytes.LastIndexByte(got[0], '\n')+1]
	if !bytes.HasPrefix(all, first) || !bytes.HasSuffix(all, got[1]) || len(first)+len(got[1]) != len(all) {
		t.Errorf("the servers got %d and %d bytes of %d", len(first), len(got[1]), len(all))
	}
}

// A server that resets each connection gets further each time.
func TestResets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var mu sync.Mutex
	seen := map[string]bool{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(io.LimitReader(conn, 50000))
			mu.Lock()
			for line := range strings.Lines(string(b)) {
				seen[line] = true
			}
			mu.Unlock()
			if len(b) == 50000 {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
			_ = conn.Close()
		}
	}()
	f := startFeed(t, func(n *Network) {
		n.Port, n.Failover, n.TimeReopen, n.ReplayWindow = l.Addr().(*net.TCPAddr).Port, nil, option.Duration(time.Millisecond), 1<<20
	})
	f.add(2000)
	f.finish(t)
	missing := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for i := range 2000 {
			if !seen[fmt.Sprintf("%0200d\n", i)] {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(time.Minute); missing() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // the last connection may not be accepted yet
	}
	if st, _ := f.d.Status(); st.Switches < 5 || st.ResentUnread == 0 {
		t.Errorf("status %+v", st)
	}
	if n := missing(); n > 0 {
		t.Errorf("%d of 2000 messages are lost", n)
	}
}

// inNamespace runs the test in a network namespace of its own, where it may drop packets.
func inNamespace(t *testing.T) (inside bool) {
	t.Helper()
	if os.Getenv("KAD_NAMESPACE") != "" {
		command(t, "ip", "link", "set", "lo", "up")
		return true
	}
	testneed.Root(t, "to make network namespaces")
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "KAD_NAMESPACE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v, %s", name, args, err, out)
	}
}

// A server that is cut off is left after dead_peer_timeout, and nothing is lost.
func TestSilence(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, hook := range []string{"input", "output"} {
		t.Run(hook, func(t *testing.T) { testSilence(t, hook) })
	}
}

func testSilence(t *testing.T, hook string) {
	port, dir := testneed.Port(t), t.TempDir()
	address := func(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }
	first := startSink(t, address("127.0.0.1"), filepath.Join(dir, "1"), 0, 0)
	second := startSink(t, address("127.0.0.2"), filepath.Join(dir, "2"), 0, 0)
	const dead = 500 * time.Millisecond
	f := startFeed(t, func(n *Network) { n.Port, n.DeadPeer = port, option.Duration(dead) })
	f.add(2000)
	command(t, "nft", "add table ip kad; add chain ip kad drop_"+hook+" { type filter hook "+hook+" priority 0; }; add rule ip kad drop_"+hook+" ip daddr 127.0.0.1 tcp dport "+strconv.Itoa(port)+" drop")
	cut := time.Now()
	f.add(2000)
	waitFor(t, "switch", func() bool { st, _ := f.d.Status(); return st.Address == address("127.0.0.2") })
	st, _ := f.d.Status()
	if took := st.Since.Sub(cut); took < dead || st.Reason != errSilent.Error() {
		t.Errorf("switch after %s: %s", took, st.Reason)
	}
	f.add(1000)
	f.finish(t)
	f.check(t, 1<<20/201, first, second)
}

// With TLS too a server that is killed has what it acknowledged or the next server gets it. A certificate is checked against
// the name of its own server, and one that differs is a failed server.
func TestFailoverTLS(t *testing.T) {
	port, dir := testneed.Port(t), t.TempDir()
	ca := filepath.Join(dir, "ca")
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	rootDER, err := x509.CreateCertificate(cryptorand.Reader, root, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	// The second server shows the certificate of the first. The first one reads a part and is reset, the third one reads all.
	var seen [3]map[string]bool
	var read sync.WaitGroup
	for i, name := range []string{"127.0.0.1", "127.0.0.1", "127.0.0.3"} {
		leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(name)}}
		der, err := x509.CreateCertificate(cryptorand.Reader, leaf, root, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		l, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.%d:%d", i+1, port), &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		seen[i] = map[string]bool{}
		read.Go(func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			var lines io.Reader = conn
			if i == 0 {
				lines = io.LimitReader(conn, 300000)
			}
			for s := bufio.NewScanner(lines); s.Scan(); {
				seen[i][s.Text()] = true
			}
			if i == 0 {
				time.Sleep(50 * time.Millisecond) // unread data
				_ = conn.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
				_ = conn.(*tls.Conn).NetConn().Close()
			}
		})
	}
	f := startFeed(t, func(n *Network) {
		n.Port, n.Transport, n.TLS = port, "tls", &TLS{ClientTLS: option.ClientTLS{CAFile: ca}}
		n.Failover.Servers = []string{"127.0.0.2", "127.0.0.3"}
	})
	f.add(5000)
	waitFor(t, "switch", func() bool { st, _ := f.d.Status(); return st.Current == "127.0.0.3" && st.Address != "" })
	f.add(1000)
	st := f.finish(t)
	read.Wait()
	if len(seen[0]) == 0 || len(seen[1]) > 0 || !strings.Contains(st.Reason, "certificate is valid for 127.0.0.1, not 127.0.0.2") {
		t.Errorf("the servers have %d, %d and %d lines, %s", len(seen[0]), len(seen[1]), len(seen[2]), st.Reason)
	}
	lost, twice := 0, 0
	for i := range f.next {
		switch line := fmt.Sprintf("%0200d", i); {
		case seen[0][line] && seen[2][line]:
			twice++
		case !seen[0][line] && !seen[2][line]:
			lost++
		}
	}
	t.Logf("lost %d, twice %d; resent %d unacknowledged, %d unread", lost, twice, st.ResentUnacknowledged, st.ResentUnread)
	if lost > 0 || st.ResentUnread == 0 {
		t.Errorf("lost %d, status %+v", lost, st)
	}
}

func TestFailback(t *testing.T) {
	port, dir := testneed.Port(t), t.TempDir()
	address := func(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }
	second := startSink(t, address("127.0.0.2"), filepath.Join(dir, "2"), 0, 0)
	f := startFeed(t, func(n *Network) {
		n.Port = port
		n.Failover.Failback = &Failback{TCPProbeInterval: option.Duration(50 * time.Millisecond), SuccessfulProbesRequired: 3}
	})
	f.add(1000)
	waitFor(t, "failover", func() bool { st, _ := f.d.Status(); return st.Address == address("127.0.0.2") })
	first := startSink(t, address("127.0.0.1"), filepath.Join(dir, "1"), 0, 0)
	back := time.Now()
	for st, _ := f.d.Status(); st.Address != address("127.0.0.1") && time.Since(back) < time.Minute; st, _ = f.d.Status() {
		f.add(200)
	}
	if took := time.Since(back); took < 50*time.Millisecond || took > time.Minute {
		t.Errorf("failback after %s", took)
	}
	f.add(1000)
	if st := f.finish(t); st.ResentUnread+st.ResentUnacknowledged > 0 || st.Switches != 1 {
		t.Errorf("status %+v", st)
	}
	f.check(t, 0, second, first)
	if len(first.numbers(t)) < 1000 {
		t.Error("the primary server is not used")
	}
}

// A server that hangs when the primary one is back does not tell that it has read what its kernel has: the primary one gets it too.
func TestFailbackFromHungServer(t *testing.T) {
	port, dir := testneed.Port(t), t.TempDir()
	address := func(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }
	second := startSink(t, address("127.0.0.2"), filepath.Join(dir, "2"), 0, 0)
	f := startFeed(t, func(n *Network) {
		n.Port, n.DeadPeer = port, option.Duration(300*time.Millisecond)
		n.Failover.Failback = &Failback{TCPProbeInterval: option.Duration(20 * time.Millisecond), SuccessfulProbesRequired: 2}
	})
	f.add(100)
	waitFor(t, "failover", func() bool { st, _ := f.d.Status(); return st.Address == address("127.0.0.2") })
	second.signal(t, syscall.SIGSTOP)
	f.add(500)
	waitFor(t, "acknowledgement", func() bool { _, _, _, waiting := f.d.Counts(); return waiting == 0 })
	first := startSink(t, address("127.0.0.1"), filepath.Join(dir, "1"), 0, 0)
	waitFor(t, "failback", func() bool { st, _ := f.d.Status(); return st.Address == address("127.0.0.1") })
	second.signal(t, syscall.SIGKILL)
	f.add(100)
	f.finish(t)
	f.check(t, 600, second, first)
}

// A primary server that hangs is not failed back to while its kernel answers the probes.
func TestNoFailbackIntoHungServer(t *testing.T) {
	port, dir := testneed.Port(t), t.TempDir()
	address := func(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }
	first := startSink(t, address("127.0.0.1"), filepath.Join(dir, "1"), 0, 0)
	startSink(t, address("127.0.0.2"), filepath.Join(dir, "2"), 0, 0)
	f := startFeed(t, func(n *Network) {
		n.Port, n.Stall, n.ConnectTimeout = port, option.Duration(200*time.Millisecond), option.Duration(200*time.Millisecond)
		n.Failover.Failback = &Failback{TCPProbeInterval: option.Duration(20 * time.Millisecond), SuccessfulProbesRequired: 2}
	})
	f.add(100)
	first.signal(t, syscall.SIGSTOP)
	f.add(40000)
	in := func(ip string) func() bool {
		return func() bool { st, _ := f.d.Status(); return st.Address == address(ip) }
	}
	waitFor(t, "switch", in("127.0.0.2"))
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if in("127.0.0.1")() {
			t.Fatal("failed back into the hung server")
		}
	}
	if st, _ := f.d.Status(); st.ProbeError != errStalled.Error() {
		t.Errorf("probe error %q", st.ProbeError)
	}
	first.signal(t, syscall.SIGCONT)
	waitFor(t, "failback", in("127.0.0.1"))
	f.finish(t)
}

func TestServerRotation(t *testing.T) {
	type step struct {
		event   string // ok: it worked, and failed; bad: it never did; +, -: a probe
		current int
		result  bool
	}
	for _, test := range []struct {
		name     string
		rotation rotation
		steps    []step
	}{
		{"a round, then a pause", rotation{servers: 3}, []step{{"bad", 1, false}, {"bad", 2, false}, {"bad", 0, true}, {"bad", 1, false}}},
		{"each is tried after one that worked", rotation{servers: 2}, []step{{"ok", 1, false}, {"bad", 0, false}, {"bad", 1, true}}},
		{"one server is tried again at once", rotation{servers: 1}, []step{{"ok", 0, false}, {"bad", 0, true}, {"bad", 0, true}}},
		{"probes are consecutive", rotation{servers: 2, required: 3, current: 1}, []step{{"+", 1, false}, {"+", 1, false}, {"-", 1, false}, {"+", 1, false}, {"+", 1, false}, {"+", 1, true}}},
		{"a failure ends the row", rotation{servers: 3, required: 2, current: 1}, []step{{"+", 1, false}, {"ok", 2, false}, {"+", 2, false}, {"+", 2, true}}},
		{"round-robin does not probe", rotation{servers: 2, current: 1}, []step{{"+", 1, false}}},
		{"pinned", rotation{servers: 2, current: 1, pinned: true, required: 1}, []step{{"ok", 1, false}, {"bad", 1, true}, {"+", 1, false}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := test.rotation
			for i, s := range test.steps {
				var result bool
				switch s.event {
				case "ok", "bad":
					result = r.fail(s.event == "ok")
				default:
					result = r.probed(s.event == "+")
				}
				if r.current != s.current || result != s.result {
					t.Fatalf("step %d, %s: server %d, %v, want %d, %v", i, s.event, r.current, result, s.current, s.result)
				}
			}
		})
	}
}

// Under random faults every message arrives, in order, and none is sent again that arrived before what may be unread.
func TestWindowModel(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w window
		var got []int // what a server has read
		var onWire []int
		var acked, sent int64
		next, queued, allowed := 0, 0, 0
		const size = 10
		write := func(items []item) {
			for _, i := range items {
				w.add(i)
				for _, b := range slices.Collect(slices.Chunk(i.bytes(), size)) {
					n, _ := strconv.Atoi(string(b))
					onWire = append(onWire, n)
				}
			}
			sent = w.written
		}
		for range 200 {
			switch r.IntN(4) {
			case 0, 1:
				b := queue.Get(0) // memory of one that was put back too early
				for range 1 + r.IntN(5) {
					b.Data = fmt.Appendf(b.Data, "%0*d", size, next)
					b.Ends = append(b.Ends, len(b.Data))
					next++
				}
				queued++
				write([]item{{Batch: b, queued: true}})
			case 2:
				acked += r.Int64N(sent - acked + 1)
				batches, _ := w.acknowledge(acked, 100)
				w.keep()
				queued -= batches
			case 3:
				unread := int64(0)
				if r.IntN(4) == 0 { // seldom enough that maxReplays is not met
					unread = min(acked, r.Int64N(100))
				}
				read := int(acked-unread) / size
				got = append(got, onWire[:read]...)
				items, _, again := w.replay(min(unread+r.Int64N(50), 100) * min(1, unread))
				allowed += 15
				if unread == 0 && again.messages > 0 {
					t.Fatalf("seed %d: %d messages are sent again that were read", seed, again.messages)
				}
				onWire, acked, sent = nil, 0, 0
				write(items)
			}
		}
		got = append(got, onWire...)
		batches, _ := w.acknowledge(sent, 0)
		if queued -= batches; queued != 0 {
			t.Fatalf("seed %d: %d batches stay in the queue", seed, queued)
		}
		seen := -1
		for i, n := range got {
			if n > seen+1 {
				t.Fatalf("seed %d: at %d message %d follows %d", seed, i, n, seen)
			}
			seen = max(seen, n)
		}
		if seen != next-1 {
			t.Fatalf("seed %d: %d messages arrived of %d", seed, seen+1, next)
		}
		if twice := len(got) - next; twice > allowed {
			t.Fatalf("seed %d: %d messages came twice, want at most %d", seed, twice, allowed)
		}
	}
}
