package bgp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kad/kad-notify/internal/bgp"
	"kad/pkg/testneed"
)

// withAS is the configuration of a gobgpd that speaks to nobody.
const withAS = "[global.config]\nas = 64512\nrouter-id = \"192.0.2.254\"\nport = -1\n"

// gobgpd is a running gobgpd.
type gobgpd struct {
	t    *testing.T
	dir  string
	args []string
	cmd  *exec.Cmd
}

// start starts gobgpd with its API at host, and waits until that answers.
func start(t *testing.T, config, host string, args ...string) *gobgpd {
	t.Helper()
	testneed.Program(t, "gobgpd")
	g := &gobgpd{t: t, dir: t.TempDir()}
	g.args = append([]string{"--api-hosts", host, "--pprof-disable", "--log-level", "error"}, args...)
	if config != "" {
		file := filepath.Join(g.dir, "gobgpd.toml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		g.args = append(g.args, "--config-file", file)
	}
	g.run()
	t.Cleanup(g.kill)
	return g
}

func (g *gobgpd) run() {
	g.cmd = exec.Command("gobgpd", g.args...)
	g.cmd.Stderr = os.Stderr
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gobgpd) kill() {
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
}

// freePort returns an address on loopback where nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", testneed.Port(t))
}

func newClient(t *testing.T, opt bgp.Options) *bgp.Client {
	t.Helper()
	c, err := bgp.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func number(n uint32) *uint32 { return &n }

var (
	vip4 = netip.MustParseAddr("192.0.2.10")
	vip6 = netip.MustParseAddr("2001:db8::10")
	hop4 = netip.MustParseAddr("192.0.2.1")
	hop6 = netip.MustParseAddr("2001:db8::1")
)

func TestAnnounceAndWithdraw(t *testing.T) {
	addr := freePort(t)
	start(t, withAS, addr)
	socket := "unix://" + filepath.Join(t.TempDir(), "api.sock")
	start(t, withAS, socket)
	for _, target := range []string{addr, socket} {
		c := newClient(t, bgp.Options{Target: target})
		foreign := bgp.Path{Addr: netip.MustParseAddr("192.0.2.99"), NextHop: hop4}
		ctx := within(t, time.Minute)
		if err := c.Announce(ctx, foreign); err != nil {
			t.Fatal(err)
		}
		for _, p := range []bgp.Path{
			{Addr: vip4, NextHop: hop4, MED: number(50), Communities: []uint32{64512<<16 | 100, 0xffffff01}},
			{Addr: vip4, NextHop: hop4, MED: number(0)},
			{Addr: vip4, NextHop: hop4},
			{Addr: vip6, NextHop: hop6, MED: number(15), Communities: []uint32{64512<<16 | 100}},
			{Addr: vip6, NextHop: hop6, MED: number(15), Communities: []uint32{64512<<16 | 100}},
		} {
			if err := c.Announce(ctx, p); err != nil {
				t.Fatal(err)
			}
			got, ok, err := c.Find(ctx, p.Addr)
			if err != nil || !ok || !got.Equal(p) {
				t.Errorf("%s: announced %+v, found %+v, %v, %v", target, p, got, ok, err)
			}
		}
		for _, addr := range []netip.Addr{vip4, vip6, vip4} {
			if err := c.Withdraw(ctx, addr); err != nil {
				t.Fatal(err)
			}
			if got, ok, err := c.Find(ctx, addr); ok || err != nil {
				t.Errorf("%s: withdrawn, found %+v, %v", target, got, err)
			}
		}
		if got, ok, err := c.Find(ctx, foreign.Addr); err != nil || !ok || !got.Equal(foreign) {
			t.Errorf("%s: the path of another address: %+v, %v, %v", target, got, ok, err)
		}
		if got, err := c.Server(ctx); err != nil || got != (bgp.Server{ASN: 64512, RouterID: "192.0.2.254"}) {
			t.Errorf("%s: %+v, %v", target, got, err)
		}
	}
}

// What is no address, or no next hop for it, never reaches gobgpd: nothing listens here.
func TestRefused(t *testing.T) {
	c := newClient(t, bgp.Options{Target: freePort(t)})
	ctx := within(t, time.Minute)
	for _, tt := range []struct {
		name string
		path bgp.Path
		want string
	}{
		{"no address", bgp.Path{NextHop: hop4}, "invalid IP is no address to announce"},
		{"all addresses", bgp.Path{Addr: netip.IPv4Unspecified(), NextHop: hop4}, "0.0.0.0 is no address to announce"},
		{"zone", bgp.Path{Addr: netip.MustParseAddr("fe80::1%eth0"), NextHop: hop6}, "fe80::1%eth0 is no address to announce"},
		{"mapped", bgp.Path{Addr: netip.MustParseAddr("::ffff:192.0.2.1"), NextHop: hop6}, "::ffff:192.0.2.1 is no address to announce"},
		{"no next hop", bgp.Path{Addr: vip4}, "announce 192.0.2.10: invalid IP is no next hop for it"},
		{"next hop of the session", bgp.Path{Addr: vip4, NextHop: netip.IPv4Unspecified()}, "announce 192.0.2.10: 0.0.0.0 is no next hop for it"},
		{"other family", bgp.Path{Addr: vip4, NextHop: hop6}, "announce 192.0.2.10: 2001:db8::1 is no next hop for it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := c.Announce(ctx, tt.path); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if err := c.Withdraw(ctx, netip.Addr{}); err == nil || err.Error() != "invalid IP is no address to announce" {
		t.Errorf("withdraw: %v", err)
	}
}

func TestGobgpdAway(t *testing.T) {
	addr := freePort(t)
	c := newClient(t, bgp.Options{Target: addr})
	begin := time.Now()
	err := c.Withdraw(within(t, 2*time.Second), vip4)
	want := "withdraw 192.0.2.10/32: gobgpd at " + addr + ": connection refused"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
	if _, err := c.Server(within(t, time.Minute)); err == nil || err.Error() != "gobgpd at "+addr+": connection refused" {
		t.Errorf("got %v", err)
	}
}

// A call that was made too early succeeds when gobgpd has started, and again when it has been restarted.
func TestGobgpdStarts(t *testing.T) {
	addr := freePort(t)
	c := newClient(t, bgp.Options{Target: addr})
	path := bgp.Path{Addr: vip4, NextHop: hop4}
	early := make(chan error)
	go func() { early <- c.Announce(within(t, time.Minute), path) }()
	time.Sleep(200 * time.Millisecond)
	g := start(t, withAS, addr)
	if err := <-early; err != nil {
		t.Fatal(err)
	}
	g.kill()
	g.run()
	if _, ok, err := c.Find(within(t, time.Minute), vip4); err != nil || ok {
		t.Errorf("after the restart: found %v, %v", ok, err)
	}
	if err := c.Announce(within(t, time.Minute), path); err != nil {
		t.Error(err)
	}
}

func TestGobgpdWithoutAS(t *testing.T) {
	addr := freePort(t)
	start(t, "", addr)
	c := newClient(t, bgp.Options{Target: addr})
	err := c.Announce(within(t, 2*time.Second), bgp.Path{Addr: vip4, NextHop: hop4})
	if want := "announce 192.0.2.10/32: gobgpd at " + addr + ": has no AS"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := c.Server(within(t, time.Minute)); err == nil || err.Error() != "gobgpd at "+addr+": has no AS" {
		t.Errorf("got %v", err)
	}
}

// A policy of gobgpd may drop a path without a word.
func TestDropped(t *testing.T) {
	addr := freePort(t)
	start(t, withAS+"[global.apply-policy.config]\ndefault-import-policy = \"reject-route\"\n", addr)
	c := newClient(t, bgp.Options{Target: addr})
	err := c.Announce(within(t, 2*time.Second), bgp.Path{Addr: vip4, NextHop: hop4})
	want := "announce 192.0.2.10/32: gobgpd at " + addr + ": takes the path but does not keep it, look at its policies"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key, "gobgpd.example.com")
	addr := freePort(t)
	start(t, withAS, addr, "--tls", "--tls-cert-file", cert, "--tls-key-file", key)
	c := newClient(t, bgp.Options{Target: addr, TLS: &bgp.TLS{CAFile: cert, ServerName: "gobgpd.example.com"}})
	if err := c.Announce(within(t, time.Minute), bgp.Path{Addr: vip4, NextHop: hop4}); err != nil {
		t.Error(err)
	}
	other := newClient(t, bgp.Options{Target: addr, TLS: &bgp.TLS{CAFile: cert, ServerName: "other.example.com"}})
	err := other.Withdraw(within(t, 3*time.Second), vip4)
	if err == nil || !strings.Contains(err.Error(), "certificate is valid for gobgpd.example.com, not other.example.com") {
		t.Errorf("another name: got %v", err)
	}
	plain := newClient(t, bgp.Options{Target: addr})
	if err := plain.Withdraw(within(t, time.Second), vip4); err == nil {
		t.Error("without TLS: no error")
	}
	for _, tt := range []struct {
		name string
		tls  bgp.TLS
		want string
	}{
		{"no file", bgp.TLS{CAFile: dir + "/none"}, fmt.Sprintf("gobgpd at %s: open %s/none: no such file or directory", addr, dir)},
		{"no certificate", bgp.TLS{CAFile: key}, fmt.Sprintf("gobgpd at %s: %s: no certificate in it", addr, key)},
	} {
		if _, err := bgp.New(bgp.Options{Target: addr, TLS: &tt.tls}); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func writeCertificate(t *testing.T, certFile, keyFile, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
