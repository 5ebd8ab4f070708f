package destination

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

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
	version, err := option.TLSVersion(t.MinVersion)
	if err != nil {
		return err
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
	t.config.RootCAs, err = option.LoadCAs(t.CAFile, t.CADir)
	return err
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
