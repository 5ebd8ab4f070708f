package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"kad/forwarder/internal/option"
	"kad/pkg/syslog"
	"kad/pkg/vip"

	"github.com/pires/go-proxyproto"
	"golang.org/x/sys/unix"
)

// Network receives over tcp, udp or tls: RFC 3164 by lines, or, as syslog, RFC 5424 by octet counting.
type Network struct {
	Common
	Transport      string          `toml:"transport"` // tcp, udp, tls
	IP             string          `toml:"ip"`        // empty: all addresses
	IPProtocol     int             `toml:"ip_protocol"`
	Port           int             `toml:"port"`
	Framing        string          `toml:"framing"` // newline, octet_counting, detect
	MaxConnections int             `toml:"max_connections"`
	ReceiveBuffer  option.Size     `toml:"so_rcvbuf"`
	SendBuffer     option.Size     `toml:"so_sndbuf"`
	KeepAlive      bool            `toml:"so_keepalive"`
	ReusePort      bool            `toml:"so_reuseport"`
	Backlog        int             `toml:"listen_backlog"`
	Readers        int             `toml:"readers"` // sockets that share a udp port
	TrimLarge      bool            `toml:"trim_large_messages"`
	FreeBind       bool            `toml:"freebind"`
	IdleTimeout    option.Duration `toml:"idle_timeout"`
	Proxies        []string        `toml:"proxy_protocol"` // addresses whose connections begin with a PROXY header
	TLS            *TLS            `toml:"tls"`

	proxied proxyproto.ConnPolicyFunc
	vip     *vip.Holding // with freebind, of IP
}

func newNetwork(g *option.Globals) Driver {
	return &Network{
		Common: common(g), Transport: "tcp", IPProtocol: 4, Framing: "newline", MaxConnections: 10, KeepAlive: true, Backlog: 255, Readers: 1,
	}
}

// protocol is the number of the protocol above IP.
func (n *Network) protocol() uint8 {
	if n.Transport == "udp" {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

func newSyslog(g *option.Globals) Driver {
	n := newNetwork(g).(*Network)
	n.Framing, n.Common.parser.RFC5424 = "octet_counting", true
	return n
}

var (
	framings = map[string]syslog.Framing{
		"newline": syslog.Newline, "octet_counting": syslog.OctetCounting, "detect": syslog.Detect,
	}
	defaultPorts = map[string]int{"tcp": 601, "udp": 514, "tls": 6514}
)

// listening is the part of a driver that listens on the network, nil if it does not.
func listening(d Driver) *Network {
	if l, ok := d.(interface{ listening() *Network }); ok {
		return l.listening()
	}
	return nil
}

func (n *Network) listening() *Network { return n }

// Init checks the options.
func (n *Network) Init() error {
	rfc5424 := n.Common.parser.RFC5424
	if err := n.Common.Init(); err != nil {
		return err
	}
	n.Common.parser.RFC5424 = n.Common.parser.RFC5424 || rfc5424
	port, ok := defaultPorts[n.Transport]
	_, framing := framings[n.Framing]
	switch {
	case !ok:
		return option.Errorf("transport", "transport %q is not known, want tcp, udp or tls", n.Transport)
	case !framing:
		return option.Errorf("framing", "framing %q is not known, want newline, octet_counting or detect", n.Framing)
	case n.Port < 0 || n.Port > 65535:
		return option.Errorf("port", "%d is not from 1 to 65535", n.Port)
	case n.IPProtocol != 4 && n.IPProtocol != 6:
		return option.Errorf("ip_protocol", "%d is neither 4 nor 6", n.IPProtocol)
	case n.MaxConnections < 1:
		return option.Errorf("max_connections", "%d is below the minimum 1", n.MaxConnections)
	case n.Readers < 1 || n.Readers > 256:
		return option.Errorf("readers", "%d is not from 1 to 256", n.Readers)
	case n.TLS != nil && n.Transport != "tls":
		return option.Errorf("tls", `only for transport = "tls"`)
	case n.TLS == nil && n.Transport == "tls":
		return option.Errorf("tls", "a table with cert_file and key_file is required")
	}
	if err := n.initAddress(); err != nil {
		return err
	}
	if n.Port == 0 {
		n.Port = port
	}
	if err := n.initProxies(); err != nil {
		return err
	}
	if n.TLS != nil {
		return n.TLS.init()
	}
	return nil
}

func (n *Network) initAddress() error {
	if n.IP == "" {
		if n.FreeBind {
			return option.Errorf("freebind", "an ip is required, the address that this host has at times")
		}
		return nil
	}
	addr, err := netip.ParseAddr(n.IP)
	if err != nil {
		return option.Errorf("ip", "%q is not an address", n.IP)
	}
	if n.FreeBind {
		if n.vip, err = vip.Local.Track(addr); err != nil {
			return option.Errorf("freebind", "%w", err)
		}
	}
	return nil
}

func (n *Network) initProxies() (err error) {
	switch {
	case len(n.Proxies) == 0:
		return nil
	case n.Transport == "udp":
		return option.Errorf("proxy_protocol", "only for tcp and tls")
	}
	n.proxied, err = proxyproto.PolicyFromRanges(n.Proxies, proxyproto.REQUIRE, proxyproto.SKIP)
	if err != nil {
		return option.Errorf("proxy_protocol", "%w", err)
	}
	return nil
}

// proxyTimeout is how long a proxy may take for its header.
const proxyTimeout = 5 * time.Second

func (n *Network) address() string {
	ip := n.IP
	if ip == "" && n.IPProtocol == 4 {
		ip = "0.0.0.0"
	}
	return net.JoinHostPort(ip, strconv.Itoa(n.Port))
}

// Open binds the sockets.
func (n *Network) Open(in *Input) (Runner, error) {
	lc := net.ListenConfig{Control: n.control, KeepAlive: -1}
	if n.KeepAlive {
		lc.KeepAlive = 0
	}
	if n.Transport == "udp" {
		return n.openUDP(in, &lc)
	}
	l, err := in.listen(&lc, "tcp", n.address())
	if err != nil {
		return nil, err
	}
	if err := setBacklog(l, n.Backlog); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if n.TLS != nil {
		l = recordListener{l}
	}
	if n.proxied != nil {
		l = &proxyproto.Listener{Listener: l, ConnPolicy: n.proxied, ReadHeaderTimeout: proxyTimeout}
	}
	if n.TLS != nil {
		l = tls.NewListener(l, n.TLS.server(in.Logger))
	}
	return &listener{
		Input: in, Listener: l, limit: n.MaxConnections, idleTimeout: time.Duration(n.IdleTimeout), vip: n.vip,
		framer: syslog.Framer{Framing: framings[n.Framing], MaxSize: n.LogMsgSize, Trim: n.TrimLarge, KeepEmpty: n.header.EmptyLines},
	}, nil
}

// setBacklog sets how many connections may wait to be accepted: a second listen(2) changes what the first one set.
func setBacklog(l net.Listener, backlog int) error {
	conn, ok := l.(rawConn)
	if !ok || backlog <= 0 {
		return nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), backlog) })
	return errors.Join(ctlErr, err)
}

func (n *Network) openUDP(in *Input, lc *net.ListenConfig) (Runner, error) {
	u := &udp{Input: in, maxSize: n.LogMsgSize}
	for range n.Readers {
		c, err := in.listenPacket(lc, "udp", n.address())
		if err != nil {
			in.Close()
			return nil, err
		}
		u.conns = append(u.conns, c.(*net.UDPConn))
	}
	return u, nil
}

// control sets the options of a socket before it is bound.
func (n *Network) control(_, _ string, raw syscall.RawConn) error {
	var errs []error
	set := func(fd uintptr, level, name, value int, what string) {
		if err := unix.SetsockoptInt(int(fd), level, name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	err := raw.Control(func(fd uintptr) {
		if n.ReceiveBuffer > 0 {
			set(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, int(n.ReceiveBuffer), "so_rcvbuf")
		}
		if n.SendBuffer > 0 {
			set(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, int(n.SendBuffer), "so_sndbuf")
		}
		if n.ReusePort || n.Readers > 1 {
			set(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, "so_reuseport")
		}
		if n.FreeBind {
			set(fd, unix.SOL_IP, unix.IP_FREEBIND, 1, "freebind")
		}
	})
	return errors.Join(append(errs, err)...)
}

// udp receives datagrams, each of which is a message.
type udp struct {
	*Input
	conns   []*net.UDPConn
	maxSize int
}

// Run reads until ctx ends.
func (u *udp) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, c := range u.conns {
		stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })
		wg.Go(func() {
			defer stop()
			u.read(ctx, c)
		})
	}
	wg.Wait()
	for _, c := range u.conns {
		_ = c.Close() // nothing is read any more
	}
	return nil
}
