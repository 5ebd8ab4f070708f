package destination

import (
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
)

// RELP sends to a server that answers each message when it has it: what it has not answered is sent to the next one.
type RELP struct {
	Network
	Window int `toml:"window"` // messages without an answer
}

const (
	relpPort   = 2514
	relpWindow = 128              // librelp's
	relpStall  = 30 * time.Second // an answer may wait for the servers behind
	maxWindow  = 1 << 16
)

func newRELP(g *option.Globals) Driver {
	r := &RELP{Network: *newNetwork(g).(*Network), Window: relpWindow}
	r.Port, r.Stall = relpPort, option.Duration(relpStall)
	return r
}

// Init checks the options.
func (r *RELP) Init() error {
	switch {
	case r.Transport == "udp":
		return option.Errorf("transport", `transport "udp" is not possible for RELP, want tcp or tls`)
	case r.Framing != "":
		return option.Errorf("framing", "RELP has its own")
	case r.ReplayWindow != autoWindow:
		return option.Errorf("replay_window", "the server answers each message: what it did not answer is sent again")
	case r.Window < 1 || r.Window > maxWindow:
		return option.Errorf("window", "%d is not from 1 to %d", r.Window, maxWindow)
	}
	r.ReplayWindow, r.window = 0, r.Window
	return r.Network.Init()
}

// Format says how a message is written: as the template has it, or RFC 5424.
func (r *RELP) Format() Format {
	c := r.Common
	c.syslogProtocol = c.syslogProtocol || c.Template == nil
	write := c.text(true)
	return Format{Append: func(dst []byte, m *logmsg.Message, ctx *template.Context) []byte {
		start := len(dst)
		dst = write(dst, m, ctx)
		switch n := len(dst) - start; {
		case n == 0: // each has a byte, by which its answer counts
			dst = append(dst, '\n')
		case n > 1 && dst[len(dst)-1] == '\n':
			dst = dst[:len(dst)-1]
		}
		return dst
	}}
}
