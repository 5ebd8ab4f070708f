package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/pkg/syslog"
)

// Unix receives over a socket of this host, whose senders leave the host name out.
type Unix struct {
	Common
	Path           string      `toml:"path"`
	Perm           option.Mode `toml:"perm"`
	CreateDirs     bool        `toml:"create_dirs"`
	MaxConnections int         `toml:"max_connections"`
	ReceiveBuffer  option.Size `toml:"so_rcvbuf"`
	Owner          string      `toml:"owner"`
	Group          string      `toml:"group"`
	Backlog        int         `toml:"listen_backlog"`

	stream   bool
	uid, gid int
}

func newUnix(g *option.Globals, stream bool) Driver {
	return &Unix{Common: common(g), Perm: 0o666, CreateDirs: g.CreateDirs, MaxConnections: 256, Backlog: 255, stream: stream}
}

// Init checks the options.
func (u *Unix) Init() (err error) {
	if err := u.Common.Init(); err != nil {
		return err
	}
	if u.uid, u.gid, err = option.LookupOwner(u.Owner, u.Group); err != nil {
		return err
	}
	u.parser.NoHostname = !u.expectsHostname()
	u.parser.Local = true
	switch {
	case u.Path == "":
		return option.Errorf("path", "the path of a socket is required")
	case len(u.Path) > 107: // sun_path
		return option.Errorf("path", "%d bytes are more than the 107 that the path of a socket may have", len(u.Path))
	case u.MaxConnections < 1:
		return option.Errorf("max_connections", "%d is below the minimum 1", u.MaxConnections)
	}
	return nil
}

func (c *Common) expectsHostname() bool {
	for _, f := range c.Flags {
		if option.Flag(f) == "expect_hostname" {
			return true
		}
	}
	return false
}

// Open binds the socket. One that nobody listens on any more is replaced.
func (u *Unix) Open(in *Input) (Runner, error) {
	if u.CreateDirs {
		if err := os.MkdirAll(filepath.Dir(u.Path), 0o755); err != nil {
			return nil, err
		}
	}
	if u.stream {
		l, err := in.listen(&net.ListenConfig{}, "unix", u.Path)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(setBacklog(l, u.Backlog), u.setMode()); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		return &listener{
			Input: in, Listener: l, limit: u.MaxConnections, framer: syslog.Framer{MaxSize: u.LogMsgSize, KeepEmpty: u.header.EmptyLines},
		}, nil
	}
	p, err := in.listenPacket(&net.ListenConfig{}, "unixgram", u.Path)
	if err != nil {
		return nil, err
	}
	c := p.(*net.UnixConn)
	if u.ReceiveBuffer > 0 {
		if err := c.SetReadBuffer(int(u.ReceiveBuffer)); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := u.setMode(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &unixDatagrams{in, c, u}, nil
}

// setMode sets permissions and owner of the socket.
func (u *Unix) setMode() error {
	err := os.Chmod(u.Path, fs.FileMode(u.Perm))
	if err == nil && (u.uid >= 0 || u.gid >= 0) {
		err = os.Chown(u.Path, u.uid, u.gid)
	}
	return err
}

// removeStale removes a socket whose owner has gone.
func removeStale(network, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket", path)
	}
	if c, err := net.Dial(network, path); err == nil {
		_ = c.Close() // it was only to see whether somebody listens
		return fmt.Errorf("%s is in use by another process", path)
	}
	return os.Remove(path)
}

type unixDatagrams struct {
	*Input
	conn    *net.UnixConn
	options *Unix
}

// Run reads until ctx ends.
func (u *unixDatagrams) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = u.conn.SetReadDeadline(time.Now()) })
	defer stop()
	u.datagrams(ctx, u.conn, u.options.LogMsgSize, func(netip.AddrPort) *logmsg.Origin {
		return u.origin(netip.AddrPort{}, netip.AddrPort{})
	})
	if err := u.conn.Close(); err != nil || u.handedOver.Load() {
		return err
	}
	return os.Remove(u.options.Path)
}
