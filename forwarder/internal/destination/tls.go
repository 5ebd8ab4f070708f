package destination

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"kad/forwarder/internal/option"
)

// TLS says whom to trust and who we are.
type TLS struct {
	CAFile     string `toml:"ca_file"`
	CADir      string `toml:"ca_dir"`
	CertFile   string `toml:"cert_file"`
	KeyFile    string `toml:"key_file"`
	ServerName string `toml:"server_name"` // empty: the name of each server
	PeerVerify string `toml:"peer_verify"` // required, none
	MinVersion string `toml:"min_version"` // 1.2, 1.3

	config *tls.Config
}

func (t *TLS) init() error {
	versions := map[string]uint16{"": tls.VersionTLS12, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	version, ok := versions[t.MinVersion]
	if !ok {
		return option.Errorf("tls.min_version", "version %q is not known, want 1.2 or 1.3", t.MinVersion)
	}
	t.config = &tls.Config{MinVersion: version}
	switch t.PeerVerify {
	case "", "required":
	case "none":
		t.config.InsecureSkipVerify = true
	default:
		return option.Errorf("tls.peer_verify", "%q is not known, want required or none", t.PeerVerify)
	}
	if t.CertFile != "" || t.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return option.Errorf("tls.cert_file", "%w", err)
		}
		t.config.Certificates = []tls.Certificate{pair}
	}
	var err error
	t.config.RootCAs, err = LoadCAs(t.CAFile, t.CADir)
	return err
}

// LoadCAs reads certificates from a file and from the files of a directory; nil if both are empty.
func LoadCAs(file, dir string) (*x509.CertPool, error) {
	if file == "" && dir == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	key, files := "tls.ca_file", []string{file}
	if file == "" {
		key = "tls.ca_dir"
		files, _ = filepath.Glob(filepath.Join(dir, "*")) // the pattern is good
	}
	for _, name := range files {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, option.Errorf(key, "%w", err)
		}
		if !pool.AppendCertsFromPEM(pem) && file != "" {
			return nil, option.Errorf(key, "%s has no certificate", name)
		}
	}
	return pool, nil
}

// handshake makes a TLS connection of conn, with the certificate checked against the server's own name.
func (t *TLS) handshake(ctx context.Context, conn net.Conn, server string) (net.Conn, error) {
	config := t.config.Clone()
	if config.ServerName = t.ServerName; config.ServerName == "" {
		config.ServerName = server
	}
	c := tls.Client(conn, config)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake has said why
		return nil, fmt.Errorf("tls to %s: %w", server, err)
	}
	return c, nil
}
