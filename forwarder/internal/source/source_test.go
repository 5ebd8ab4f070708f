package source

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
	"kad/pkg/testneed"
)

// A capture is a destination that writes down what it gets.
type capture struct {
	show *template.Template

	mu    sync.Mutex // guards lines
	lines []string
	hold  atomic.Bool // receipts, in held
	held  chan *logmsg.Receipt
}

func (c *capture) NewBatch() logpath.Batch { return c }

func (c *capture) Add(m *logmsg.Message, _ bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, string(c.show.Append(nil, m, nil)))
}

func (c *capture) Flush(receipt *logmsg.Receipt) {
	if c.hold.Load() {
		receipt.Hold()
		c.held <- receipt
	}
}

// wait returns the lines when there are n, or what there is after a while.
func (c *capture) wait(n int) []string {
	for range 3000 {
		c.mu.Lock()
		lines := slices.Clone(c.lines)
		c.mu.Unlock()
		if len(lines) >= n {
			return lines
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// start runs a driver until the test ends.
func start(t *testing.T, d Driver, show string) *capture {
	t.Helper()
	return run(t, d, show).capture
}

// A running driver can be stopped before the test ends.
type running struct {
	*capture
	in     *Input
	stop   func() // and wait
	runner Runner
}

func run(t *testing.T, d Driver, show string) *running {
	t.Helper()
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	c := &capture{show: template.Must(show), held: make(chan *logmsg.Receipt, 1000)}
	program := logpath.Compile(&logpath.Graph{
		Sources: []logpath.Source{{Name: "s", Channels: [][]logpath.Element{nil}}},
		Paths:   []*logpath.Statement{{Name: "all", Sources: []string{"s"}, Elements: []logpath.Element{&logpath.Send{Name: "d", Sink: c}}}},
	})
	in := NewInput("s", d, program, program.Entry("s", 0), slog.New(slog.DiscardHandler))
	runner, err := d.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- runner.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return &running{c, in, stop, runner}
}

func network(t *testing.T, name string, set func(n *Network)) (Driver, string) {
	t.Helper()
	globals := option.Defaults()
	globals.KeepHostname = true
	n := Drivers[name](&globals).(*Network)
	n.IP, n.Port = "127.0.0.1", testneed.Port(t)
	if set != nil {
		set(n)
	}
	return n, fmt.Sprintf("127.0.0.1:%d", n.Port)
}

func send(t *testing.T, kind, addr, text string) {
	t.Helper()
	c, err := net.Dial(kind, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func TestTCP(t *testing.T) {
	d, addr := network(t, "network", nil)
	got := start(t, d, "$SOURCEIP $HOST $PROGRAM $MSG")
	send(t, "tcp", addr, "<13>Oct 11 22:14:15 h a: one\n\n<13>Oct 11 22:14:15 h a: two\r\n<13>Oct 11 22:14:15 h a: cut")
	want := []string{"127.0.0.1 h a one", "127.0.0.1 h a two", "127.0.0.1 h a cut"}
	if lines := got.wait(3); !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

// However a stream is cut into pieces, the messages are the same; one longer than the buffer is split.
func TestPieces(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.LogMsgSize = 128 })
	got := start(t, d, "$MSG")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var want []string
	for i := range 200 {
		text := fmt.Sprintf("%03d%s", i, strings.Repeat("x", i%40))
		want = append(want, text)
		line := "<13>Oct 11 22:14:15 h a: " + text + "\n"
		for _, piece := range []string{line[:i%20], line[i%20:]} {
			if _, err := io.WriteString(c, piece); err != nil {
				t.Fatal(err)
			}
		}
	}
	if lines := got.wait(200); !slices.Equal(lines, want) {
		t.Errorf("got %d lines %q", len(lines), lines)
	}
}

func TestOctetCounting(t *testing.T) {
	d, addr := network(t, "syslog", nil)
	got := start(t, d, "$PROGRAM $MSG")
	send(t, "tcp", addr, "38 <13>1 2023-10-11T22:14:15Z h a - - - x39 <13>1 2023-10-11T22:14:15Z h b - - - y\n1nonsense")
	if lines, want := got.wait(2), []string{"a x", "b y"}; !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

func TestUDP(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.Transport, n.Readers = "udp", 2 })
	got := start(t, d, "$SOURCEIP $MSG")
	send(t, "udp", addr, "<13>Oct 11 22:14:15 h a: one\ntwo\n")
	if lines := got.wait(1); !slices.Equal(lines, []string{"127.0.0.1 one\ntwo"}) {
		t.Errorf("got %q", lines)
	}
}

func TestMaxConnections(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.MaxConnections = 1 })
	s := run(t, d, "$MSG")
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	fmt.Fprintln(first, "<13>Oct 11 22:14:15 h a: first")
	s.wait(1)
	second, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := second.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the second connection is open: %v", err)
	}
	if c := s.in.Counts(); c.Refused != 1 || c.Connections != 1 || c.Received != 1 {
		t.Errorf("counted %+v", c)
	}
}

// What a proxy says of its client is believed of proxies only.
func TestProxyProtocol(t *testing.T) {
	for _, test := range []struct {
		name    string
		trusted string
		want    []string
	}{
		{"trusted", "127.0.0.0/8", []string{"192.0.2.9 one"}},
		{"not trusted", "192.0.2.0/24", []string{"127.0.0.1 TCP4 192.0.2.9 192.0.2.1 4000 514", "127.0.0.1 one"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, addr := network(t, "network", func(n *Network) { n.Proxies = []string{test.trusted} })
			got := start(t, d, "$SOURCEIP $MSG")
			send(t, "tcp", addr, "PROXY TCP4 192.0.2.9 192.0.2.1 4000 514\r\n<13>Oct 11 22:14:15 h a: one\n")
			if lines := got.wait(len(test.want)); !slices.Equal(lines, test.want) {
				t.Errorf("got %q, want %q", lines, test.want)
			}
		})
	}
}

func TestUnix(t *testing.T) {
	for kind, network := range map[string]string{"unix_stream": "unix", "unix_dgram": "unixgram"} {
		t.Run(kind, func(t *testing.T) {
			globals := option.Defaults()
			u := Drivers[kind](&globals).(*Unix)
			u.Path = filepath.Join(t.TempDir(), "s")
			for range 2 { // the second one finds the socket of the first
				t.Run("", func(t *testing.T) {
					got := start(t, u, "$PROGRAM $PID $MSG")
					send(t, network, u.Path, "<13>Oct 11 22:14:15 app[3]: one\n")
					if lines := got.wait(1); !slices.Equal(lines, []string{"app 3 one"}) {
						t.Errorf("got %q", lines)
					}
				})
			}
		})
	}
}

// A socket that is in use, and a file that is no socket, stay.
func TestUnixTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := removeStale("unix", path); err == nil || err.Error() != path+" is there and is no socket" {
		t.Errorf("got %v", err)
	}
	l, err := net.Listen("unix", path+".sock")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := removeStale("unix", path+".sock"); err == nil || err.Error() != path+".sock is in use by another process" {
		t.Errorf("got %v", err)
	}
}

// A nowhere is a destination that formats and forgets.
type nowhere struct{ text []byte }

func (n *nowhere) NewBatch() logpath.Batch { return n }
func (n *nowhere) Flush(*logmsg.Receipt)   { n.text = n.text[:0] }
func (n *nowhere) Add(m *logmsg.Message, _ bool) {
	n.text = append(append(append(n.text, m.Hostname...), m.Msg...), '\n')
}

// BenchmarkReaders is what readers cost each other that handle one message a read, as under low load.
func BenchmarkReaders(b *testing.B) {
	globals := option.Defaults()
	d := Drivers["network"](&globals)
	if err := d.Init(); err != nil {
		b.Fatal(err)
	}
	program := logpath.Compile(&logpath.Graph{Sources: []logpath.Source{{Name: "s", Channels: [][]logpath.Element{nil}}}})
	in := NewInput("s", d, program, program.Entry("s", 0), slog.New(slog.DiscardHandler))
	line := []byte("<86>Nov 22 01:14:15 h sshd[4242]: a\n")
	b.RunParallel(func(pb *testing.PB) {
		r := in.newReader()
		var f syslog.Framer
		for pb.Next() {
			r.begin()
			_, _ = r.frames(&f, line) // it is a frame
			r.flush()
		}
	})
}

func BenchmarkStream(b *testing.B) {
	globals := option.Defaults()
	d := Drivers["network"](&globals)
	if err := d.Init(); err != nil {
		b.Fatal(err)
	}
	program := logpath.Compile(&logpath.Graph{
		Sources: []logpath.Source{{Name: "s", Channels: [][]logpath.Element{nil}}},
		Paths:   []*logpath.Statement{{Name: "all", Sources: []string{"s"}, Elements: []logpath.Element{&logpath.Send{Name: "d", Sink: &nowhere{}}}}},
	})
	r := NewInput("s", d, program, program.Entry("s", 0), slog.New(slog.DiscardHandler)).newReader()
	const line = "<86>Nov 22 01:14:15 host17.example.com sshd[4242]: Accepted publickey for root from 192.0.2.1 port 4242 ssh2: RSA SHA256:abcdefghijklmnop\n"
	text := []byte(strings.Repeat(line, 400))
	var f syslog.Framer
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%400 == 0 {
			r.begin()
			if _, err := r.frames(&f, text); err != nil {
				b.Fatal(err)
			}
			r.router.Flush(nil)
		}
	}
}
