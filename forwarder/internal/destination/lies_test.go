package destination

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"kad/forwarder/internal/option"
	"kad/pkg/testneed"
)

// fakeDNS answers questions with the addresses that answer gives to the number of a question.
func fakeDNS(t *testing.T, answer func(asked int) [][]byte) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for asked := 0; ; asked++ {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(dnsAnswer(buf[:n], answer(asked)), from) // it is asked again
		}
	}()
	resolver(t, func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("udp", conn.LocalAddr().String())
	})
}

// lyingDNS answers the first questions with an address where nobody listens, and the rest with that and a good one.
func lyingDNS(t *testing.T) {
	t.Helper()
	fakeDNS(t, func(asked int) [][]byte {
		if asked < 4 { // A and AAAA, twice
			return [][]byte{{127, 0, 0, 9}}
		}
		return [][]byte{{127, 0, 0, 9}, {127, 0, 0, 1}}
	})
}

// dnsAnswer is the response to a question (RFC 1035, section 4.1), for addresses of type A alone.
func dnsAnswer(question []byte, addresses [][]byte) []byte {
	end := 12
	for question[end] != 0 {
		end += 1 + int(question[end])
	}
	if kind := binary.BigEndian.Uint16(question[end+1:]); kind != 1 {
		addresses = nil
	}
	b := append([]byte{}, question[0], question[1], 0x81, 0x80, 0, 1, 0, byte(len(addresses)), 0, 0, 0, 0)
	b = append(b, question[12:end+5]...)
	for _, a := range addresses {
		b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		b = append(b, a...)
	}
	return b
}

// A name that leads nowhere is asked for again, and all of its addresses are tried.
func TestLyingDNS(t *testing.T) {
	port, dir := testneed.Port(t), t.TempDir()
	good := startSink(t, fmt.Sprintf("127.0.0.1:%d", port), filepath.Join(dir, "1"), 0, 0)
	lyingDNS(t)
	f := startFeed(t, func(n *Network) {
		n.Address, n.Port, n.Failover, n.TimeReopen = "loghost.example", port, nil, option.Duration(20*time.Millisecond)
	})
	f.add(500)
	waitFor(t, "connection", func() bool { st, _ := f.d.Status(); return st.Address == fmt.Sprintf("127.0.0.1:%d", port) })
	if st, _ := f.d.Status(); st.Reason == "" {
		t.Error("the address of nobody was no failure")
	}
	f.finish(t)
	f.check(t, 0, good)
}

// A server that is cut off while nothing is sent is found by keepalives, before it would cost a message.
func TestIdleSilence(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	port, dir := testneed.Port(t), t.TempDir()
	address := func(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }
	first := startSink(t, address("127.0.0.1"), filepath.Join(dir, "1"), 0, 0)
	second := startSink(t, address("127.0.0.2"), filepath.Join(dir, "2"), 0, 0)
	f := startFeed(t, func(n *Network) { n.Port, n.DeadPeer = port, option.Duration(time.Second) })
	f.add(100)
	waitFor(t, "acknowledgement", func() bool { return f.d.queue.Len() == 0 })
	command(t, "nft", "add table ip kad; add chain ip kad in { type filter hook input priority 0; }; add rule ip kad in ip daddr 127.0.0.1 tcp dport "+strconv.Itoa(port)+" drop")
	waitFor(t, "switch", func() bool { st, _ := f.d.Status(); return st.Address == address("127.0.0.2") })
	f.add(100)
	f.finish(t)
	f.check(t, 100, first, second) // what was acknowledged before may be unread
	if list := second.numbers(t); len(list) < 100 {
		t.Errorf("the second server has %d messages", len(list))
	}
}

// The next connection shows the certificate that is there then; if that is none, the one before goes on.
func TestChangedCertificate(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	now := time.Now().Add(-time.Minute)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "127.0.0.1", now)}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	shown, closing := make(chan string), make(chan struct{})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
				shown <- conn.(*tls.Conn).ConnectionState().PeerCertificates[0].IPAddresses[0].String()
				<-closing
			}
			_ = conn.Close()
		}
	}()
	key, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(ip string) {
		writePEM(t, filepath.Join(dir, "new"), "CERTIFICATE", ca.issue(t, ip, now).Certificate[0])
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "cert")); err != nil {
			t.Fatal(err)
		}
	}
	write("127.0.0.7")
	f := startFeed(t, func(n *Network) {
		n.Port, n.Transport, n.Failover, n.TimeReopen = l.Addr().(*net.TCPAddr).Port, "tls", nil, option.Duration(10*time.Millisecond)
		n.TLS = &TLS{ClientTLS: option.ClientTLS{
			CAFile:   writePEM(t, filepath.Join(dir, "ca"), "CERTIFICATE", ca.der),
			CertFile: filepath.Join(dir, "cert"),
			KeyFile:  writePEM(t, filepath.Join(dir, "key"), "PRIVATE KEY", key),
		}}
	})
	for _, step := range []struct {
		change func()
		want   string
	}{
		{func() {}, "127.0.0.7"},
		{func() { write("127.0.0.8") }, "127.0.0.8"},
		{func() {
			if err := os.WriteFile(filepath.Join(dir, "cert"), []byte("none"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "127.0.0.8"},
	} {
		step.change()
		if step.want != "127.0.0.7" {
			closing <- struct{}{}
		}
		f.add(1)
		select {
		case got := <-shown:
			if got != step.want {
				t.Errorf("certificate of %s, want that of %s", got, step.want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no connection with the certificate of %s", step.want)
		}
	}
	if c := f.d.Certificate(); c == nil || c.IPAddresses[0].String() != "127.0.0.8" {
		t.Errorf("certificate %v", c)
	}
	close(closing)
	f.d.Drain()
}
