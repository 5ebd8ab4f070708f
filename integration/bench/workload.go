package main

import (
	"math/bits"
	"time"
)

// A workload is what comes in and what must go out.
type workload struct {
	name, what   string
	conns        int           // that send
	destinations int           // more than one: by the log paths of route
	counted      bool          // RFC 5424 by octet counting, else RFC 3164 by lines
	tls          bool          // in and out, with certificates checked
	udp          bool          // in: the rate rises until messages are lost
	disk         bool          // the destination is down until a reliable disk buffer has all messages
	rate         int           // messages a second; 0: as fast as they are accepted
	lasts        time.Duration // with a rate
	idle         int           // connections that say nothing

	// of curves and of the memory's cases, for the forwarder alone
	size   int  // bytes of each message; 0: mixed
	fanout bool // each message goes to all destinations
	before int  // log paths whose filters do not match, before the one that does
	depth  int  // embedded log statements, one in the other, in that one
	down   bool // the destination is not there
	slow   bool // the destination reads a little at a time
}

var workloads = []workload{
	{name: "W1", what: "1 TCP to 1 TCP, RFC 3164 lines", conns: 1, destinations: 1},
	{name: "W2", what: "8 TCP to 1 TCP, RFC 3164 lines", conns: 8, destinations: 1},
	{name: "W3", what: "8 TCP to 4 TCP by 5 log paths", conns: 8, destinations: 4},
	{name: "W4", what: "8 TCP to 1 TCP, RFC 5424 octet-counted", conns: 8, destinations: 1, counted: true},
	{name: "W5", what: "8 TLS to 1 TLS, RFC 3164 lines, certificates checked", conns: 8, destinations: 1, tls: true},
	{name: "W6", what: "8 TCP to 1 TCP, 20,000 messages a second for 8 s", conns: 8, destinations: 1, rate: 20000, lasts: 8 * time.Second},
	{name: "W7", what: "8 TCP into a reliable disk buffer, then out to 1 TCP", conns: 8, destinations: 1, disk: true},
	{name: "W8", what: "8 TCP and 1000 silent ones to 1 TCP, 10,000 messages a second for 8 s", conns: 8, destinations: 1, rate: 10000, lasts: 8 * time.Second, idle: 1000},
	{name: "W9", what: "8 UDP to 1 TCP, the highest rate of which at most 0.1 % is lost in 2 s", conns: 8, destinations: 1, udp: true, lasts: 2 * time.Second},
}

// messages is how many of n each connection sends.
func (w workload) messages(n int) int {
	if w.rate > 0 {
		n = int(float64(w.rate) * w.lasts.Seconds())
	}
	return n / w.conns
}

// copies is how many destinations a message goes to.
func (w workload) copies(m model) int {
	if w.fanout {
		return w.destinations
	}
	return bits.OnesCount8(m.to)
}

// belongs tells whether a message must go to a destination.
func (w workload) belongs(m *model, destination int) bool {
	return w.fanout || m.to&(1<<destination) != 0
}
