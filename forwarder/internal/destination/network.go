package destination

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"

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
	Failover       *Failover       `toml:"failover"`
	TLS            *TLS            `toml:"tls"`

	syslog bool
	next   int // server that is tried next
}

// Failover are the servers that are used when the primary one fails.
type Failover struct {
	Servers  []string  `toml:"servers"`
	Failback *Failback `toml:"failback"` // nil: round-robin
}

// Failback is the return to the primary server.
type Failback struct {
	TCPProbeInterval         option.Duration `toml:"tcp_probe_interval"`
	SuccessfulProbesRequired int             `toml:"successful_probes_required"`
}

func newNetwork(g *option.Globals) Driver {
	return &Network{Common: common(g), Transport: "tcp", KeepAlive: true, ConnectTimeout: option.Duration(10 * time.Second)}
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
	case n.TLS != nil && n.Transport != "tls":
		return option.Errorf("tls", `only for transport = "tls"`)
	}
	if n.Port == 0 {
		n.Port = port
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

func (f *Failover) init() error {
	if b := f.Failback; b != nil {
		if b.TCPProbeInterval == 0 {
			b.TCPProbeInterval = option.Duration(time.Minute)
		}
		if b.SuccessfulProbesRequired == 0 {
			b.SuccessfulProbesRequired = 3
		}
		if b.SuccessfulProbesRequired < 0 {
			return option.Errorf("failover.failback.successful_probes_required", "%d is below the minimum 1", b.SuccessfulProbesRequired)
		}
	}
	return nil
}

// Format says how a message is written: with a newline at its end, also where the length stands before it, as syslog-ng has
// it.
func (n *Network) Format() Format {
	switch {
	case n.syslog && n.Transport != "udp" && n.Framing == "octet_counting":
		return Format{Append: counted(newline(n.Common.syslog()))}
	case n.syslog:
		return Format{Append: newline(n.Common.syslog())}
	case n.Framing == "octet_counting" && n.Transport != "udp":
		return Format{Append: counted(n.text(true))}
	}
	return Format{Append: n.text(true)}
}

func (n *Network) servers() []string {
	list := []string{n.Address}
	if n.Failover != nil {
		list = append(list, n.Failover.Servers...)
	}
	return list
}

// Connect tries each server once, beginning with the one after that which failed last.
func (n *Network) Connect(ctx context.Context, logger *slog.Logger) (Conn, error) {
	servers := n.servers()
	var failed error
	for range servers {
		server := servers[n.next%len(servers)]
		n.next++
		conn, err := n.dial(ctx, server)
		if err == nil {
			logger.Info("connected", "server", server, "address", conn.RemoteAddr().String())
			if n.Transport == "udp" {
				return &datagrams{conn}, nil
			}
			return newStream(conn), nil
		}
		if failed == nil {
			failed = err
		}
	}
	return nil, failed
}

func (n *Network) dial(ctx context.Context, server string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(n.ConnectTimeout))
	defer cancel()
	network := "tcp"
	var local net.Addr
	if n.Transport == "udp" {
		network = "udp"
		local = &net.UDPAddr{IP: net.ParseIP(n.LocalIP), Port: n.LocalPort}
	} else {
		local = &net.TCPAddr{IP: net.ParseIP(n.LocalIP), Port: n.LocalPort}
	}
	d := net.Dialer{Control: n.control, KeepAlive: -1}
	if n.KeepAlive {
		d.KeepAlive = 0
	}
	if n.LocalIP != "" || n.LocalPort != 0 {
		d.LocalAddr = local
	}
	conn, err := d.DialContext(ctx, network, net.JoinHostPort(server, strconv.Itoa(n.Port)))
	if err != nil || n.Transport != "tls" {
		return conn, err
	}
	return n.TLS.handshake(ctx, conn, server)
}

// control sets the buffers before the connection is made, since TCP settles its window then.
func (n *Network) control(_, _ string, raw syscall.RawConn) (err error) {
	ctlErr := raw.Control(func(fd uintptr) {
		if n.SendBuffer > 0 {
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

// A stream writes whole batches.
type stream struct {
	net.Conn
	closed chan struct{} // by the peer
	buffer net.Buffers
}

// newStream watches conn: a server does not talk, so what can be read is that it has gone.
func newStream(conn net.Conn) *stream {
	s := &stream{Conn: conn, closed: make(chan struct{})}
	go func() {
		defer close(s.closed)
		var waste [512]byte
		for {
			if _, err := conn.Read(waste[:]); err != nil {
				return
			}
		}
	}()
	return s
}

// Write writes the batches at once.
func (s *stream) Write(batches []*queue.Batch) error {
	select {
	case <-s.closed:
		return errClosed
	default:
	}
	s.buffer = s.buffer[:0]
	for _, b := range batches {
		s.buffer = append(s.buffer, b.Data)
	}
	buffers := s.buffer
	_, err := buffers.WriteTo(s.Conn)
	return err
}

// datagrams writes each message by itself.
type datagrams struct{ net.Conn }

// Write writes each message of the batches. One that the kernel does not take, too long or refused by the peer before, is
// lost: udp has no way to do better.
func (d *datagrams) Write(batches []*queue.Batch) error {
	for _, b := range batches {
		start := 0
		for _, end := range b.Ends {
			if _, err := d.Conn.Write(b.Data[start:end]); err != nil && !isDatagramLoss(err) {
				return fmt.Errorf("%w", err)
			}
			start = end
		}
	}
	return nil
}
