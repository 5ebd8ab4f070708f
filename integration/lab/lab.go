// Package lab builds small networks of hosts on one machine, runs the real daemons in them and breaks
// them. A host is a set of namespaces (network, mount, pid, uts, ipc) held by a pid 1 of its own, joined
// to the others by a veth into a bridge. It sees the machine's files, read-only, save those places that a
// host must have for itself (/etc/keepalived, /run, /tmp, /usr/local/bin, ...), which are empty and its
// own: so configurations run there unchanged, and no daemon sees that of another host.
//
// A lab uses no name that the whole machine shares, so any number may run at once. Its hosts, and all
// that runs in them, end with the process that made them, however that ends: each pid 1 reads from a
// pipe that only this process holds, and exits at its end.
//
// The package knows binaries, not packages of kad. It needs Linux 5.12, iproute2, and root or
// unprivileged user namespaces; see [Main].
package lab

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// TB is what a lab needs of a test; a program brings its own. Fatalf and Skipf do not return.
type TB interface {
	Helper()
	Cleanup(func())
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Options are the files that the hosts of a lab get.
type Options struct {
	Bin      string // directory of programs to be copied to each host's /usr/local/bin; "" for none
	Writable bool   // hosts may change the machine's files, each for itself: to install packages
}

// Lab is a bridge and the hosts on it. Its methods end the test when they cannot do what they say.
// A lab and its hosts are for one goroutine at a time.
type Lab struct {
	tb     TB
	opts   Options
	bridge *Host
	hosts  []*Host
}

// New returns a lab without hosts, which is closed at the end of the test. It skips the test where the
// machine has not what a lab needs (with KAD_REQUIRE=1 in the environment: fails it).
func New(tb TB, opts Options) *Lab {
	tb.Helper()
	l := &Lab{tb: tb, opts: opts}
	if !entered {
		tb.Fatalf("lab: New outside of lab.Main; TestMain or main has to call it")
	}
	l.Require("ip", "bridge")
	if rootErr != nil {
		l.lack("neither root nor root of a user namespace: %v", rootErr)
	}
	if opts.Writable && singleUser {
		l.lack("root of the machine, for hosts that may change its files")
	}
	bridge, err := spawnBridge()
	if err != nil {
		l.lack("namespaces: %v (CAP_SYS_ADMIN is needed, or user namespaces)", err)
	}
	l.bridge = bridge
	tb.Cleanup(l.close)
	l.must(bridge, "ip", "link", "add", "name", "br0", "type", "bridge", "mcast_snooping", "0")
	l.must(bridge, "ip", "link", "set", "dev", "br0", "up")
	return l
}

// Require skips the test, or fails it with KAD_REQUIRE=1, when a program is not installed.
func (l *Lab) Require(programs ...string) {
	l.tb.Helper()
	for _, name := range programs {
		if _, err := lookPath(name); err != nil {
			l.lack("%v", err)
		}
	}
}

func (l *Lab) lack(format string, args ...any) {
	l.tb.Helper()
	format = "lab: not available: " + format
	if os.Getenv("KAD_REQUIRE") == "1" {
		l.tb.Fatalf(format, args...)
	}
	l.tb.Skipf(format, args...)
}

// AddHost adds a running host with addr (such as 192.168.245.52/24) on its eth0. The hosts know each
// other by name. Names have at most 15 bytes: the host's port on the bridge is called the same.
func (l *Lab) AddHost(name, addr string) *Host {
	l.tb.Helper()
	prefix, err := netip.ParsePrefix(addr)
	if err != nil {
		l.tb.Fatalf("lab: host %s: %v", name, err)
	}
	view := readOnly
	if l.opts.Writable {
		view = ownCopy
	}
	h, err := spawnHost(name, view)
	if err != nil {
		l.tb.Fatalf("lab: host %s: %v", name, err)
	}
	h.lab, h.addr = l, prefix.Addr()
	l.hosts = append(l.hosts, h)
	l.must(l.bridge, "ip", "link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(h.pid()))
	l.must(h, "ip", "link", "set", "dev", "lo", "up")
	l.must(h, "ip", "address", "add", addr, "brd", "+", "dev", "eth0")
	l.must(h, "ip", "link", "set", "dev", "eth0", "up")
	l.must(l.bridge, "ip", "link", "set", "dev", name, "master", "br0", "up")
	h.awaitCarrier()
	if err := h.install(l.opts.Bin); err != nil {
		l.tb.Fatalf("lab: host %s: %v", name, err)
	}
	l.writeHostsFiles()
	return h
}

func (l *Lab) writeHostsFiles() {
	l.tb.Helper()
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, h := range l.hosts {
		fmt.Fprintf(&b, "%v %s\n", h.addr, h.Name)
	}
	for _, h := range l.hosts {
		h.WriteFile("/etc/hosts", []byte(b.String()), 0o644)
	}
}

// must runs a command of the lab's own in h.
func (l *Lab) must(h *Host, argv ...string) {
	l.tb.Helper()
	if r := h.Run(argv...); r.Code != 0 {
		l.tb.Fatalf("lab: host %s: %s: exit %d: %s%s", h.Name, strings.Join(argv, " "), r.Code, r.Stdout, r.Stderr)
	}
}

// Eventually calls f until it returns nil, every 20 ms. After timeout it ends the test with f's last
// error and the state of all hosts.
func (l *Lab) Eventually(timeout time.Duration, f func() error) {
	l.tb.Helper()
	deadline := time.Now().Add(timeout)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			l.tb.Fatalf("lab: still wrong after %v: %v\n%s", timeout, err, l.State())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// State describes every host for a failure: addresses, daemons and the end of their logs.
func (l *Lab) State() string {
	var b strings.Builder
	for _, h := range l.hosts {
		fmt.Fprintf(&b, "--- %s: eth0 %v\n", h.Name, h.Addrs())
		for _, d := range h.daemons {
			fmt.Fprintf(&b, "  - %s: %s\n", d.Name, d.status())
			for line := range strings.Lines(d.log.tail(20)) {
				fmt.Fprintf(&b, "    %s", line)
			}
		}
	}
	return b.String()
}

// Rsh returns the path of a script that, run outside of the hosts as "PATH HOST COMMAND...", runs COMMAND
// in HOST through a shell, as ssh does, but needs neither a network nor sshd. It lives in the first host
// and ends with it.
func (l *Lab) Rsh() string {
	l.tb.Helper()
	l.Require("nsenter")
	var b strings.Builder
	b.WriteString("#!/bin/sh\nhost=$1; shift\ncase $host in\n")
	for _, h := range l.hosts {
		fmt.Fprintf(&b, "%s) pid=%d ;;\n", h.Name, h.pid())
	}
	b.WriteString("*) echo \"rsh: no host $host\" >&2; exit 255 ;;\nesac\n")
	fmt.Fprintf(&b, "exec env -i %s nsenter --target $pid --mount --uts --ipc --net --pid -- sh -c \"$*\"\n", strings.Join(environ, " "))
	home := l.hosts[0]
	home.WriteFile("/tmp/rsh", []byte(b.String()), 0o755)
	return fmt.Sprintf("/proc/%d/root/tmp/rsh", home.pid())
}

func (l *Lab) close() {
	all := append(l.hosts, l.bridge)
	for _, h := range all {
		h.life.Close()
	}
	for _, h := range all {
		h.init.Wait()
		unix.Close(h.pidfd)
	}
}
