package option

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// ClientTLS says whom to trust and who we are, where we connect to servers.
type ClientTLS struct {
	CAFile     string `toml:"ca_file"`
	CADir      string `toml:"ca_dir"`
	CertFile   string `toml:"cert_file"`
	KeyFile    string `toml:"key_file"`
	ServerName string `toml:"server_name"` // empty: the name of each server
	PeerVerify string `toml:"peer_verify"` // required, none
	MinVersion string `toml:"min_version"` // 1.2, 1.3
}

// Load reads the files. Its error is an *Error.
func (t *ClientTLS) Load() (*tls.Config, error) {
	version, err := TLSVersion(t.MinVersion)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: version, ServerName: t.ServerName, DynamicRecordSizingDisabled: true}
	switch t.PeerVerify {
	case "", "required":
	case "none":
		config.InsecureSkipVerify = true
	default:
		return nil, Errorf("tls.peer_verify", "%q is not known, want required or none", t.PeerVerify)
	}
	if t.CertFile != "" || t.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, Errorf("tls.cert_file", "%w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	config.RootCAs, err = LoadCAs(t.CAFile, t.CADir)
	return config, err
}

// TLSVersion reads tls.min_version; empty is 1.2.
func TLSVersion(name string) (uint16, error) {
	switch name {
	case "", "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, Errorf("tls.min_version", "version %q is not known, want 1.2 or 1.3", name)
}

// LoadCAs reads certificates from a file, or else from the files of a directory; nil if both are empty.
func LoadCAs(file, dir string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	switch {
	case file != "":
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, Errorf("tls.ca_file", "%w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, Errorf("tls.ca_file", "%s has no certificate", file)
		}
	case dir != "":
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, Errorf("tls.ca_dir", "%w", err)
		}
		found := false
		for _, entry := range entries {
			pem, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			found = err == nil && pool.AppendCertsFromPEM(pem) || found // others, a README, may lie there too
		}
		if !found {
			return nil, Errorf("tls.ca_dir", "%s has no certificate", dir)
		}
	default:
		return nil, nil
	}
	return pool, nil
}

// A RenewedTLS is the TLS of a driver that connects anew by itself: our certificate is read for each handshake. A file that was
// replaced counts, one that is no good does not.
type RenewedTLS struct {
	TLS *ClientTLS `toml:"tls"` // nil: none

	used *atomic.Pointer[x509.Certificate] // in the last handshake, or the next one
}

// NewRenewedTLS has no TLS.
func NewRenewedTLS() RenewedTLS { return RenewedTLS{used: new(atomic.Pointer[x509.Certificate])} }

// LoadTLS reads the files; without TLS it returns nil. Its error is an *Error.
func (r *RenewedTLS) LoadTLS() (*tls.Config, error) {
	if r.TLS == nil {
		return nil, nil
	}
	config, err := r.TLS.Load()
	if err != nil || len(config.Certificates) == 0 {
		return config, err
	}
	first := config.Certificates[0]
	config.Certificates = nil
	r.used.Store(first.Leaf)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(r.TLS.CertFile, r.TLS.KeyFile)
		if err != nil {
			pair = first
		}
		r.used.Store(pair.Leaf)
		return &pair, nil
	}
	return config, nil
}

// Certificate is ours, nil if there is none.
func (r *RenewedTLS) Certificate() *x509.Certificate { return r.used.Load() }

// CheckEnvironment looks at the dates of the certificates.
func (r *RenewedTLS) CheckEnvironment(report Report) {
	if r.TLS != nil {
		r.TLS.CheckEnvironment(report)
	}
}

// CheckEnvironment looks at the dates of the certificates.
func (t *ClientTLS) CheckEnvironment(report Report) {
	CheckCertificates("tls.cert_file", t.CertFile, time.Now(), report)
	CheckCertificates("tls.ca_file", t.CAFile, time.Now(), report)
}
