package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kad/kad-notify/internal/bgp"
	"kad/pkg/cli"
	"kad/pkg/conf"
	"kad/pkg/keepalived"
)

func checkVerb() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "check notify.toml, the programs it names, keepalived.conf's notify lines, and gobgpd",
		Flags: []cli.Flag{&cli.DurationFlag{Name: "timeout", Value: 2 * time.Second, Usage: "wait `TIME` for gobgpd"}},
		Action: func(c *cli.Context) error {
			if err := checkConfig(c); err != nil {
				return cli.Exit(cli.BadConfig, err)
			}
			return checkWorld(c)
		},
	}
}

// checkConfig reports each error of notify.toml with its line.
func checkConfig(c *cli.Context) error {
	_, err := loadConfig(c.String("config"), c.IsSet("config"))
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var lines []string
	for _, each := range joined.Unwrap() {
		line := each.Error()
		if placed, ok := errors.AsType[*conf.Error](each); ok && !mayHoldSecret(placed.Text) {
			line += "\n" + strings.TrimSuffix(placed.Snippet(), "\n")
		}
		lines = append(lines, line)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// mayHoldSecret reports whether a line of notify.toml is not to be shown.
func mayHoldSecret(line string) bool {
	return strings.Contains(line, "url") || strings.Contains(line, "headers") || strings.Contains(line, "://")
}

// checkWorld looks at what the hooks need and at who calls kad-notify.
func checkWorld(c *cli.Context) error {
	n, err := newNotifier(c, "check")
	if err != nil {
		return err
	}
	errs := []error{n.checkHooks(), n.checkStateDir()}
	sources, err := n.relays.read()
	if err != nil {
		errs = append(errs, fmt.Errorf("keepalived's configuration: %w", err))
	}
	for _, s := range sources {
		errs = append(errs, n.checkNotifyLines(s.config), n.checkPatterns(s.config))
	}
	bgpErr := n.checkBGP(c)
	if err := errors.Join(errs...); err != nil || bgpErr == nil {
		return errors.Join(err, bgpErr)
	}
	return cli.Exit(cli.Unreachable, bgpErr)
}

// checkHooks looks at the programs of hooks.
func (n *notifier) checkHooks() error {
	var errs []error
	for _, h := range n.config.Hooks {
		if a, ok := h.action.(*execAction); ok {
			if err := runnable(a.Command[0]); err != nil {
				errs = append(errs, fmt.Errorf("hook %s: %w", h.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// runnable tells why kad-notify would not run a program.
func runnable(file string) error {
	if err := keepalived.Secure(file); err != nil {
		return err
	}
	us := keepalived.Credential{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	_, err := keepalived.CheckScript(file, us, true)
	return err
}

// checkStateDir tries to write where state is to be kept.
func (n *notifier) checkStateDir() error {
	if err := os.MkdirAll(n.store.dir, 0o755); err != nil {
		return err
	}
	probe, err := os.CreateTemp(n.store.dir, ".check-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// checkNotifyLines looks at what keepalived.conf calls kad-notify with, and whether keepalived would.
func (n *notifier) checkNotifyLines(c *keepalived.Config) error {
	lines := slices.Clone(c.Notify)
	for _, g := range c.Groups {
		lines = append(lines, g.Notify...)
	}
	for _, in := range c.Instances {
		lines = append(lines, in.Notify...)
	}
	var errs []error
	called := false
	for _, l := range lines {
		if strings.HasSuffix(l.Keyword, "notify_fifo") {
			called = called || l.Command == defaultFIFO
			if l.User == "" && c.ScriptSecurity {
				errs = append(errs, fmt.Errorf("%s: %s: names no user: keepalived 2.2 then drops it and all scripts at a reload "+
					"unless script_user stands above, write %s root", l.Pos, l.Keyword, l.Command))
			}
			continue
		}
		if len(l.Argv) == 0 {
			continue
		}
		if err := callable(c, l); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", l.Pos, l.Keyword, err))
		}
		if filepath.Base(l.Argv[0]) == n.name {
			called = true
			if err := checkArguments(l); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", l.Pos, l.Keyword, err))
			}
		}
	}
	if !called {
		errs = append(errs, errors.New("keepalived's configuration has no line that calls kad-notify: "+
			"add notify "+`"/usr/local/bin/kad-notify"`+" to the instances, or vrrp_notify_fifo "+defaultFIFO+" root to global_defs"))
	}
	return errors.Join(errs...)
}

// callable tells why keepalived would not run a script, or not as is wanted.
func callable(c *keepalived.Config, l keepalived.ConfigNotify) error {
	as, err := c.Credential(l.User, l.Group)
	if err == nil {
		_, err = keepalived.CheckScript(l.Argv[0], as, c.ScriptSecurity)
	}
	return err
}

// checkArguments looks at the arguments of a line to which keepalived appends none.
func checkArguments(l keepalived.ConfigNotify) error {
	if l.Keyword == "notify" || strings.HasSuffix(l.Keyword, "fifo_script") {
		return nil
	}
	if _, err := keepalived.ParseNotifyArgs(l.Argv[1:]); err != nil {
		return fmt.Errorf("%w (keepalived appends nothing here)", err)
	}
	return nil
}

// checkPatterns looks for hooks that are for no instance or group.
func (n *notifier) checkPatterns(c *keepalived.Config) error {
	var errs []error
	for _, h := range n.config.Hooks {
		used := slices.ContainsFunc(c.Instances, func(in keepalived.ConfigInstance) bool { return matchAny(h.Instances, in.Name) }) ||
			slices.ContainsFunc(c.Groups, func(g keepalived.ConfigGroup) bool { return matchAny(h.Groups, g.Name) })
		if !used {
			errs = append(errs, fmt.Errorf("hook %s: keepalived has no instance %s and no group %s", h.Name, orNone(h.Instances), orNone(h.Groups)))
		}
	}
	return errors.Join(errs...)
}

func orNone(patterns []string) string {
	if len(patterns) == 0 {
		return "(none is named)"
	}
	return strings.Join(patterns, ", ")
}

// checkBGP asks gobgpd for its AS.
func (n *notifier) checkBGP(c *cli.Context) error {
	if !n.config.hasKind("bgp") {
		return nil
	}
	client, err := bgp.New(n.config.BGP.Options)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	server, err := client.Server(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "gobgpd: AS %d, router id %s\n", server.ASN, server.RouterID)
	return err
}
