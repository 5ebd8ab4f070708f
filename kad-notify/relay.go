package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kad/pkg/keepalived"
	"kad/pkg/vip"
)

// relay is what is known of an instance, or of the members of a group.
type relay struct {
	vips  []virtual
	gone  []netip.Addr        // was a VIP of it when we last heard, and is nobody's now
	known map[netip.Addr]bool // all VIPs of this host, whosever they are
	netNS string              // where they are held, "" for our own

	groups []string // that an instance is in
}

// virtual is one VIP.
type virtual struct {
	Addr      netip.Addr
	Interface string // of the instance, "" when it is not known
	Priority  int    // base priority of the instance, -1 when it is not known
}

func (r *relay) addrs() []netip.Addr {
	var all []netip.Addr
	for _, v := range r.vips {
		all = append(all, v.Addr)
	}
	return append(all, r.gone...)
}

// relays knows the configurations of the keepalived on this host.
type relays struct {
	configFile string // read when no keepalived is running

	sources []source // the last that were read
	at      time.Time
}

// recent is how old a configuration may be: a burst of events is handled with one.
const recent = 100 * time.Millisecond

// source is one configuration and the network namespace for which it is.
type source struct {
	config *keepalived.Config
	netNS  string
}

// find returns what is known of an instance or group: from what the running keepalived has loaded,
// else from its files, else what is remembered. The error says why the first two do not tell.
func (rs *relays) find(kind keepalived.EventKind, name string, remembered []netip.Addr) (*relay, error) {
	sources, err := rs.latest(kind, name)
	r := &relay{known: map[netip.Addr]bool{}}
	for _, addr := range remembered {
		r.known[addr] = true
	}
	for _, s := range sources {
		for _, in := range s.config.Instances {
			for _, v := range virtuals(in) {
				r.known[v.Addr] = true
			}
		}
	}
	found := false
	for _, s := range sources {
		for _, in := range s.members(kind, name) {
			found = true
			r.vips = append(r.vips, virtuals(in)...)
			r.netNS = s.netNS
			r.groups = append(r.groups, s.groupsOf(in.Name)...)
		}
	}
	if len(sources) == 0 {
		for _, addr := range remembered {
			r.vips = append(r.vips, virtual{Addr: addr, Priority: -1})
		}
		return r, fmt.Errorf("VIPs of %s: %w", name, err)
	}
	for _, addr := range remembered {
		if !configured(sources, addr) {
			r.gone = append(r.gone, addr)
		}
	}
	if !found && len(remembered) == 0 {
		err = errors.Join(err, fmt.Errorf("no %s %s is in keepalived's configuration", strings.ToLower(string(kind)), name))
	}
	return r, err
}

// members returns the instances that an event is about.
func (s source) members(kind keepalived.EventKind, name string) (all []keepalived.ConfigInstance) {
	names := []string{name}
	if kind == keepalived.GroupEvent {
		names = nil
		for _, g := range s.config.Groups {
			if g.Name == name {
				names = append(names, g.Members...)
			}
		}
	}
	for _, in := range s.config.Instances {
		if slices.Contains(names, in.Name) {
			all = append(all, in)
		}
	}
	return all
}

// groupsOf returns the groups that an instance is in.
func (s source) groupsOf(instance string) (names []string) {
	for _, g := range s.config.Groups {
		if slices.Contains(g.Members, instance) {
			names = append(names, g.Name)
		}
	}
	return names
}

func configured(sources []source, addr netip.Addr) bool {
	return slices.ContainsFunc(sources, func(s source) bool {
		return slices.ContainsFunc(s.config.Instances, func(in keepalived.ConfigInstance) bool {
			return slices.ContainsFunc(virtuals(in), func(v virtual) bool { return v.Addr == addr })
		})
	})
}

// virtuals returns the VIPs of an instance, excluded ones too.
func virtuals(in keepalived.ConfigInstance) (all []virtual) {
	for _, v := range slices.Concat(in.VIPs, in.Excluded) {
		addr := v.Prefix.Addr().Unmap()
		if addr.IsValid() {
			all = append(all, virtual{addr, in.Interface, in.Priority})
		}
	}
	return all
}

// latest returns recent configurations, which know the instance or group if any does.
func (rs *relays) latest(kind keepalived.EventKind, name string) ([]source, error) {
	knows := func(s source) bool { return len(s.members(kind, name)) > 0 }
	if time.Since(rs.at) < recent && slices.ContainsFunc(rs.sources, knows) {
		return rs.sources, nil
	}
	var err error
	rs.sources, err = rs.read()
	rs.at = time.Now()
	return rs.sources, err
}

// read returns the configurations of all keepalived that run, else that of the files.
func (rs *relays) read() ([]source, error) {
	procs, err := rs.processes()
	var sources []source
	for _, p := range procs {
		config, _, configErr := p.Config()
		if configErr != nil {
			err = errors.Join(err, configErr)
			continue
		}
		sources = append(sources, source{config: config, netNS: p.NetNS()})
	}
	if len(sources) > 0 {
		return sources, err
	}
	config, fileErr := keepalived.LoadConfig(rs.configFile, keepalived.ConfigOptions{})
	if fileErr != nil {
		return nil, errors.Join(err, fileErr)
	}
	if errors.Is(err, keepalived.ErrNotRunning) || errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return []source{{config: config}}, err
}

// processes returns the keepalived of this host: those that share our process ids, since others
// belong to containers. In a script that one of them has started it is that one alone.
func (rs *relays) processes() ([]*keepalived.Process, error) {
	procs, err := keepalived.Find(keepalived.FindOptions{})
	parent := os.Getppid()
	own, _ := os.Readlink("/proc/self/ns/pid")
	var ours []*keepalived.Process
	for _, p := range procs {
		if slices.Contains(p.PIDs(), parent) {
			return []*keepalived.Process{p}, nil
		}
		if ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", p.PID)); ns == own {
			ours = append(ours, p)
		}
	}
	if len(ours) == 0 && err == nil {
		err = fmt.Errorf("%w on this host", keepalived.ErrNotRunning)
	}
	return ours, err
}

// watchInterval is how long it may take until a keepalived that says nothing is noticed.
const watchInterval = time.Second

// watch calls ended each time that a VRRP process has ended, until ctx does. What comes by heard tells
// that one has spoken: it may be gone before it was seen.
func (rs *relays) watch(ctx context.Context, heard <-chan struct{}, ended func()) {
	for unseen := false; ctx.Err() == nil; {
		fds := rs.open()
		switch {
		case len(fds) > 0:
			unseen = false
			if n, _ := unix.Poll(fds, int(watchInterval.Milliseconds())); n > 0 {
				ended()
			}
		case unseen:
			unseen = false
			ended()
		default:
			select {
			case <-heard:
				unseen = true
				sleep(ctx, recent) // looking at all processes is not cheap
			case <-time.After(watchInterval):
			case <-ctx.Done():
			}
		}
		for _, fd := range fds {
			unix.Close(int(fd.Fd))
		}
	}
}

// open returns a pidfd of each VRRP process.
func (rs *relays) open() (fds []unix.PollFd) {
	procs, _ := rs.processes()
	for _, p := range procs {
		if fd, err := unix.PidfdOpen(p.VRRP, 0); err == nil {
			fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	return fds
}

// held returns the addresses that are really on this host.
func (r *relay) held() ([]vip.Address, error) { return vip.List(r.netNS) }
