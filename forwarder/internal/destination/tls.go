package destination

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"

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

	config atomic.Pointer[tls.Config]
}

func (t *TLS) init() error {
	config, err := t.load()
	if err == nil {
		t.config.Store(config)
	}
	return err
}

func (t *TLS) load() (*tls.Config, error) {
	version, err := option.TLSVersion(t.MinVersion)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: version, DynamicRecordSizingDisabled: true}
	switch t.PeerVerify {
	case "", "required":
	case "none":
		config.InsecureSkipVerify = true
	default:
		return nil, option.Errorf("tls.peer_verify", "%q is not known, want required or none", t.PeerVerify)
	}
	if t.CertFile != "" || t.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, option.Errorf("tls.cert_file", "%w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	config.RootCAs, err = option.LoadCAs(t.CAFile, t.CADir)
	return config, err
}

// handshake makes a TLS connection of conn, with the certificate checked against the server's own name. The files are read
// anew each time; if they are not good, what was read before is used.
func (t *TLS) handshake(ctx context.Context, conn net.Conn, server string) (*tls.Conn, error) {
	if config, err := t.load(); err == nil {
		t.config.Store(config)
	}
	config := t.config.Load().Clone()
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
