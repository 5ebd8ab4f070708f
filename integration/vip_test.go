package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"kad/integration/lab"
)

const vipConfig = `
[source.vip]
driver = "network"
ip = "192.168.245.100"
port = 5514
freebind = true
[source.local]
driver = "network"
transport = "udp"
ip = "127.0.0.1"
port = 5515
[destination.file]
driver = "file"
path = "/run/messages"
template = "$MSG\n"
[destination.held]
driver = "file"
path = "/run/held"
template = "$MSG\n"
[log.vip]
source = ["vip"]
destination = ["file"]
[log.held]
source = ["local"]
steps = [{ filter = 'vip_held("192.168.245.100")' }]
destination = ["held"]
`

// TestVIPMoves: when keepalived moves a VIP, a client that was connected to it hears of the end at once and gets through to
// the next holder, and vip_held() knows who that is.
func TestVIPMoves(t *testing.T) {
	p := upPair(t)
	for _, h := range p.Relays() {
		h.WriteFile("/etc/forwarder/forwarder.toml", []byte(vipConfig), 0o644)
		h.Start(lab.Forwarder)
	}
	p.Eventually(time.Minute, func() error { return onlyHolder(p.Loghost01, p.Loghost02) })
	c := vipClient{host: p.Client}
	p.Eventually(time.Minute, c.connect)
	c.send(t, "before")
	p.Eventually(time.Minute, func() error { return has(p.Loghost01, "/run/messages", "before") })

	took := make(chan time.Duration)
	p.Loghost01.Kill(lab.SyslogNG) // the VIP moves for it
	go func() { took <- c.reconnect() }()
	p.Eventually(time.Minute, func() error { return hasVIP(p.Loghost02) })
	moved := time.Now()
	end := <-took
	late := time.Since(moved)
	t.Logf("the client knew after %v of trying; it was through %v after the VIP was seen at its new holder", end, late)
	if late > 20*time.Second {
		t.Errorf("the client was through %v after the VIP had moved", late)
	}
	c.send(t, "after")
	p.Eventually(time.Minute, func() error { return has(p.Loghost02, "/run/messages", "after") })
	p.Eventually(time.Minute, func() error { return onlyHolder(p.Loghost02, p.Loghost01) })
}

// A vipClient keeps a connection to the VIP.
type vipClient struct {
	host *lab.Host
	conn net.Conn
}

// connect tries for 50 ms: a packet to a host that has lost the address is not answered.
func (c *vipClient) connect() error {
	return c.host.Do(func() (err error) {
		c.conn, err = net.DialTimeout("tcp", "192.168.245.100:5514", 50*time.Millisecond)
		return err
	})
}

// reconnect waits until the connection ends, idle as it is, and returns how long it took from then to have another one.
func (c *vipClient) reconnect() time.Duration {
	_ = c.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, _ = c.conn.Read(make([]byte, 1)) // how it ends does not matter
	_ = c.conn.Close()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if c.connect() == nil || time.Since(start) > time.Minute {
			return time.Since(start)
		}
	}
}

func (c *vipClient) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c.conn, "<13>Oct 11 22:14:15 h app: "+text+"\n"); err != nil {
		t.Error(err)
	}
}

func has(h *lab.Host, file, text string) error {
	data, err := h.ReadFile(file)
	if err == nil && !strings.Contains(string(data), text) {
		err = fmt.Errorf("%s: %s has no %q", h.Name, file, text)
	}
	return err
}

func hasVIP(h *lab.Host) error {
	for _, a := range h.Addrs() {
		if a.String() == "192.168.245.100" {
			return nil
		}
	}
	return errors.New("the VIP has not moved")
}

var markers int

// onlyHolder tells whether vip_held() is true on one host and false on the other.
func onlyHolder(holder, other *lab.Host) error {
	markers++
	marker := fmt.Sprintf("marker-%d-", markers)
	for _, h := range []*lab.Host{other, holder} {
		err := h.Do(func() error {
			conn, err := net.Dial("udp", "127.0.0.1:5515")
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = io.WriteString(conn, "<13>Oct 11 22:14:15 h app: "+marker+"\n")
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := has(holder, "/run/held", marker); err != nil {
		return err
	}
	if has(other, "/run/held", marker) == nil {
		return fmt.Errorf("%s believes that it holds the VIP", other.Name)
	}
	return nil
}
