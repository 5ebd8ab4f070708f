package destination

import (
	"fmt"
	"net"
	"time"

	"kad/forwarder/internal/option"
)

// Failover are the servers that are used when the primary one, the address of the destination, fails.
type Failover struct {
	Servers  []string  `toml:"servers"`
	Failback *Failback `toml:"failback"` // nil: round-robin
}

// Failback is the return to the primary server.
type Failback struct {
	TCPProbeInterval         option.Duration `toml:"tcp_probe_interval"`
	SuccessfulProbesRequired int             `toml:"successful_probes_required"` // one after the other
}

func (f *Failover) init() error {
	if len(f.Servers) == 0 {
		if f.Failback != nil {
			return option.Errorf("failover.failback", "there is no server to come back from: servers is empty")
		}
		return option.Errorf("failover", "servers is required: those that follow the primary one")
	}
	for i, s := range f.Servers {
		if s == "" {
			return option.Errorf(fmt.Sprintf("failover.servers[%d]", i), "a server has no name")
		}
		if _, port, err := net.SplitHostPort(s); err == nil {
			return option.Errorf(fmt.Sprintf("failover.servers[%d]", i), "%q has a port, %s: all servers have that of the destination, and its other options", s, port)
		}
	}
	b := f.Failback
	if b == nil {
		return nil
	}
	if b.TCPProbeInterval == 0 {
		b.TCPProbeInterval = option.Duration(time.Minute)
	}
	if b.SuccessfulProbesRequired == 0 {
		b.SuccessfulProbesRequired = 3
	}
	if b.SuccessfulProbesRequired < 0 {
		return option.Errorf("failover.failback.successful_probes_required", "%d is below the minimum 1", b.SuccessfulProbesRequired)
	}
	return nil
}

// A rotation decides which server is next. Server 0 is the primary one, with which it begins.
type rotation struct {
	servers  int
	required int // probes for the return to the primary server; 0: it is not returned to

	current int  // server in use, or tried
	pinned  bool // current stays
	failed  int  // attempts since a server worked
	good    int  // probes one after the other
	stalled bool // the primary server took nothing more while its kernel answered
}

// fail goes to the next server. It tells whether all have failed, so that the attempt has to wait; worked tells whether
// the one that failed had been of use before.
func (r *rotation) fail(worked bool) (wait bool) {
	r.failed++
	if worked {
		r.failed = 0
	}
	r.good = 0
	if r.pinned {
		return !worked
	}
	r.current = (r.current + 1) % r.servers
	if r.failed >= r.servers {
		r.failed = 0
		return true
	}
	return false
}

// use makes a server the current one, for good if it is pinned.
func (r *rotation) use(server int, pinned bool) {
	r.current, r.pinned, r.failed, r.good = server, pinned, 0, 0
	if server == 0 {
		r.stalled = false
	}
}

// probes tells whether the primary server is to be probed.
func (r *rotation) probes() bool { return r.required > 0 && r.current != 0 && !r.pinned }

// isLast tells whether the next good probe is the last one.
func (r *rotation) isLast() bool { return r.good+1 >= r.required }

// probed counts a probe. It tells whether to return to the primary server.
func (r *rotation) probed(good bool) (back bool) {
	if !good || !r.probes() {
		r.good = 0
		return false
	}
	r.good++
	return r.good >= r.required
}
