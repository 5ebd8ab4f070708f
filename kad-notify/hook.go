package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"kad/pkg/keepalived"
)

// hook is a [hook.NAME] of notify.toml.
type hook struct {
	Name      string
	Kind      string
	Instances []string // patterns, as of path.Match
	Groups    []string
	States    []keepalived.State
	From      []keepalived.State // nil: any
	Required  bool
	Timeout   time.Duration
	action
}

// action is what a hook does. Run must end when its context does.
type action interface {
	run(ctx context.Context, n *notifier, c *change) error
	plan(c *change) string // what run would do
}

// change is an event and what is known about it.
type change struct {
	keepalived.Event
	Hook     string // that is running
	Time     time.Time
	Previous keepalived.State // "" when it is not known
	relay    *relay
	doubt    bool // whether to announce nothing
}

// vips returns the addresses of the instance, or of the members of the group.
func (c *change) vips() []netip.Addr { return c.relay.addrs() }

// matches reports whether h is for c.
func (h *hook) matches(c *change) bool {
	patterns := h.Instances
	if c.Kind == keepalived.GroupEvent {
		patterns = h.Groups
	}
	if !matchAny(patterns, c.Name) || !slices.Contains(h.States, c.State) {
		return false
	}
	return h.From == nil || !c.Transition() || slices.Contains(h.From, c.Previous)
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(whole(p), whole(name))
		return ok
	})
}

// whole hides slashes, at which path.Match parts names.
func whole(s string) string { return strings.ReplaceAll(s, "/", "\x00") }

// notifier handles events.
type notifier struct {
	config *config
	load   func() (*config, error) // as it is now
	blind  bool                    // the configuration could not be read
	mode   string                  // script, fifo or sync, for the history
	store  store
	relays *relays
	stdout io.Writer
	stderr io.Writer
	name   string // of the program
	now    func() time.Time
}

// complain says on stderr what went wrong while the work goes on.
func (n *notifier) complain(err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(n.stderr, "%s: %s\n", n.name, printable(line))
	}
}

// How long an event waits for the ones before it. keepalived kills scripts of STOP after a second.
const (
	lockTimeout     = time.Minute
	stopLockTimeout = 500 * time.Millisecond
)

// handle handles one event of script mode: after those before it, and not at all when a newer
// one has come meanwhile.
func (n *notifier) handle(ctx context.Context, e keepalived.Event, t ticket) error {
	r, err := n.store.open(e.Kind, e.Name)
	if err == nil && e.Transition() {
		err = r.register(t)
	}
	if err != nil {
		n.complain(fmt.Errorf("state directory: %w", err))
	}
	defer r.release()
	if err := n.await(ctx, r, e); err != nil {
		return err
	}
	if r.overtaken(t) {
		c := n.look(e, r.recall())
		return errors.Join(n.tell(c, "overtaken by a newer event"), n.remember(c, verdictOvertaken, nil))
	}
	return n.perform(ctx, r, e, func() bool { return r.overtaken(t) })
}

// await takes the lock. One that does not come is no reason to keep an address announced.
func (n *notifier) await(ctx context.Context, r *record, e keepalived.Event) error {
	timeout := lockTimeout
	if e.State == keepalived.Stop {
		timeout = stopLockTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := r.acquire(ctx)
	if err != nil && e.State != keepalived.Master {
		n.complain(err)
		return nil
	}
	return err
}

// look collects what is known about an event.
func (n *notifier) look(e keepalived.Event, m memory) *change {
	c := &change{Event: e, Time: n.now(), Previous: m.State}
	var err error
	if c.relay, err = n.relays.find(e.Kind, e.Name, m.VIPs); err != nil {
		n.complain(err)
	}
	return c
}

// perform tells the journal of an event and runs its hooks. With the lock of r held; overtaken
// is asked before each hook.
func (n *notifier) perform(ctx context.Context, r *record, e keepalived.Event, overtaken func() bool) error {
	m := r.recall()
	c := n.look(e, m)
	if err := n.tell(c, ""); err != nil {
		n.complain(err)
	}
	m = n.updated(c, m)
	if err := r.remember(m); err != nil {
		n.complain(fmt.Errorf("state directory: %w", err))
	}
	results, failed := n.runHooks(ctx, n.hooks(m), c, overtaken)
	verdict := verdictDone
	if failed {
		verdict = verdictFailed
	} else if len(c.relay.gone) > 0 && !overtaken() {
		m.VIPs = m.VIPs[:len(c.relay.vips)] // the rest is withdrawn
		if err := r.remember(m); err != nil {
			n.complain(fmt.Errorf("state directory: %w", err))
		}
	}
	if err := n.remember(c, verdict, results); err != nil {
		n.complain(err)
	}
	if failed {
		return errFailed
	}
	return nil
}

// errFailed says that hooks failed, each of which was reported.
var errFailed = errors.New("not all hooks succeeded")

// updated returns what is to be remembered after c.
func (n *notifier) updated(c *change, m memory) memory {
	m.Name = c.Name
	if c.Transition() {
		m.State, m.Since = c.State, c.Time
	}
	if c.Priority >= 0 {
		m.Priority = c.Priority
	}
	m.VIPs = c.vips()
	if c.State == keepalived.Master && n.announces(c) {
		m.BGP = n.config.BGP
	}
	return m
}

func (n *notifier) announces(c *change) bool {
	return slices.ContainsFunc(n.config.Hooks, func(h *hook) bool { return h.Kind == "bgp" && h.matches(c) })
}

// hooks returns those of the configuration, or one that withdraws what was announced by an earlier
// one that could be read.
func (n *notifier) hooks(m memory) []*hook {
	if !n.blind || m.BGP == nil {
		return n.config.Hooks
	}
	return []*hook{{Name: "bgp", Kind: "bgp", Instances: []string{"*"}, Groups: []string{"*"},
		States: slices.Concat(transitions, further), Timeout: kinds["bgp"].timeout, action: &bgpAction{m.BGP}}}
}

// runHooks runs the hooks that match. After a required one has failed only withdrawing goes on.
func (n *notifier) runHooks(ctx context.Context, hooks []*hook, c *change, overtaken func() bool) (results []result, failed bool) {
	broken := ""
	for _, h := range hooks {
		if !h.matches(c) {
			continue
		}
		r := result{Hook: h.Name, Kind: h.Kind}
		switch {
		case overtaken():
			r.Verdict = verdictOvertaken
		case broken != "" && h.Kind != "bgp":
			r.Verdict, r.Error = verdictSkipped, "the required hook "+broken+" failed"
		default:
			c.Hook, c.doubt = h.Name, n.blind || broken != ""
			start := time.Now()
			err := n.runHook(ctx, h, c)
			r.Verdict, r.Milliseconds = verdictDone, float64(time.Since(start).Microseconds())/1000
			if err != nil {
				failed = true
				r.Verdict, r.Error = verdictFailed, printable(err.Error())
				n.complain(fmt.Errorf("%s: hook %s: %w", c.Event, h.Name, err))
				if h.Required {
					broken = h.Name
				}
			}
		}
		results = append(results, r)
	}
	return results, failed
}

func (n *notifier) runHook(ctx context.Context, h *hook, c *change) error {
	ctx, cancel := context.WithTimeoutCause(ctx, h.Timeout, fmt.Errorf("not done after %v", h.Timeout))
	defer cancel()
	return h.run(ctx, n, c)
}

// plan prints what handle would do.
func (n *notifier) plan(_ context.Context, e keepalived.Event) error {
	r := &record{dir: n.store.recordDir(e.Kind, e.Name)}
	c := n.look(e, r.recall())
	var b strings.Builder
	message, _ := c.journalEntry("")
	fmt.Fprintf(&b, "journal: %s\n", message)
	for _, h := range n.config.Hooks {
		if h.matches(c) {
			c.Hook = h.Name
			fmt.Fprintf(&b, "hook %s: %s\n", h.Name, h.action.plan(c))
		}
	}
	_, err := io.WriteString(n.stdout, b.String())
	return err
}
