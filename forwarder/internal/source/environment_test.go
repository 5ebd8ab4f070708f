package source

import (
	"log/slog"
	"testing"

	"kad/forwarder/internal/option"
)

// A driver that is built on Network listens as it does.
func TestConflicts(t *testing.T) {
	globals := option.Defaults()
	at := func(driver, transport, ip string) Driver {
		d := Drivers[driver](&globals)
		n := listening(d)
		n.Transport, n.IP, n.Port = transport, ip, 514
		return d
	}
	for _, test := range []struct {
		a, b Driver
		want bool
	}{
		{at("network", "tcp", ""), at("syslog", "tls", "127.0.0.1"), true},
		{at("network", "tcp", "127.0.0.1"), at("relp", "tcp", "127.0.0.1"), true},
		{at("relp", "tcp", ""), at("relp", "tls", "127.0.0.1"), true},
		{at("relp", "tcp", "127.0.0.1"), at("network", "tcp", "127.0.0.2"), false},
		{at("relp", "tcp", ""), at("network", "udp", ""), false},
		{at("relp", "tcp", ""), &Unix{Path: "/dev/log"}, false},
		{&Unix{Path: "/dev/log"}, &Unix{Path: "/dev/log"}, true},
	} {
		if got := Conflicts(test.a, test.b); got != test.want || Conflicts(test.b, test.a) != got {
			t.Errorf("%+v and %+v: got %v", test.a, test.b, got)
		}
	}
}

func TestCertificateOfRELP(t *testing.T) {
	s := &tlsSource{authority: newAuthority(t), dir: t.TempDir()}
	s.install("relay.example.com")
	d, _ := relpSource(t, func(r *RELP) {
		r.Transport, r.TLS = "tls", &TLS{CertFile: s.dir + "/cert.pem", KeyFile: s.dir + "/key.pem", PeerVerify: "none"}
	})
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	in := &Input{driver: d, Logger: slog.New(slog.DiscardHandler)}
	if c := in.Certificate(); c == nil || c.Subject.CommonName != "relay.example.com" {
		t.Errorf("certificate %v", c)
	}
}
