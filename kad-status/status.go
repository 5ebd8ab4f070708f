package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kad/pkg/keepalived"
	"kad/pkg/vip"
)

// A daemon is one running keepalived, or one saved dump: what it says, what its
// configuration says, and what is really on the host's interfaces.
type daemon struct {
	Name         string // keepalived's own "instance NAME", "" for most
	NetNamespace string
	PIDs         []int // empty for a saved dump

	Dump      *keepalived.Dump
	Config    *keepalived.Config // nil when there is none to be read
	ConfigErr error              // why Config is nil
	RolesFrom string             // what Config was read from, "" when nil
	Addresses []vip.Address
	NoAddrs   bool   // a saved dump without addresses: STATUS is what keepalived believes
	Root      string // prefix of keepalived's own files, e.g. /proc/PID/root; "" when they cannot be looked at
}

// A row is one line of the table: a VIP, or an instance without any. It is also an
// element of the JSON output.
type row struct {
	VIP       string           `json:"vip"` // address without prefix length, "" for an instance without VIPs
	Bits      int              `json:"prefix_length"`
	Excluded  bool             `json:"excluded"`
	Status    string           `json:"status"`            // ACTIVE when the address is on the host, else ""
	HeldOn    string           `json:"held_on,omitempty"` // the interface that really holds the VIP
	State     keepalived.State `json:"state"`
	StateFrom string           `json:"state_from"` // "configured", or "live" when the configured role is not known
	Live      keepalived.State `json:"live"`
	Priority  int              `json:"priority"`
	Effective int              `json:"effective_priority"`
	Instance  string           `json:"instance"`
	Interface string           `json:"interface"`
	VRID      int              `json:"virtual_router_id"`
	Tracking  []tracker        `json:"tracking"`
	Since     time.Time        `json:"since,omitzero"`
	Master    netip.Addr       `json:"master_router,omitzero"` // the MASTER that a BACKUP hears
}

const active = "ACTIVE"

// A tracker is something an instance tracks, with keepalived's view of it.
type tracker struct {
	Kind   string `json:"kind"` // script, interface, file, process, bfd
	Name   string `json:"name"`
	Status string `json:"status,omitempty"` // GOOD, BAD, INIT; "" when the dump does not tell
	Weight int    `json:"weight"`
}

// rows returns the table of d: instances configured as MASTER first, then the others,
// each in keepalived.conf's order.
func (d *daemon) rows() []row {
	var rows []row
	for i := range d.Dump.Instances {
		in := &d.Dump.Instances[i]
		base := d.baseRow(in)
		if len(in.VIPs)+len(in.Excluded) == 0 {
			rows = append(rows, base)
			continue
		}
		for _, v := range in.VIPs {
			rows = append(rows, d.vipRow(base, in, v, false))
		}
		for _, v := range in.Excluded {
			rows = append(rows, d.vipRow(base, in, v, true))
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Compare(roleOrder(a.State), roleOrder(b.State))
	})
	return rows
}

func roleOrder(s keepalived.State) int {
	if s == keepalived.Master {
		return 0
	}
	return 1
}

func (d *daemon) baseRow(in *keepalived.Instance) row {
	r := row{
		State:     in.State,
		StateFrom: "live",
		Live:      in.State,
		Priority:  in.Priority,
		Effective: in.EffectivePriority,
		Instance:  in.Name,
		Interface: in.Interface,
		VRID:      in.VRID,
		Tracking:  d.trackers(in),
		Since:     in.LastTransition,
		Master:    in.MasterRouter,
	}
	if c := d.configured(in.Name); c != nil {
		r.State, r.StateFrom = c.State, "configured"
	}
	return r
}

func (d *daemon) configured(name string) *keepalived.ConfigInstance {
	if d.Config == nil {
		return nil
	}
	return d.Config.Instance(name)
}

func (d *daemon) vipRow(r row, in *keepalived.Instance, v keepalived.VIP, excluded bool) row {
	r.VIP, r.Bits, r.Excluded = v.Prefix.Addr().String(), v.Prefix.Bits(), excluded
	r.Interface = cmp.Or(v.Device, in.Interface)
	held := v.Set || in.State == keepalived.Master
	if !d.NoAddrs {
		r.HeldOn = heldOn(d.Addresses, v.Prefix.Addr(), r.Interface)
		held = r.HeldOn != ""
	}
	if held {
		r.Status = active
	}
	return r
}

// heldOn returns the interface that holds a, device if it is among them, "" if none does.
func heldOn(addrs []vip.Address, a netip.Addr, device string) string {
	on := ""
	for _, x := range addrs {
		if x.Addr != a.WithZone("") || x.DADFailed {
			continue
		}
		if x.Interface == device {
			return device
		}
		on = cmp.Or(on, x.Interface)
	}
	return on
}

// trackers lists what in tracks itself or through its sync group, scripts first.
func (d *daemon) trackers(in *keepalived.Instance) []tracker {
	var group keepalived.SyncGroup
	for _, g := range d.Dump.SyncGroups {
		if g.Name == in.SyncGroup || slices.Contains(g.Members, in.Name) {
			group = g
		}
	}
	ts := []tracker{}
	add := func(kind string, status func(name string) string, tracked ...[]keepalived.Tracked) {
		for _, t := range slices.Concat(tracked...) {
			ts = append(ts, tracker{kind, t.Name, status(t.Name), t.Weight})
		}
	}
	add("script", d.scriptStatus, in.TrackedScripts, group.TrackedScripts)
	add("interface", d.interfaceStatus, in.TrackedInterfaces, group.TrackedInterfaces)
	add("file", d.fileStatus, in.TrackedFiles, group.TrackedFiles)
	add("process", d.processStatus, in.TrackedProcesses, group.TrackedProcesses)
	add("bfd", d.bfdStatus, in.TrackedBFDs, group.TrackedBFDs)
	return ts
}

func (d *daemon) scriptStatus(name string) string {
	if s := d.Dump.Script(name); s != nil {
		return s.Status
	}
	return ""
}

func (d *daemon) interfaceStatus(name string) string {
	return verdict(d.Dump.Interfaces, name, func(i keepalived.Interface) (string, bool) { return i.Name, i.Up && i.Running })
}

func (d *daemon) fileStatus(name string) string {
	return verdict(d.Dump.Files, name, func(f keepalived.TrackFile) (string, bool) { return f.Name, f.Value == 0 })
}

func (d *daemon) processStatus(name string) string {
	return verdict(d.Dump.Processes, name, func(p keepalived.TrackProcess) (string, bool) { return p.Name, p.Quorum })
}

func (d *daemon) bfdStatus(name string) string {
	return verdict(d.Dump.BFDs, name, func(b keepalived.TrackBFD) (string, bool) { return b.Name, b.Up })
}

// verdict returns GOOD or BAD for the object of that name, "" when it is not in the dump.
func verdict[T any](all []T, name string, look func(T) (name string, good bool)) string {
	for _, x := range all {
		if n, good := look(x); n == name {
			if good {
				return "GOOD"
			}
			return "BAD"
		}
	}
	return ""
}

// notes says what limits the view itself: unknown roles, unknown addresses.
func (d *daemon) notes() []string {
	var notes []string
	if d.NoAddrs {
		notes = append(notes, "STATUS shows what keepalived believes: no addresses given")
	}
	var unknown []string
	for _, in := range d.Dump.Instances {
		if d.configured(in.Name) == nil {
			unknown = append(unknown, in.Name)
		}
	}
	switch {
	case len(unknown) == 0:
	case d.Config == nil:
		notes = append(notes, fmt.Sprintf("STATE shows the live state, the configured one is not known: %v", d.ConfigErr))
	default:
		notes = append(notes, fmt.Sprintf("STATE shows the live state of %s: not in %s", strings.Join(unknown, ", "), d.RolesFrom))
	}
	return notes
}
