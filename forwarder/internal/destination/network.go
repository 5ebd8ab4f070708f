package destination

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
	"kad/forwarder/internal/relp"

	"golang.org/x/sys/unix"
)

// Network sends to a server: RFC 3164 by lines, or, as syslog, RFC 5424 by octet counting.
type Network struct {
	Common
	Address        string          `toml:"address"`
	Port           int             `toml:"port"`
	Transport      string          `toml:"transport"` // tcp, udp, tls
	Framing        string          `toml:"framing"`   // newline, octet_counting
	LocalIP        string          `toml:"local_ip"`
	LocalPort      int             `toml:"local_port"`
	SendBuffer     option.Size     `toml:"so_sndbuf"`
	ReceiveBuffer  option.Size     `toml:"so_rcvbuf"`
	KeepAlive      bool            `toml:"so_keepalive"`
	ConnectTimeout option.Duration `toml:"connect_timeout"`
	DeadPeer       option.Duration `toml:"dead_peer_timeout"` // until a server that answers nothing has failed
	Stall          option.Duration `toml:"stall_timeout"`     // until one that takes nothing has failed
	ReplayWindow   ReplayWindow    `toml:"replay_window"`
	MessageID      string          `toml:"message_id"` // SD-ID of the element that tells messages apart; empty: none
	TLS            *TLS            `toml:"tls"`

	syslog bool
	window int // of RELP; 0: it is not used
}

// A ReplayWindow is how many of the last bytes that a server has acknowledged are sent again to the next one, if it went
// without having read them all.
type ReplayWindow int64

// autoWindow is what the server's receive buffer can hold, as far as that is not more than maxAutoWindow: a server may say
// that it has a gigabyte.
const (
	autoWindow    ReplayWindow = -1
	maxAutoWindow int64        = 8 << 20
)

// UnmarshalText reads "auto", or a size.
func (r *ReplayWindow) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*r = autoWindow
		return nil
	}
	var size option.Size
	if err := size.UnmarshalText(text); err != nil {
		return fmt.Errorf(`replay window %q is neither "auto" nor a number of bytes, nor one with a unit like "64KiB"`, text)
	}
	*r = ReplayWindow(size)
	return nil
}

func newNetwork(g *option.Globals) Driver {
	n := &Network{
		Common: common(g), Transport: "tcp", KeepAlive: true, ConnectTimeout: option.Duration(10 * time.Second),
		DeadPeer: option.Duration(3 * time.Second), Stall: option.Duration(10 * time.Second), ReplayWindow: autoWindow,
	}
	n.canFailOver = true
	return n
}

func newSyslog(g *option.Globals) Driver {
	n := newNetwork(g).(*Network)
	n.syslog, n.Framing = true, "octet_counting"
	return n
}

// DefaultPorts are those of the transports (IANA: syslog-conn 601, syslog 514, syslog-tls 6514).
var DefaultPorts = map[string]int{"tcp": 601, "udp": 514, "tls": 6514}

// Init checks the options.
func (n *Network) Init() error {
	if err := n.Common.Init(); err != nil {
		return err
	}
	port, ok := DefaultPorts[n.Transport]
	switch {
	case n.Address == "":
		return option.Errorf("address", "the name or address of a server is required")
	case !ok:
		return option.Errorf("transport", "transport %q is not known, want tcp, udp or tls", n.Transport)
	case n.Framing != "" && n.Framing != "newline" && n.Framing != "octet_counting":
		return option.Errorf("framing", "framing %q is not known, want newline or octet_counting", n.Framing)
	case n.Port < 0 || n.Port > 65535:
		return option.Errorf("port", "%d is not from 1 to 65535", n.Port)
	case n.Failover != nil && n.Transport == "udp":
		return option.Errorf("failover", "a udp destination cannot tell that a server failed: use tcp or tls")
	case n.DeadPeer == 0:
		return option.Errorf("dead_peer_timeout", "0 is not possible: every server would fail at once")
	case n.Stall == 0:
		return option.Errorf("stall_timeout", "0 is not possible: every server would fail at once")
	case n.MessageID != "" && !n.syslog && !n.syslogProtocol:
		return option.Errorf("message_id", "only RFC 5424 has structured data: use driver syslog")
	case n.TLS != nil && n.Transport != "tls":
		return option.Errorf("tls", `only for transport = "tls"`)
	}
	if n.Port == 0 {
		n.Port = port
	}
	if n.MessageID != "" {
		id, err := newMessageID(n.MessageID)
		if err != nil {
			return option.Errorf("message_id", "%w", err)
		}
		n.messageID = id
	}
	if n.Transport == "tls" {
		if n.TLS == nil {
			n.TLS = &TLS{}
		}
		if err := n.TLS.init(); err != nil {
			return err
		}
	}
	if n.Failover != nil {
		return n.Failover.init()
	}
	return nil
}

// connections is the network of a driver that has them, nil for datagrams.
func (n *Network) connections() *Network {
	if n.Transport == "udp" {
		return nil
	}
	return n
}

// Format says how a message is written: with a newline at its end, also where the length stands before it, as syslog-ng has
// it.
func (n *Network) Format() Format {
	switch {
	case n.syslog && n.Transport != "udp" && n.Framing == "octet_counting":
		return Format{Append: counted(n.truncated(n.oneLine(newline(n.Common.syslog())))), IsCounted: true}
	case n.syslog:
		return Format{Append: n.truncated(n.oneLine(newline(n.Common.syslog())))}
	case n.Framing == "octet_counting" && n.Transport != "udp":
		return Format{Append: counted(n.text(true)), IsCounted: true}
	}
	return Format{Append: n.text(true), IsBSD: n.isBSD()}
}

// Connect opens a socket for datagrams. Connections are the sender's.
func (n *Network) Connect(ctx context.Context, _ *slog.Logger) (Conn, error) {
	addresses, err := net.DefaultResolver.LookupIPAddr(ctx, n.Address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Control: n.control}
	if n.LocalIP != "" || n.LocalPort != 0 {
		d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(n.LocalIP), Port: n.LocalPort}
	}
	conn, err := d.DialContext(ctx, "udp", net.JoinHostPort(addresses[0].String(), strconv.Itoa(n.Port)))
	if err != nil {
		return nil, err
	}
	return &datagrams{Conn: conn}, nil
}

// dial connects to the first address of a server that answers, with TLS shows the right certificate, and with RELP opens a
// session.
func (n *Network) dial(ctx context.Context, server string) (l link, err error) {
	err = n.each(ctx, server, func(ctx context.Context, address string) error {
		l, err = n.link(ctx, server, address)
		return err
	})
	return l, err
}

func (n *Network) link(ctx context.Context, server, address string) (l link, err error) {
	tcp, err := n.dialTCP(ctx, address)
	if err != nil {
		return link{}, err
	}
	l.tcp = &counter{TCPConn: tcp}
	conn := net.Conn(l.tcp)
	if n.Transport == "tls" {
		if l.secure, err = n.TLS.handshake(ctx, conn, server); err != nil {
			return link{}, err
		}
		conn = l.secure
	}
	if n.window > 0 {
		if l.relp, err = relp.Open(ctx, conn, n.window); err != nil {
			return link{}, errors.Join(err, tcp.Close())
		}
	}
	return l, nil
}

// probe connects to the first address of a server that answers. A server that must take something is told that no more
// comes, which it reads before it closes.
func (n *Network) probe(ctx context.Context, server string, mustTake bool) error {
	return n.each(ctx, server, func(ctx context.Context, address string) error {
		tcp, err := n.dialTCP(ctx, address)
		if err != nil {
			return err
		}
		defer tcp.Close()
		if !mustTake {
			return nil
		}
		if err := tcp.CloseWrite(); err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { _ = tcp.SetReadDeadline(time.Now()) })() // of an open socket
		if _, err = io.Copy(io.Discard, tcp); errors.Is(err, os.ErrDeadlineExceeded) {
			return errStalled
		}
		return nil
	})
}

// each calls try with the addresses of a server until it succeeds.
func (n *Network) each(ctx context.Context, server string, try func(ctx context.Context, address string) error) error {
	timeout := time.Duration(n.ConnectTimeout)
	lookup, cancel := context.WithTimeout(ctx, min(timeout, time.Duration(n.DeadPeer))) // a resolver that hangs is as bad as a server
	addresses, err := net.DefaultResolver.LookupIPAddr(lookup, server)
	cancel()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range addresses {
		attempt, cancel := context.WithTimeout(ctx, timeout)
		err := try(attempt, a.String())
		cancel()
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// dialTCP connects. A peer that is silent while nothing is on its way to it is found by keepalives; while something is, by
// the sender. TCP_USER_TIMEOUT would take a window that is shut for silence too (tcp(7)).
func (n *Network) dialTCP(ctx context.Context, address string) (*net.TCPConn, error) {
	interval := max(time.Second, time.Duration(n.DeadPeer)/3)
	d := net.Dialer{Control: n.control, KeepAliveConfig: net.KeepAliveConfig{Enable: n.KeepAlive, Idle: interval, Interval: interval, Count: 2}}
	if n.LocalIP != "" || n.LocalPort != 0 {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(n.LocalIP), Port: n.LocalPort}
	}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(n.Port)))
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// control sets the buffers before the connection is made, since TCP settles its window then.
func (n *Network) control(_, _ string, raw syscall.RawConn) (err error) {
	ctlErr := raw.Control(func(fd uintptr) {
		if n.LocalPort != 0 { // that of the connection before may still be in use
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		}
		if n.SendBuffer > 0 && err == nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, int(n.SendBuffer))
		}
		if n.ReceiveBuffer > 0 && err == nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, int(n.ReceiveBuffer))
		}
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}

// datagrams writes each message by itself.
type datagrams struct {
	net.Conn
	dropper
}

// interrupt ends a Write: a socket of this host may wait for its reader.
func (d *datagrams) interrupt() { _ = d.SetWriteDeadline(time.Now()) } // it is an open socket

// Write writes each message of the batches. One that the kernel does not take, too long or refused by the peer before, is
// lost: udp has no way to do better.
func (d *datagrams) Write(batches []*queue.Batch) error {
	for _, b := range batches {
		start := 0
		for _, end := range b.Ends {
			switch _, err := d.Conn.Write(b.Data[start:end]); {
			case errors.Is(err, syscall.EMSGSIZE):
				d.drop(tooLarge, 1)
			case errors.Is(err, syscall.ECONNREFUSED):
				d.drop(refused, 1)
			case err != nil:
				return err
			}
			start = end
		}
	}
	return nil
}
