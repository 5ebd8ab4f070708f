package main

import "time"

// A workload is what comes in and what must go out.
type workload struct {
	name, what   string
	conns        int  // that send
	destinations int  // more than one: by the log paths of route
	counted      bool // RFC 5424 by octet counting, else RFC 3164 by lines
	rate         int  // messages a second; 0: as fast as they are accepted
	idle         int  // connections that say nothing
}

// pacedFor is how long a workload with a rate lasts.
const pacedFor = 8 * time.Second

var workloads = []workload{
	{name: "W1", what: "1 TCP to 1 TCP, RFC 3164 lines", conns: 1, destinations: 1},
	{name: "W2", what: "8 TCP to 1 TCP, RFC 3164 lines", conns: 8, destinations: 1},
	{name: "W3", what: "8 TCP to 4 TCP by 5 log paths", conns: 8, destinations: 4},
	{name: "W4", what: "8 TCP to 1 TCP, RFC 5424 octet-counted", conns: 8, destinations: 1, counted: true},
	{name: "W6", what: "8 TCP to 1 TCP, 20,000 messages a second", conns: 8, destinations: 1, rate: 20000},
	{name: "W8", what: "8 TCP and 1000 silent ones to 1 TCP, 10,000 messages a second", conns: 8, destinations: 1, rate: 10000, idle: 1000},
}

// messages is how many of n each connection sends.
func (w workload) messages(n int) int {
	if w.rate > 0 {
		n = w.rate * int(pacedFor/time.Second)
	}
	return n / w.conns
}
