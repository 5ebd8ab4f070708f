package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"kad/pkg/keepalived"
)

// reloadAsked is in the queue when a SIGHUP has come: events before it have the old hooks, those after it the new.
var reloadAsked = keepalived.Event{Kind: "reload"}

// hangups returns a channel that has a value when a SIGHUP has come.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// each calls do for each value of c until ctx ends.
func each(ctx context.Context, c <-chan os.Signal, do func()) {
	for {
		select {
		case <-c:
			do()
		case <-ctx.Done():
			return
		}
	}
}

// reload takes over notify.toml as it is now. When that is bad the hooks remain as they are.
func (n *notifier) reload(ctx context.Context) {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
	defer func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyReady) }()
	next, err := n.load()
	if err == nil && next.StateDir != n.config.StateDir {
		err = fmt.Errorf("state_dir: a reload cannot move it from %s to %s, a restart does", n.config.StateDir, next.StateDir)
	}
	if err != nil {
		n.complain(fmt.Errorf("not reloaded, the hooks remain as they are: %w", err))
		return
	}
	if n.config.hasKind("bgp") && !next.announcesLike(n.config) {
		n.config = n.config.mute()
		n.settle(ctx)
	}
	n.config = next
	fmt.Fprintf(n.stderr, "%s: reloaded, hooks: %d\n", n.name, len(next.Hooks))
	n.settle(ctx)
}

// announcesLike reports whether c has old's routes in its hands, to change or to withdraw.
func (c *config) announcesLike(old *config) bool {
	return c.hasKind("bgp") && c.BGP.Options.Target == old.BGP.Options.Target
}

// mute returns a configuration that withdraws what c has announced, and does nothing else.
func (c *config) mute() *config {
	return &config{StateDir: c.StateDir, BGP: c.BGP, Hooks: []*hook{{Name: "bgp", Kind: "bgp", Timeout: kinds["bgp"].timeout, action: &bgpAction{c.BGP}}}}
}
