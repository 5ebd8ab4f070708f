package source

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"kad/forwarder/internal/option"

	"golang.org/x/sys/unix"
)

// chopped is what a client of TLS writes to: it comes in pieces, each of which the server has read before the next one.
type chopped struct {
	*net.TCPConn
	sizes  []byte // of the pieces, less one; none: all at once
	hold   bool   // what is written is kept
	held   []byte
	server *records
	ended  chan struct{} // the server reads no more
}

func (c *chopped) Write(b []byte) (int, error) {
	if c.hold {
		c.held = append(c.held, b...)
		return len(b), nil
	}
	whole := len(b)
	for len(b) > 0 {
		n := len(b)
		if len(c.sizes) > 0 {
			n = min(n, int(c.sizes[0])+1)
			c.sizes = append(c.sizes[1:], c.sizes[0])
		}
		if _, err := c.TCPConn.Write(b[:n]); err != nil {
			return 0, err
		}
		b = b[n:]
		for len(c.sizes) > 0 && c.isUnread() {
			time.Sleep(time.Microsecond)
		}
	}
	return whole, nil
}

func (c *chopped) isUnread() (unread bool) {
	select {
	case <-c.ended:
		return false
	default:
	}
	_ = c.server.raw.Control(func(fd uintptr) {
		n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		unread = err == nil && n > 0
	}) // of an open socket
	_ = c.server.SetReadDeadline(time.Now()) // that wakes the reader, anywhere
	return unread
}

// secured is a connection of TLS over which nothing was sent yet.
func secured(t *testing.T, version uint16) (client *tls.Conn, below *chopped, server *records) {
	t.Helper()
	a := newAuthority(t)
	pair, err := tls.X509KeyPair(a.issue("server", time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	below = &chopped{TCPConn: dial(t, "tcp", l.Addr().String()).(*net.TCPConn), ended: make(chan struct{})}
	accepted, err := tls.NewListener(recordListener{l}, &tls.Config{Certificates: []tls.Certificate{pair}}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	shaken := make(chan error, 1)
	go func() { shaken <- accepted.(*tls.Conn).Handshake() }()
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	client = tls.Client(below, &tls.Config{RootCAs: roots, ServerName: "server", MaxVersion: version})
	if err := errors.Join(client.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	below.server = recordsOf(accepted.(*tls.Conn))
	return client, below, below.server
}

// FuzzRecords: in whatever records and pieces a stream comes, and however often its reader is woken, the reader has all of it, and
// learns how it ends.
func FuzzRecords(f *testing.F) {
	f.Add(false, []byte{1, 50, 255, 9}, []byte{}, byte(0))
	f.Add(true, []byte{255, 255}, []byte{255, 3, 0, 4}, byte(1))
	f.Add(false, []byte{3, 3, 3, 130}, []byte{4}, byte(2))
	f.Add(true, []byte{}, []byte{0}, byte(0))
	f.Fuzz(func(t *testing.T, old bool, texts, sizes []byte, end byte) {
		version := uint16(tls.VersionTLS13)
		if old {
			version = tls.VersionTLS12
		}
		client, below, server := secured(t, version)
		var want []byte
		result := make(chan error, 1)
		var got []byte
		go func() {
			defer close(below.ended)
			var err error
			got, err = readRecords(server)
			result <- err
		}()
		below.sizes = sizes[:min(len(sizes), 8)]
		for i, text := range texts[:min(len(texts), 8)] {
			part := bytes.Repeat([]byte{byte(i)}, int(text)*int(text))
			if len(sizes) > 0 { // each piece takes its time
				part = part[:min(len(part), 3000)]
			}
			want = append(want, part...)
			if _, err := client.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		wantErr := io.EOF
		switch end % 3 {
		case 0:
			_ = client.CloseWrite()
		case 1:
			below.hold = true
			_, _ = io.WriteString(client, "cut")
			_, _ = below.TCPConn.Write(below.held[:len(below.held)-1])
			wantErr = io.ErrUnexpectedEOF
		}
		_ = below.TCPConn.CloseWrite()
		if err := <-result; err != wantErr || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes and %v, want %d and %v", len(got), err, len(want), wantErr)
		}
	})
}

// readRecords reads to the end.
func readRecords(r *records) (all []byte, err error) {
	b := buffer{needed: 1 << 16}
	defer b.give()
	for err == nil {
		n := 0
		n, err = r.fill(&b)
		all = append(all, b.bytes()...)
		b.use(len(b.bytes()))
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) { // with bytes it would end the session
			err = r.SetReadDeadline(time.Time{})
		}
	}
	return all, err
}

// What has come as a whole record does not wait for the rest of the next one, which is waited for without memory.
func TestRecordInPart(t *testing.T) {
	before := memoryInUse.Load()
	client, below, server := secured(t, tls.VersionTLS13)
	below.hold = true
	for _, text := range []string{"one", "two", "three"} {
		_, _ = io.WriteString(client, text)
	}
	rest := below.held[len(below.held)-5:]
	_, _ = below.TCPConn.Write(below.held[:len(below.held)-5])
	read := make(chan string)
	go func() {
		b := buffer{needed: 1 << 16}
		defer b.give()
		defer close(read)
		for err := error(nil); err == nil; b.use(len(b.bytes())) {
			_, err = server.fill(&b)
			read <- string(b.bytes())
		}
	}()
	if got := <-read; got != "onetwo" {
		t.Errorf("read %q of two records and a half", got)
	}
	for end := time.Now().Add(time.Minute); memoryInUse.Load() != before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes of memory wait for a record", memoryInUse.Load()-before)
		}
	}
	_, _ = below.TCPConn.Write(rest)
	_ = below.TCPConn.CloseWrite()
	if got := <-read; got != "three" {
		t.Errorf("then read %q", got)
	}
	for range read {
	}
}

// A source that stops tells its clients, and has all that they send until they close.
func TestTLSStopReadsAll(t *testing.T) {
	s := newTLSSource(t, func(n *Network) { n.leaveTimeout = time.Minute })
	client, err := tls.Dial("tcp", s.addr, s.client(time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, header+"first\n"); err != nil {
		t.Fatal(err)
	}
	s.wait(1)
	sent := make(chan int)
	go func() { sent <- sendUntilTold(client, 2*quiet) }()
	s.stop()
	want := 1 + <-sent
	if got := s.wait(want); len(got) != want {
		t.Errorf("got %d messages, want %d", len(got), want)
	}
}

func TestTLSIdleTimeout(t *testing.T) {
	s := newTLSSource(t, func(n *Network) { n.IdleTimeout = option.Duration(20 * time.Millisecond) })
	if err := s.send(s.client(time.Now().Add(time.Hour)), "one"); err != nil {
		t.Fatal(err)
	}
	client, err := tls.Dial("tcp", s.addr, s.client(time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_ = client.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection ends with %v, want EOF", err)
	}
}
