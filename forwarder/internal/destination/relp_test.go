package destination

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
	"kad/forwarder/internal/relp"
	"kad/pkg/testneed"
)

// A relpServer takes messages as its behaviour says.
type relpServer struct {
	net.Listener
	answer func(got []int) (answers []byte, end bool) // to the transactions since the last call

	mu       sync.Mutex // guards what follows
	messages []string
	sessions int
	closed   int // by close
}

func startRELP(t *testing.T, address string, answer func(got []int) ([]byte, bool)) *relpServer {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &relpServer{Listener: l, answer: answer}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

func (s *relpServer) serve(conn net.Conn) {
	defer conn.Close()
	session := &relp.Session{Reader: relp.NewReader(conn, 1<<16)}
	for session.Fill() == nil {
		var got []int
		var out []byte
		for {
			e, f, err := session.Next()
			if err != nil || e == relp.None {
				break
			}
			s.mu.Lock()
			switch e {
			case relp.Opened:
				s.sessions++
				out = relp.AppendResponse(out, f.Txnr, f.Data)
			case relp.Message:
				s.messages = append(s.messages, string(f.Data))
				got = append(got, f.Txnr)
			case relp.Closed:
				s.closed++
				out = relp.AppendResponse(out, f.Txnr, nil)
			}
			s.mu.Unlock()
		}
		answers, end := s.answer(got)
		if _, err := conn.Write(append(out, answers...)); err != nil || end {
			return
		}
	}
}

func (s *relpServer) state() (messages []string, sessions, closed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.messages...), s.sessions, s.closed
}

func allOK(got []int) (out []byte, end bool) {
	for _, txnr := range got {
		out = relp.AppendOK(out, txnr)
	}
	return out, false
}

// relpDestination is one with two servers, that runs.
func relpDestination(t *testing.T, port int, set func(r *RELP)) (d *Destination, finish func()) {
	t.Helper()
	r := newRELP(&option.Globals{LogFIFOSize: 100000, LogFIFOBytes: 64 << 20, TimeReopen: option.Duration(50 * time.Millisecond)}).(*RELP)
	r.Address, r.Port, r.Failover = "127.0.0.1", port, &Failover{Servers: []string{"127.0.0.2"}}
	if set != nil {
		set(r)
	}
	if err := r.Init(); err != nil {
		t.Fatal(err)
	}
	d = New("d", r)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, slog.New(slog.NewTextHandler(t.Output(), nil))) }()
	t.Cleanup(cancel)
	return d, func() {
		t.Helper()
		d.Drain()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("it is not drained")
		}
	}
}

func add(d *Destination, from, to int) {
	for n := from; n < to; {
		b := queue.Get(0)
		b.Wait = true
		for ; n < to && len(b.Ends) < 100; n++ {
			b.Data = fmt.Appendf(b.Data, "message %d", n)
			b.Ends = append(b.Ends, len(b.Data))
		}
		d.queue.Append(b)
	}
}

func wantNumbers(t *testing.T, got []string, from, to int) {
	t.Helper()
	for i := range max(len(got), to-from) {
		want := fmt.Sprintf("message %d", from+i)
		if i >= len(got) || i >= to-from || got[i] != want {
			t.Fatalf("%d messages, want %d; number %d is %.60q, want %q", len(got), to-from, i, got[i:min(i+1, len(got))], want)
		}
	}
}

// All arrives once and in order, whatever the window is, and the session ends as it should.
func TestRELP(t *testing.T) {
	for _, window := range []int{1, 7, 128, 100000} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			port := testneed.Port(t)
			s := startRELP(t, fmt.Sprintf("127.0.0.1:%d", port), allOK)
			d, finish := relpDestination(t, port, func(r *RELP) { r.Window = min(window, maxWindow) })
			add(d, 0, 2000)
			finish()
			got, sessions, closed := s.state()
			wantNumbers(t, got, 0, 2000)
			if sessions != 1 || closed != 1 {
				t.Errorf("%d sessions, %d closed, want 1 and 1", sessions, closed)
			}
			if _, _, sent, waiting := d.Counts(); sent != 2000 || waiting != 0 {
				t.Errorf("sent %d, %d wait, want 2000 and 0", sent, waiting)
			}
		})
	}
}

// No more than a window of messages is sent without an answer, and none counts as sent.
func TestRELPWindow(t *testing.T) {
	port := testneed.Port(t)
	s := startRELP(t, fmt.Sprintf("127.0.0.1:%d", port), func([]int) ([]byte, bool) { return nil, false })
	d, _ := relpDestination(t, port, func(r *RELP) { r.Window = 50 })
	add(d, 0, 1000)
	waitFor(t, "a window", func() bool { got, _, _ := s.state(); return len(got) >= 50 })
	time.Sleep(50 * time.Millisecond) // for what must not come
	got, _, _ := s.state()
	wantNumbers(t, got, 0, 50)
	if _, _, sent, waiting := d.Counts(); sent != 0 || waiting != 1000 {
		t.Errorf("sent %d, %d wait, want 0 and 1000", sent, waiting)
	}
}

// What a server does wrong makes it fail: what it has not answered, and only that, goes to the next one.
func TestRELPFailures(t *testing.T) {
	const total, good = 1000, 250
	for _, test := range []struct {
		name   string
		answer func(rest []int) (out []byte, end bool) // to what comes after the good ones
		reason string
	}{
		{"it goes", func([]int) ([]byte, bool) { return nil, true }, ""},
		{"it says that it goes", func([]int) ([]byte, bool) { return relp.AppendServerClose(nil), true }, "closed"},
		{"it refuses", func(rest []int) ([]byte, bool) {
			return relp.AppendResponse(nil, rest[0], []byte("500 disk full")), false
		}, "500 disk full"},
		{"it answers what was not sent", func(rest []int) ([]byte, bool) { return relp.AppendOK(nil, rest[0]+100000), false }, "waits for no answer"},
		{"it answers twice", func(rest []int) ([]byte, bool) { return relp.AppendOK(nil, rest[0]-1), false }, "waits for no answer"},
		{"it does not keep to the protocol", func([]int) ([]byte, bool) { return []byte("HTTP/1.1 400\r\n"), false }, "want a number"},
		{"it answers no more", func([]int) ([]byte, bool) { return nil, false }, errStalled.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			port := testneed.Port(t)
			answered := 0
			first := startRELP(t, fmt.Sprintf("127.0.0.1:%d", port), func(got []int) (out []byte, end bool) {
				for i, txnr := range got {
					if answered == good {
						rest, end := test.answer(got[i:])
						answered = total // nothing more
						return append(out, rest...), end
					}
					if answered < good {
						out = relp.AppendOK(out, txnr)
						answered++
					}
				}
				return out, false
			})
			second := startRELP(t, fmt.Sprintf("127.0.0.2:%d", port), allOK)
			d, finish := relpDestination(t, port, func(r *RELP) {
				if test.reason == errStalled.Error() {
					r.Stall = option.Duration(2 * time.Second)
				}
			})
			add(d, 0, total)
			finish()
			got, _, _ := first.state()
			wantNumbers(t, got[:good], 0, good)
			got, _, _ = second.state()
			wantNumbers(t, got, good, total)
			if st, _ := d.Status(); !strings.Contains(st.Reason, test.reason) || st.ResentUnread != 0 || st.ResentUnacknowledged == 0 {
				t.Errorf("status %+v, want reason %q", st, test.reason)
			}
		})
	}
}

// Answers that come in another order than the messages count as what they are.
func TestRELPOutOfOrder(t *testing.T) {
	port := testneed.Port(t)
	s := startRELP(t, fmt.Sprintf("127.0.0.1:%d", port), func(got []int) (out []byte, end bool) {
		for i := range got {
			out = relp.AppendOK(out, got[len(got)-1-i])
		}
		return out, false
	})
	d, finish := relpDestination(t, port, nil)
	add(d, 0, 1000)
	finish()
	got, sessions, _ := s.state()
	wantNumbers(t, got, 0, 1000)
	if sessions != 1 {
		t.Errorf("%d sessions, want 1", sessions)
	}
}

func TestRELPOptions(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(r *RELP)
		want string
	}{
		{"udp", func(r *RELP) { r.Transport = "udp" }, `transport "udp" is not possible for RELP, want tcp or tls`},
		{"framing", func(r *RELP) { r.Framing = "newline" }, "RELP has its own"},
		{"replay", func(r *RELP) { r.ReplayWindow = 1 }, "the server answers each message: what it did not answer is sent again"},
		{"no window", func(r *RELP) { r.Window = 0 }, "0 is not from 1 to 65536"},
		{"no address", func(r *RELP) { r.Address = "" }, "the name or address of a server is required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRELP(&option.Globals{LogFIFOSize: 1, LogFIFOBytes: 1 << 20}).(*RELP)
			r.Address = "localhost"
			test.set(r)
			if err := r.Init(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}

func TestRELPCertificate(t *testing.T) {
	dir, ca, now := t.TempDir(), newAuthority(t), time.Now()
	key, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		t.Fatal(err)
	}
	r := newRELP(&option.Globals{LogFIFOSize: 1, LogFIFOBytes: 1 << 20}).(*RELP)
	r.Address, r.Transport = "127.0.0.1", "tls"
	r.TLS = &TLS{ClientTLS: option.ClientTLS{
		CertFile: writePEM(t, filepath.Join(dir, "cert"), "CERTIFICATE", ca.issue(t, "127.0.0.9", now).Certificate[0]),
		KeyFile:  writePEM(t, filepath.Join(dir, "key"), "PRIVATE KEY", key),
	}}
	if err := r.Init(); err != nil {
		t.Fatal(err)
	}
	if c := New("d", r).Certificate(); c == nil || c.IPAddresses[0].String() != "127.0.0.9" {
		t.Errorf("certificate %v", c)
	}
}
