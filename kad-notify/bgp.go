package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kad/kad-notify/internal/bgp"
	"kad/pkg/keepalived"
	"kad/pkg/vip"
)

// bgpSettings is the table [bgp] of notify.toml.
type bgpSettings struct {
	Options     bgp.Options `json:"options"`
	NextHop     netip.Addr  `json:"-"` // not valid: the VIP's interface's own address
	NextHopIPv6 netip.Addr  `json:"-"`
	Communities []uint32    `json:"-"`
	MED         *med        `json:"-"`
}

// bgpAction announces the VIPs of an instance that is MASTER and holds them, and withdraws all
// others.
type bgpAction struct{ *bgpSettings }

func (a *bgpAction) plan(c *change) string {
	paths, err := a.wanted(c)
	var words []string
	for _, p := range paths {
		words = append(words, "announce "+describe(p))
	}
	for _, addr := range unwanted(c.vips(), paths) {
		words = append(words, "withdraw "+addr.String())
	}
	if err != nil {
		words = append(words, err.Error())
	}
	if words == nil {
		return "nothing to announce or withdraw"
	}
	return strings.Join(words, ", ")
}

func describe(p bgp.Path) string {
	text := fmt.Sprintf("%s with next hop %s", p.Addr, p.NextHop)
	if p.MED != nil {
		text += fmt.Sprintf(", MED %d", *p.MED)
	}
	for _, c := range p.Communities {
		text += fmt.Sprintf(", community %d:%d", c>>16, c&0xffff)
	}
	return text
}

func (a *bgpAction) run(ctx context.Context, _ *notifier, c *change) error {
	client, err := bgp.New(a.Options)
	if err != nil {
		return err
	}
	defer client.Close()
	paths, err := a.wanted(c)
	errs := []error{err}
	for _, addr := range unwanted(c.vips(), paths) {
		if err := client.Withdraw(ctx, addr); err != nil {
			return errors.Join(append(errs, err)...) // it was tried until the time was over
		}
	}
	for _, p := range paths {
		if err := client.Announce(ctx, p); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}

// unwanted returns the addresses that are in none of the paths.
func unwanted(addrs []netip.Addr, paths []bgp.Path) (rest []netip.Addr) {
	for _, addr := range addrs {
		announced := slices.ContainsFunc(paths, func(p bgp.Path) bool { return p.Addr == addr })
		if !announced && !slices.Contains(rest, addr) {
			rest = append(rest, addr)
		}
	}
	return rest
}

// wanted returns the paths to announce: those of VIPs that this host really holds, while their
// instance is MASTER. The error says which others of a MASTER are not announced.
func (a *bgpSettings) wanted(c *change) ([]bgp.Path, error) {
	switch c.State {
	case keepalived.Master, keepalived.MasterRxLowerPri, keepalived.MasterPriority:
	default:
		return nil, nil
	}
	if c.doubt {
		return nil, nil
	}
	held, err := c.relay.held()
	if err != nil {
		return nil, fmt.Errorf("nothing is announced: %w", err)
	}
	var paths []bgp.Path
	var errs []error
	for _, v := range c.relay.vips {
		at, ok := vip.Held(held, v.Addr)
		if !ok {
			errs = append(errs, fmt.Errorf("%s is not announced: this host does not hold it", v.Addr))
			continue
		}
		next, err := a.nextHop(at, v, c.relay, held)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is not announced: %w", v.Addr, err))
			continue
		}
		paths = append(paths, bgp.Path{Addr: v.Addr, NextHop: next, MED: a.med(c, v), Communities: a.Communities})
	}
	return paths, errors.Join(errs...)
}

// nextHop returns the configured next hop, else the address that the host has for itself where
// the VIP is: on its interface, or below it with VMAC.
func (a *bgpSettings) nextHop(at vip.Address, v virtual, r *relay, held []vip.Address) (netip.Addr, error) {
	set, key := a.NextHop, "next_hop"
	if v.Addr.Is6() {
		set, key = a.NextHopIPv6, "next_hop_ipv6"
	}
	if set.IsValid() {
		return set, nil
	}
	for _, name := range []string{at.Interface, v.Interface} {
		for _, own := range held {
			usable := own.Scope == "global" && !own.Tentative && !own.DADFailed && !r.known[own.Addr]
			if own.Interface == name && usable && own.Addr.Is4() == v.Addr.Is4() {
				return own.Addr, nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has no address of its own for the next hop, set bgp.%s", at.Interface, key)
}

// med returns MULTI_EXIT_DISC. By priority it is 255 less that, so that routers prefer the higher
// priority.
func (a *bgpSettings) med(c *change, v virtual) *uint32 {
	if a.MED == nil {
		return nil
	}
	value := a.MED.fixed
	if a.MED.byPriority {
		priority := c.Priority
		if c.Kind == keepalived.GroupEvent || priority < 0 {
			priority = v.Priority
		}
		value = uint32(255 - max(0, priority))
	}
	return &value
}
