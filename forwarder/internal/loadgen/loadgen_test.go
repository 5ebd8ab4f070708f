package loadgen

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"kad/pkg/syslog"
	"kad/pkg/testneed"
)

func marked(m Mark) []byte {
	b := []byte("<13>text" + markForm)
	m.put(b[len(b)-markSize:])
	putNumber(b[len(b)-markSize:], m.Number, m.Sent.UnixNano())
	return b
}

func TestMark(t *testing.T) {
	want := Mark{0xdeadbeef, 3, 17, maxNumber, 12, time.Unix(0, 1795000000123456789)}
	message := marked(want)
	for name, b := range map[string][]byte{
		"at the end":    message,
		"inside":        append(bytes.Clone(message), " more\""...),
		"after a false": append([]byte(" run=x"), message...),
	} {
		if got, ok := FindMark(b); !ok || got != want {
			t.Errorf("%s: got %v, %v", name, got, ok)
		}
	}
	for cut := 1; cut <= markSize; cut++ {
		if got, ok := FindMark(message[:len(message)-cut]); ok {
			t.Errorf("%d bytes cut: got %v", cut, got)
		}
	}
}

func FuzzFindMark(f *testing.F) {
	f.Add(marked(Mark{Connections: 1, Sent: time.Unix(1, 0)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := FindMark(b)
		if !ok {
			return
		}
		if again, ok := FindMark(marked(m)); !ok || again != m {
			t.Errorf("found %v, and in its own form %v, %v", m, again, ok)
		}
	})
}

// A set says the same as a map.
func TestSet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s set
	model := map[int64]bool{}
	const end = 5*pageBits + 77
	for next := int64(0); next < end; next += random.Int64N(3) {
		n := max(0, next-random.Int64N(2)*random.Int64N(3*pageBits))
		if got := s.add(n); got == model[n] {
			t.Fatalf("%d is new: got %v", n, got)
		}
		model[n] = true
	}
	var want []Range
	for n := int64(0); n < end && len(want) < maxMissing; n++ {
		switch last := len(want) - 1; {
		case model[n]:
		case last >= 0 && want[last].Last == n-1:
			want[last].Last = n
		default:
			want = append(want, Range{n, n})
		}
	}
	if got := s.missing(end); !reflect.DeepEqual(got[:maxMissing-1], want[:maxMissing-1]) {
		t.Errorf("missing: got %v, want %v", got, want)
	}
}

// Its memory has a bound, whatever numbers come.
func TestSetBound(t *testing.T) {
	var s set
	for _, n := range []int64{0, 5, maxPages * pageBits, maxPages*pageBits + 1, maxNumber, maxNumber - pageBits} {
		if !s.add(n) {
			t.Errorf("%d is not new", n)
		}
	}
	if s.add(1) || s.add(maxNumber) {
		t.Error("a number that was given up, or that came, is new")
	}
	if len(s.pages) > maxPages {
		t.Errorf("%d pages", len(s.pages))
	}
	var full set
	for n := range int64(3 * pageBits) {
		full.add(n)
	}
	if len(full.pages) != 0 || full.missing(3*pageBits) != nil {
		t.Errorf("%d pages of a set without gaps, missing %v", len(full.pages), full.missing(3*pageBits))
	}
	if got := full.missing(3*pageBits + 9); !reflect.DeepEqual(got, []Range{{3 * pageBits, 3*pageBits + 8}}) {
		t.Errorf("missing at the end: got %v", got)
	}
}

func TestHistogram(t *testing.T) {
	for v := uint64(1); v < 1<<62; v += 1 + v/7 {
		b := bucket(v)
		if bound(b) <= v || b > 0 && bound(b-1) > v || float64(bound(b)) > float64(v)*1.04+1 {
			t.Fatalf("%d is in bucket %d, from %d to %d", v, b, bound(b-1), bound(b))
		}
	}
	var h histogram
	if h.summary() != nil {
		t.Error("a summary of nothing")
	}
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	got := h.summary()
	for _, p := range []struct{ got, want float64 }{{got.P50, 501}, {got.P99, 991}, {got.P999, 1000}, {got.Max, 1000}} {
		if p.got < p.want*0.99 || p.got > p.want*1.04 {
			t.Errorf("got %v, want %v", p.got, p.want)
		}
	}
}

func TestJudge(t *testing.T) {
	tally := NewTally(0)
	sent := time.Unix(1795000000, 5)
	add := func(sink int, connection int, total int64, numbers ...int64) {
		b := tally.begin(sink)
		defer tally.mu.Unlock()
		for _, n := range numbers {
			b.add(marked(Mark{Run: 7, Connection: connection, Connections: 4, Number: n, Total: total, Sent: sent.Add(time.Duration(n))}))
		}
	}
	add(0, 0, 0, 0, 1, 2, 5, 4, 5)   // 3 lost, 4 late, 5 twice
	add(1, 0, 11, 7, 10, 8, 9)       // by another way, 8 and 9 late
	add(0, 0, 0, 6)                  // no matter
	add(0, 1, 3, 0, 1)               // 2 lost, which is the last one
	add(0, 2, 0, 0, 1)               // the end is not known
	tally.begin(0).tally.mu.Unlock() // nothing
	b := tally.begin(0)
	b.add([]byte("no mark"))
	tally.mu.Unlock()
	got := tally.Judge()
	got.Latency, got.ReceiveSeconds = nil, 0
	for _, f := range got.Faults {
		for i := range f.Overtaken {
			if f.Overtaken[i].Came.Before(tally.first) {
				t.Errorf("%+v came before all others", f.Overtaken[i])
			}
			f.Overtaken[i].Came = time.Time{}
		}
	}
	want := Judged{
		Received: 14, Lost: 1 + 1 + 1 + 1, Duplicated: 1, Reordered: 3, Foreign: 1, Endless: 2,
		Faults: []Fault{
			{Run: "00000007", Connection: 0, Lost: 1, Duplicated: 1, Reordered: 3, Missing: []Range{{3, 3}}, Overtaken: []Overtaken{
				{Numbers: Range{4, 4}, After: 5, Sent: sent.Add(4)},
				{Numbers: Range{8, 9}, Sink: 1, After: 10, Sent: sent.Add(8)},
			}},
			{Run: "00000007", Connection: 1, Lost: 1, Missing: []Range{{2, 2}}},
			{Run: "00000007", Connection: 2, Lost: 1, Missing: []Range{{2, 2}}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func options(servers ...Address) Options {
	return Options{Servers: servers, Connections: 3, Count: 30000, Size: 200, Timeout: time.Minute, Wait: time.Minute}
}

// exchange sends to sinks, and judges.
func exchange(t *testing.T, o Options, sinks []Address, files TLS) (Sent, Judged) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	sender, err := NewSender(o, log)
	if err != nil {
		t.Fatal(err)
	}
	tally := NewTally(sender.RunID())
	sink, err := Listen(sinks, tally, files, true, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { sink.Run(ctx); close(done) }()
	sender.Run(ctx)
	total, sent := sender.Tell(tally), sender.Result()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		n, last := tally.Received()
		if n == total || sent.Sent == 0 {
			break
		}
		end = last.Add(3 * time.Second)
	}
	cancel()
	<-done
	return sent, tally.Judge()
}

func freeAddress(t *testing.T, transport string) Address {
	t.Helper()
	if transport == "unix" || transport == "unixgram" {
		return Address{transport, filepath.Join(t.TempDir(), "s")}
	}
	return Address{transport, fmt.Sprintf("127.0.0.1:%d", testneed.Port(t))}
}

func TestTransports(t *testing.T) {
	for _, transport := range []string{"tcp", "unix", "unixgram", "udp"} {
		for _, framing := range []syslog.Framing{syslog.Newline, syslog.OctetCounting} {
			a := freeAddress(t, transport)
			o := options(a)
			o.Framing, o.RFC5424 = framing, framing == syslog.OctetCounting
			if transport == "udp" {
				o.Count = 200 // fit into any receive buffer
			}
			sent, got := exchange(t, o, []Address{a}, TLS{})
			if sent.Sent != o.Count || sent.Unsent+sent.Resent != 0 || got.Received != o.Count || got.Lost+got.Duplicated+got.Reordered+got.Foreign != 0 {
				t.Errorf("%s framing %d: %+v %+v", transport, framing, sent, got)
			}
		}
	}
}

// certificate writes a certificate for 127.0.0.1 that vouches for itself.
func certificate(t *testing.T) TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return TLS{file, file, file}
}

// Both sides show and check a certificate; what a server has acknowledged is known through TLS too.
func TestTLS(t *testing.T) {
	files, a := certificate(t), freeAddress(t, "tls")
	o := options(forwardAndClose(t, a, false), a)
	o.Servers[0].Transport, o.TLS = "tls", files
	o.Rate = 15000 // it must not be done before it sees the end
	sent, got := exchange(t, o, []Address{a}, files)
	if sent.Sent != 30000 || got.Received != 30000 || got.Lost != 0 || sent.Reconnects == 0 || got.Duplicated > 3*batchSize/200 {
		t.Errorf("%+v %+v", sent, got)
	}
	o.TLS, o.Wait = TLS{}, 0
	if sent, _ = exchange(t, o, []Address{a}, files); sent.Sent != 0 {
		t.Errorf("without trust: %+v", sent)
	}
}

// Messages go at the rate, and those of the duration end with one that tells how many there are.
func TestRate(t *testing.T) {
	a := freeAddress(t, "tcp")
	o := options(a)
	o.Count, o.Duration, o.Rate = 0, 2*time.Second, 2000
	sent, got := exchange(t, o, []Address{a}, TLS{})
	if sent.Sent < 100 || float64(sent.Sent) > 2200*sent.SendSeconds || got.Lost+got.Endless != 0 || got.Received != sent.Sent {
		t.Errorf("%+v %+v", sent, got)
	}
}

// forwardAndClose hands on to a sink what its first connections send, some of it, and closes: what is read is not lost.
func forwardAndClose(t *testing.T, to Address, reset bool) Address {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go forward(in, to, reset)
		}
	}()
	return Address{"tcp", l.Addr().String()}
}

func forward(in net.Conn, to Address, reset bool) {
	defer in.Close()
	out, err := net.Dial("tcp", to.Address)
	if err != nil {
		return
	}
	defer out.Close()
	go io.Copy(in, out)
	_, _ = io.CopyN(out, in, 100001) // in the middle of a message
	if reset {
		_ = in.(*net.TCPConn).SetLinger(0)
		return
	}
	_ = in.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(out, in)
}

// A server that closes in order and reads what is on its way costs nothing.
func TestOrderlyClose(t *testing.T) {
	a := freeAddress(t, "tcp")
	o := options(forwardAndClose(t, a, false), a)
	sent, got := exchange(t, o, []Address{a}, TLS{})
	if sent.Sent != 30000 || got.Received != 30000 || got.Lost+got.Duplicated != 0 { // it may be done before it sees the end
		t.Errorf("%+v %+v", sent, got)
	}
}

// What a server resets without having read it is lost, and that is seen.
func TestReset(t *testing.T) {
	a := freeAddress(t, "tcp")
	o := options(forwardAndClose(t, a, true), a)
	o.Count = 300_000 // more than sockets take: it cannot be done before it sees the reset
	sent, got := exchange(t, o, []Address{a}, TLS{})
	if sent.Sent != o.Count || sent.Reconnects == 0 || got.Received+got.Lost != o.Count || got.Lost == 0 || got.Faults[0].Missing == nil {
		t.Errorf("%+v %+v", sent, got)
	}
}

// No server at all: the messages count as not sent.
func TestNoServer(t *testing.T) {
	o := options(freeAddress(t, "tcp"))
	o.Wait = 200 * time.Millisecond
	sent, got := exchange(t, o, nil, TLS{})
	if sent.Sent != 0 || sent.Unsent != 30000 || got.Lost != 30000 {
		t.Errorf("%+v %+v", sent, got)
	}
}

func TestRefused(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for want, change := range map[string]func(*Options){
		"a message of 10 bytes has no room": func(o *Options) { o.Size = 10 },
		"0 connections are not possible":    func(o *Options) { o.Connections = 0 },
		"neither a count nor a duration":    func(o *Options) { o.Count = 0 },
		"2 messages are too few":            func(o *Options) { o.Count = 2 },
		"file:///x is no server":            func(o *Options) { o.Servers = []Address{{"file", "/x"}} },
		"-1 messages are not possible":      func(o *Options) { o.Count = -1 },
	} {
		o := options(Address{"tcp", "127.0.0.1:1"})
		change(&o)
		if _, err := NewSender(o, log); err == nil || !bytes.HasPrefix([]byte(err.Error()), []byte(want)) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, text := range []string{"host", "http://host:1", "unix://", "tcp://"} {
		if a, err := ParseAddress(text); err == nil {
			t.Errorf("%q is %v", text, a)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	s, err := NewSender(options(Address{"tcp", "127.0.0.1:1"}), slog.Default())
	if err != nil {
		b.Fatal(err)
	}
	c := s.clients[0]
	b.ReportAllocs()
	for n := int64(0); n < int64(b.N); {
		n += c.build(int64(b.N)-n, &stream{})
	}
}

func BenchmarkTally(b *testing.B) {
	tally := NewTally(0)
	message := marked(Mark{Run: 1, Connections: 1, Sent: time.Now()})
	b.ReportAllocs()
	batch := tally.begin(0)
	for n := range b.N {
		putNumber(message[len(message)-markSize:], int64(n), 1)
		batch.add(message)
	}
	tally.mu.Unlock()
}
