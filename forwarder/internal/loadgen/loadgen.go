// Package loadgen sends numbered messages, and tells of those that arrive which ones got lost, came twice or out of order.
//
// Each message ends with a Mark: the run, the connection, the number on it, and when it was sent. So whoever has the messages,
// a Sink of this package or a file that was written somewhere, can be judged, with the sender or long after it.
package loadgen

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"kad/forwarder/internal/option"
	"kad/pkg/syslog"
)

// An Address is where messages are sent, or received.
type Address struct {
	Transport string // tcp, udp, tls, unix, unixgram; of a server also relp, relps (with TLS), of a Sink file
	Address   string // HOST:PORT, or a path
}

func (a Address) String() string { return a.Transport + "://" + a.Address }

// isDatagram tells whether each message is a packet.
func (a Address) isDatagram() bool { return a.Transport == "udp" || a.Transport == "unixgram" }

func (a Address) isRELP() bool { return a.Transport == "relp" || a.Transport == "relps" }
func (a Address) isTLS() bool  { return a.Transport == "tls" || a.Transport == "relps" }

// network is what package net calls the transport.
func (a Address) network() string {
	if a.isRELP() || a.isTLS() {
		return "tcp"
	}
	return a.Transport
}

// ParseAddress reads "tls://relay:6514", "unix:///run/log.sock", or "relay:601", which is TCP.
func ParseAddress(text string) (Address, error) {
	transport, address, ok := strings.Cut(text, "://")
	if !ok {
		transport, address = "tcp", text
	}
	switch transport {
	case "tcp", "udp", "tls", "relp", "relps":
		if _, _, err := net.SplitHostPort(address); err != nil {
			return Address{}, fmt.Errorf("address %q is not HOST:PORT", address)
		}
	case "unix", "unixgram", "file":
		if address == "" {
			return Address{}, fmt.Errorf("address %q has no path", text)
		}
	default:
		return Address{}, fmt.Errorf("transport %q is not known, want tcp, udp, tls, relp, relps, unix, unixgram or file", transport)
	}
	return Address{transport, address}, nil
}

// TLS has the files of certificates.
type TLS struct {
	CAFile            string // who is trusted; empty: whom the system trusts
	CertFile, KeyFile string // who we are; a Sink for tls:// needs them
}

func (t TLS) load() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if config.RootCAs, err = option.LoadCAs(t.CAFile, ""); err != nil {
		return nil, err
	}
	if t.CertFile == "" && t.KeyFile == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// Options say what a Sender sends.
type Options struct {
	Servers     []Address // a connection begins with the first one; when one fails it goes on to the next
	Connections int
	Rate        float64       // messages a second, of all connections; 0: as fast as they are taken
	Count       int64         // messages, of all connections; 0: until Duration is over
	Duration    time.Duration // 0: until Count is reached
	Size        int           // bytes of a message without its framing
	RFC5424     bool          // else RFC 3164
	Framing     syslog.Framing
	Timeout     time.Duration // a server that takes nothing for so long has failed
	Wait        time.Duration // how long a connection does without any server before it gives up
	TLS         TLS
}

func (o *Options) validate() error {
	for _, s := range o.Servers {
		if s.Transport == "file" {
			return fmt.Errorf("%s is no server", s)
		}
	}
	if least := len(o.header(time.Now())) + markSize; o.Size < least {
		return fmt.Errorf("a message of %d bytes has no room for its header and mark, the least is %d", o.Size, least)
	}
	switch {
	case o.Connections < 1 || o.Connections > maxConnections:
		return fmt.Errorf("%d connections are not possible, 1 to %d are", o.Connections, maxConnections)
	case o.Count < 0 || o.Count > maxNumber:
		return fmt.Errorf("%d messages are not possible, at most %d are", o.Count, int64(maxNumber))
	case o.Count == 0 && o.Duration <= 0:
		return fmt.Errorf("neither a count nor a duration says when to end")
	case o.Count > 0 && o.Count < int64(o.Connections):
		return fmt.Errorf("%d messages are too few for %d connections", o.Count, o.Connections)
	case o.Rate < 0 || o.Size > syslog.DefaultMaxSize:
		return fmt.Errorf("a rate of %g or a size of %d is not possible", o.Rate, o.Size)
	}
	return nil
}

// program is the name that messages come from.
const program = "forwarder-send"

// header is what stands before the text of a message.
func (o *Options) header(now time.Time) []byte {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	m := syslog.Message{Priority: syslog.DefaultPriority, Hostname: []byte(host), Timestamp: syslog.TimeOf(now)}
	var f syslog.Formatter
	if o.RFC5424 {
		m.AppName = []byte(program)
		return append(f.AppendRFC5424(nil, &m), ' ')
	}
	m.Tag = []byte(program + ":")
	return append(f.AppendRFC3164(nil, &m), ' ')
}

// message makes a message with a mark that is still to be filled in. It has the same length each time.
func (o *Options) message(now time.Time) []byte {
	b := o.header(now)
	for len(b) < o.Size-markSize {
		b = append(b, "the quick brown fox jumps over the lazy dog "[:min(44, o.Size-markSize-len(b))]...)
	}
	return append(b, markForm...)
}
