package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"kad/kad-notify/internal/bgp"
	"kad/pkg/cli"
	"kad/pkg/keepalived"
)

// syncLockTimeout is how long sync waits for the events that are being handled.
const syncLockTimeout = 5 * time.Second

func syncVerb() *cli.Command {
	return &cli.Command{
		Name: "sync", Usage: "make BGP and units agree with what keepalived says now",
		Description: "Asks keepalived for its state and the kernel for its addresses. Announces the VIPs of instances that are MASTER " +
			"and hold them, withdraws every other VIP that is configured or remembered, and starts or stops the units that hooks " +
			"start or stop for the state that an instance is in. Without a keepalived that answers all is withdrawn.",
		Flags: []cli.Flag{&cli.DurationFlag{Name: "timeout", Value: 10 * time.Second, Usage: "give up after this `TIME`"}},
		Action: func(c *cli.Context) error {
			n, err := newNotifier(c, "sync")
			if err != nil {
				return err
			}
			if c.Duration("timeout") <= 0 {
				return cli.Usagef("--timeout %v: want more than 0", c.Duration("timeout"))
			}
			ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
			defer cancel()
			return n.sync(ctx, syncOptions{units: true, dry: c.Bool("dry-run")})
		},
	}
}

type syncOptions struct {
	units bool // those too
	dry   bool // print only
}

// sync makes the world agree with keepalived. It holds the locks of all instances from before it
// asks keepalived until it is done, so that no event comes in between.
func (n *notifier) sync(ctx context.Context, opt syncOptions) error {
	if !n.config.hasKind("bgp") && !(opt.units && n.config.hasKind("unit")) {
		return nil
	}
	records, err := n.lockAll(ctx, opt)
	defer func() {
		for _, r := range records {
			r.release()
		}
	}()
	now, nowErr := n.states(ctx)
	changes := n.changes(records, now)
	bgpErr := n.syncBGP(ctx, changes, opt)
	err = errors.Join(err, nowErr, bgpErr)
	if opt.units && nowErr == nil {
		err = errors.Join(err, n.syncUnits(ctx, changes, opt))
	}
	if nowErr == nil && bgpErr == nil && !opt.dry {
		err = errors.Join(err, n.correct(records, changes))
	}
	return err
}

func (c *config) hasKind(kind string) bool {
	return slices.ContainsFunc(c.Hooks, func(h *hook) bool { return h.Kind == kind })
}

// lockAll takes the locks of all instances that are configured or remembered, in the order of
// their names. Those that it did not get are left out.
func (n *notifier) lockAll(ctx context.Context, opt syncOptions) (map[string]*record, error) {
	names := n.store.names(keepalived.InstanceEvent)
	sources, err := n.relays.read()
	for _, s := range sources {
		for _, in := range s.config.Instances {
			names = append(names, in.Name)
		}
	}
	if len(sources) > 0 {
		err = nil
	}
	slices.Sort(names)
	ctx, cancel := context.WithTimeout(ctx, syncLockTimeout)
	defer cancel()
	records := map[string]*record{}
	for _, name := range slices.Compact(names) {
		if opt.dry {
			records[name] = &record{dir: n.store.recordDir(keepalived.InstanceEvent, name)}
			continue
		}
		r, openErr := n.store.open(keepalived.InstanceEvent, name)
		if openErr != nil {
			n.complain(fmt.Errorf("state directory: %w", openErr))
		}
		if lockErr := r.acquire(ctx); lockErr != nil && errors.Is(lockErr, errLocked) {
			err = errors.Join(err, fmt.Errorf("%s is left as it is: %w", name, lockErr))
			continue
		}
		records[name] = r
	}
	return records, err
}

// states asks every keepalived for its instances. One that does not run has none, and is no error.
func (n *notifier) states(ctx context.Context) (map[string]keepalived.Instance, error) {
	procs, err := n.relays.processes()
	if errors.Is(err, keepalived.ErrNotRunning) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dumpTimeout)
	defer cancel()
	all := map[string]keepalived.Instance{}
	for _, p := range procs {
		dump, dumpErr := p.Dump(ctx)
		if errors.Is(dumpErr, keepalived.ErrNoVRRP) {
			continue
		}
		if dumpErr != nil {
			err = errors.Join(err, dumpErr)
			continue
		}
		for _, in := range dump.Instances {
			all[in.Name] = in
		}
	}
	return all, err
}

// dumpTimeout is how long keepalived may take to answer.
const dumpTimeout = 2 * time.Second

// changes are the events that would have led to where the instances are. One that keepalived does not
// speak of has stopped.
func (n *notifier) changes(records map[string]*record, now map[string]keepalived.Instance) (all []*change) {
	for name, r := range records {
		e := keepalived.Event{Kind: keepalived.InstanceEvent, Name: name, State: keepalived.Stop, Priority: -1}
		if in, ok := now[name]; ok {
			e.State, e.Priority = in.State, in.EffectivePriority
		}
		all = append(all, n.look(e, r.recall()))
	}
	slices.SortFunc(all, func(a, b *change) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// syncBGP announces what is to be announced and withdraws the other VIPs, as far as gobgpd does not
// have it so already.
func (n *notifier) syncBGP(ctx context.Context, changes []*change, opt syncOptions) error {
	if !n.config.hasKind("bgp") {
		return nil
	}
	client, err := bgp.New(n.config.BGP.Options)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, n.bgpTimeout())
	defer cancel()
	var errs []error
	var paths []bgp.Path
	var addrs []netip.Addr
	for _, c := range changes {
		addrs = append(addrs, c.vips()...)
		if n.announcesInstance(c) {
			wanted, err := n.config.BGP.wanted(c)
			paths, errs = append(paths, wanted...), append(errs, err)
		}
	}
	for _, addr := range unwanted(addrs, paths) {
		if err := n.change(ctx, client, opt, addr, nil); err != nil {
			return errors.Join(append(errs, err)...) // gobgpd has no more to say
		}
	}
	for _, p := range paths {
		if err := n.change(ctx, client, opt, p.Addr, &p); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}

// bgpTimeout is the longest that a hook of kind bgp may take.
func (n *notifier) bgpTimeout() (longest time.Duration) {
	for _, h := range n.config.Hooks {
		if h.Kind == "bgp" {
			longest = max(longest, h.Timeout)
		}
	}
	return longest
}

// change makes p the path of addr, or removes it when p is nil, and says so.
func (n *notifier) change(ctx context.Context, client *bgp.Client, opt syncOptions, addr netip.Addr, p *bgp.Path) error {
	found, ok, err := client.Find(ctx, addr)
	if err != nil || p == nil && !ok || p != nil && ok && found.Equal(*p) {
		return err
	}
	what := "withdraw " + addr.String()
	if p != nil {
		what = "announce " + describe(*p)
	}
	if _, err := fmt.Fprintln(n.stdout, what); err != nil || opt.dry {
		return err
	}
	if p != nil {
		return client.Announce(ctx, *p)
	}
	return client.Withdraw(ctx, addr)
}

// announcesInstance reports whether a hook of kind bgp is for an instance, by itself or by its group.
func (n *notifier) announcesInstance(c *change) bool {
	return slices.ContainsFunc(n.config.Hooks, func(h *hook) bool {
		return h.Kind == "bgp" && (matchAny(h.Instances, c.Name) ||
			slices.ContainsFunc(c.relay.groups, func(g string) bool { return matchAny(h.Groups, g) }))
	})
}

// syncUnits starts and stops units. One that is to be started for one instance and stopped for
// another is started.
func (n *notifier) syncUnits(ctx context.Context, changes []*change, opt syncOptions) error {
	want := map[string]string{}
	for _, h := range n.config.Hooks {
		u, ok := h.action.(*unitAction)
		if !ok || u.Action != "start" && u.Action != "stop" {
			continue
		}
		for _, c := range changes {
			if matchAny(h.Instances, c.Name) && slices.Contains(h.States, c.State) && want[u.Unit] != "start" {
				want[u.Unit] = u.Action
			}
		}
	}
	if len(want) == 0 {
		return nil
	}
	bus, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("system bus: %w", err)
	}
	defer bus.Close()
	var errs []error
	for unit, action := range want {
		errs = append(errs, n.agree(ctx, bus, &unitAction{unit, action}, opt))
	}
	return errors.Join(errs...)
}

func (n *notifier) agree(ctx context.Context, bus *dbus.Conn, u *unitAction, opt syncOptions) error {
	active, err := u.active(ctx, bus)
	if err != nil || active == (u.Action == "start") {
		return err
	}
	if _, err := fmt.Fprintln(n.stdout, u.plan(nil)); err != nil || opt.dry {
		return err
	}
	return u.call(ctx, bus)
}

// correct remembers the states where the last event of an instance was missed.
func (n *notifier) correct(records map[string]*record, changes []*change) error {
	var errs []error
	for _, c := range changes {
		r := records[c.Name]
		m := r.recall()
		vips := c.vips()[:len(c.relay.vips)] // the rest has been withdrawn
		if m.State == c.State && slices.Equal(m.VIPs, vips) {
			continue
		}
		stopped := c.State == keepalived.Stop && slices.Contains([]keepalived.State{"", keepalived.Stop, keepalived.Deleted}, m.State)
		missed := m.State != c.State && !stopped
		m = n.updated(c, m)
		m.VIPs = vips
		errs = append(errs, r.remember(m))
		if missed {
			errs = append(errs, n.tell(c, "found by sync"), n.remember(c, verdictDone, nil))
		}
	}
	return errors.Join(errs...)
}
