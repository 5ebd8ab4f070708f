package destination

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"

	"kad/forwarder/internal/option"
)

// TLS is used for the connections to servers.
type TLS struct {
	option.ClientTLS
	config atomic.Pointer[tls.Config]
}

func (t *TLS) init() error {
	config, err := t.Load()
	if err == nil {
		t.config.Store(config)
	}
	return err
}

// handshake makes a TLS connection of conn, with the certificate checked against the server's own name. The files are read
// anew each time; if they are not good, what was read before is used.
func (t *TLS) handshake(ctx context.Context, conn net.Conn, server string) (*tls.Conn, error) {
	if config, err := t.Load(); err == nil {
		t.config.Store(config)
	}
	config := t.config.Load().Clone()
	if config.ServerName == "" {
		config.ServerName = server
	}
	c := tls.Client(conn, config)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake has said why
		return nil, fmt.Errorf("tls to %s: %w", server, err)
	}
	return c, nil
}
