package source

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"kad/forwarder/internal/option"
)

// TLS is our certificate and whom we trust. The files are read anew when they have changed: for new connections, while those
// that are open stay.
type TLS struct {
	CertFile   string `toml:"cert_file"`
	KeyFile    string `toml:"key_file"`
	CAFile     string `toml:"ca_file"`
	CADir      string `toml:"ca_dir"`
	PeerVerify string `toml:"peer_verify"` // required, optional, none: certificates of clients
	MinVersion string `toml:"min_version"` // 1.2, 1.3

	auth    tls.ClientAuthType
	version uint16

	mu     sync.Mutex  // guards what follows
	config *tls.Config // the last good one
	stamps []stamp     // of the files that were read last
	looked time.Time
}

// Certificate is the one that the input shows its clients, nil if there is none.
func (in *Input) Certificate() *x509.Certificate {
	if n := listening(in.driver); n != nil && n.TLS != nil {
		return n.TLS.current(in.Logger).Certificates[0].Leaf
	}
	if client, ok := in.driver.(interface{ Certificate() *x509.Certificate }); ok {
		return client.Certificate()
	}
	return nil
}

// A stamp changes when a file does.
type stamp struct {
	modified time.Time
	size     int64
}

func (t *TLS) init() (err error) {
	verify := map[string]tls.ClientAuthType{
		"": tls.RequireAndVerifyClientCert, "required": tls.RequireAndVerifyClientCert, "optional": tls.VerifyClientCertIfGiven, "none": tls.NoClientCert,
	}
	if t.version, err = option.TLSVersion(t.MinVersion); err != nil {
		return err
	}
	ok := false
	if t.auth, ok = verify[t.PeerVerify]; !ok {
		return option.Errorf("tls.peer_verify", "%q is not known, want required, optional or none", t.PeerVerify)
	}
	if t.CertFile == "" {
		return option.Errorf("tls.cert_file", "the file of a certificate is required")
	}
	t.stamps = t.stamp()
	t.config, err = t.load()
	return err
}

// load reads the files.
func (t *TLS) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, option.Errorf("tls.cert_file", "%w", err)
	}
	c := &tls.Config{MinVersion: t.version, ClientAuth: t.auth, Certificates: []tls.Certificate{pair}}
	c.ClientCAs, err = option.LoadCAs(t.CAFile, t.CADir)
	return c, err
}

func (t *TLS) stamp() (stamps []stamp) {
	for _, name := range []string{t.CertFile, t.KeyFile, t.CAFile, t.CADir} {
		var s stamp
		if info, err := os.Stat(name); err == nil {
			s = stamp{info.ModTime(), info.Size()}
		}
		stamps = append(stamps, s)
	}
	return stamps
}

// server is the configuration of a listener.
func (t *TLS) server(logger *slog.Logger) *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.current(logger), nil }}
}

// lookInterval is how often files are looked at, at most.
const lookInterval = time.Second

// current is what the files say, or the last that was right.
func (t *TLS) current(logger *slog.Logger) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.looked) < lookInterval {
		return t.config
	}
	t.looked = time.Now()
	stamps := t.stamp()
	if slices.Equal(stamps, t.stamps) {
		return t.config
	}
	t.stamps = stamps
	c, err := t.load()
	if err != nil {
		logger.Error("changed certificates cannot be used, those before stay", "error", err)
		return t.config
	}
	logger.Info("certificates are loaded anew")
	t.config = c
	return c
}
