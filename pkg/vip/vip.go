// Package vip tells which addresses the kernel really has on its interfaces, whatever
// keepalived believes: List asks by netlink in a given network namespace, Watch reports
// changes, a Tracker answers for single addresses without asking, ParseIP reads a saved answer of `ip -j addr show`. VMAC (macvlan) and IPVLAN
// interfaces are interfaces like any other and appear under their own names.
package vip

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Address is one IPv4 or IPv6 address on an interface.
type Address struct {
	Addr      netip.Addr `json:"address"` // without zone
	Bits      int        `json:"prefix_length"`
	Interface string     `json:"interface"`       // kernel's name, e.g. eth0 or vrrp.51 (without "@eth0")
	Index     int        `json:"interface_index"` // of Interface
	Label     string     `json:"label,omitzero"`  // IPv4 only, mostly the same as Interface, else e.g. eth0:1
	Scope     string     `json:"scope"`           // in ip(8)'s words: global, site, link, host, nowhere, or a number

	Tentative  bool `json:"tentative,omitzero"`  // IPv6 duplicate address detection still runs (RFC 4862, section 5.4)
	DADFailed  bool `json:"dadfailed,omitzero"`  // another host has the address: the kernel does not use it
	Deprecated bool `json:"deprecated,omitzero"` // preferred lifetime is over; keepalived sets IPv6 VIPs of /128 so
}

// Held returns the entry of addrs that makes a an address of this host, its zone aside.
// An address that failed duplicate address detection is not held.
func Held(addrs []Address, a netip.Addr) (Address, bool) {
	a = a.WithZone("")
	for _, x := range addrs {
		if x.Addr == a && !x.DADFailed {
			return x, true
		}
	}
	return Address{}, false
}

// List returns the addresses of every interface in the network namespace ns, a path such
// as /proc/PID/ns/net or /run/netns/NAME; "" is our own. The order is the kernel's.
// Another namespace than our own needs CAP_SYS_ADMIN.
func List(ns string) ([]Address, error) {
	var h *netlink.Handle
	err := inNamespace(ns, func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return list(h)
}

// list asks again while the kernel says that a change tore its answer, 50 times at most:
// then the error is netlink.ErrDumpInterrupted.
func list(h *netlink.Handle) (addrs []Address, err error) {
	for range 50 {
		if addrs, err = listOnce(h); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return addrs, err
}

// listOnce asks for the addresses first: one whose interface is then missing has gone with it.
func listOnce(h *netlink.Handle) ([]Address, error) {
	addrs, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	list := make([]Address, 0, len(addrs))
	for _, a := range addrs {
		if name, ok := names[a.LinkIndex]; ok && a.IPNet != nil {
			list = append(list, fromKernel(a, name))
		}
	}
	return list, nil
}

func fromKernel(a netlink.Addr, name string) Address {
	ip, _ := netip.AddrFromSlice(a.IP)
	prefix := cmp.Or(a.Peer, a.IPNet) // with a peer the prefix length is the peer's
	bits, _ := prefix.Mask.Size()
	return Address{
		Addr:       ip,
		Bits:       bits,
		Interface:  name,
		Index:      a.LinkIndex,
		Label:      a.Label,
		Scope:      scope(a.Scope),
		Tentative:  a.Flags&unix.IFA_F_TENTATIVE != 0,
		DADFailed:  a.Flags&unix.IFA_F_DADFAILED != 0,
		Deprecated: a.Flags&unix.IFA_F_DEPRECATED != 0,
	}
}

func scope(s int) string {
	switch s {
	case unix.RT_SCOPE_UNIVERSE:
		return "global"
	case unix.RT_SCOPE_SITE:
		return "site"
	case unix.RT_SCOPE_LINK:
		return "link"
	case unix.RT_SCOPE_HOST:
		return "host"
	case unix.RT_SCOPE_NOWHERE:
		return "nowhere"
	}
	return strconv.Itoa(s)
}
