// Package dbus is a client of the D-Bus message bus, as far as watching systemd's units takes
// one: it calls methods with strings as arguments, reads strings and numbers from replies, and
// waits for signals. It follows the D-Bus Specification, sections "Authentication Protocol"
// (EXTERNAL), "Message Protocol" and "Marshaling".
//
// It is our own because kad-track is forked every second: godbus costs each start 60 µs and
// the binary 0.4 MiB.
package dbus

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// SystemBus returns the address of the system bus.
func SystemBus() string {
	if address := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"); address != "" {
		return address
	}
	return "unix:path=/run/dbus/system_bus_socket"
}

// Conn is a connection to a bus. It is for one goroutine.
type Conn struct {
	conn    net.Conn
	stop    func() bool // ends the wait for the end of Dial's ctx
	in      *bufio.Reader
	serial  uint32
	pending []*Message // signals that came while a reply was awaited
}

// Dial connects to the bus at address (specification, section "Server Addresses": only
// unix:path= and unix:abstract= are known) and greets it. The connection lasts as long as ctx.
func Dial(ctx context.Context, address string) (*Conn, error) {
	socket, err := socketOf(address)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	c := &Conn{conn: conn, stop: stop, in: bufio.NewReader(conn)}
	if err := c.authenticate(); err != nil {
		c.Close()
		return nil, err
	}
	if _, err := c.Call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello"); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	c.stop()
	return c.conn.Close()
}

func socketOf(address string) (string, error) {
	for entry := range strings.SplitSeq(address, ";") {
		options, ok := strings.CutPrefix(entry, "unix:")
		if !ok {
			continue
		}
		for option := range strings.SplitSeq(options, ",") {
			key, value, _ := strings.Cut(option, "=")
			value, err := url.PathUnescape(value)
			switch {
			case err != nil:
			case key == "path":
				return value, nil
			case key == "abstract":
				return "@" + value, nil
			}
		}
	}
	return "", fmt.Errorf("bus address %q: want unix:path=FILE", address)
}

// authenticate says who we are; the kernel vouches for it.
func (c *Conn) authenticate() error {
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Getuid())))
	if _, err := fmt.Fprintf(c.conn, "\x00AUTH EXTERNAL %s\r\n", uid); err != nil {
		return err
	}
	answer, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(answer), "OK ") {
		return fmt.Errorf("the bus refuses us: %q", answer)
	}
	_, err = io.WriteString(c.conn, "BEGIN\r\n")
	return err
}

// Call calls a method with strings as arguments and waits for the reply. An error reply is an
// *Error.
func (c *Conn) Call(destination, path, iface, method string, args ...string) (*Message, error) {
	c.serial++
	if _, err := c.conn.Write(appendCall(nil, c.serial, destination, path, iface, method, args)); err != nil {
		return nil, err
	}
	for {
		m, err := readMessage(c.in)
		switch {
		case err != nil:
			return nil, err
		case m.kind == signal:
			c.pending = append(c.pending, m)
		case m.replySerial != c.serial:
		case m.kind == errorReply:
			text, _ := m.Value().(string)
			return nil, &Error{m.errorName, text}
		default:
			return m, nil
		}
	}
}

// Signal waits for the next signal.
func (c *Conn) Signal() (*Message, error) {
	for len(c.pending) == 0 {
		m, err := readMessage(c.in)
		if err != nil {
			return nil, err
		}
		if m.kind == signal {
			return m, nil
		}
	}
	m := c.pending[0]
	c.pending = c.pending[1:]
	return m, nil
}

// Error is an error that the other side replied with.
type Error struct {
	Name string // "org.freedesktop.DBus.Error.ServiceUnknown"
	Text string // for people; may be empty
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Name
	}
	return e.Text
}
