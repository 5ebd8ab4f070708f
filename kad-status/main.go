// Command kad-status shows which host holds which virtual IP address, and whether that is
// right: from keepalived's own data dump, its configuration and the kernel's addresses.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"kad/pkg/cli"
	"kad/pkg/keepalived"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run(ctx, app(), args, stdin, stdout, stderr)
}

func app() *cli.App {
	return &cli.App{
		Name:      "kad-status",
		Usage:     "show which host holds which virtual IP, and whether that is right",
		ArgsUsage: "[HOST...]",
		Description: "Asks the keepalived of this host for its state and prints a table: a row per virtual IP. " +
			"With HOSTs it runs itself on each of them over ssh and prints one table of the cluster.",
		Flags: []cli.Flag{
			cli.OutputFlag("table", "wide", "json", "prometheus"),
			&cli.BoolFlag{Name: "check", Usage: "print one line for a monitoring system, exit 0, 1, 2 or 3"},
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "redraw whenever something changes, until interrupted"},
			&cli.BoolFlag{Name: "no-header", Usage: "print the rows only"},
			&cli.DurationFlag{Name: "timeout", Value: 2 * time.Second, Usage: "wait `DURATION` for an answer, from each host"},
			&cli.StringFlag{Name: "pid-file", Usage: "ask the keepalived of this pid `FILE`"},
			&cli.StringFlag{Name: "data", Usage: "read the saved dump `FILE`, ask nobody"},
			&cli.StringFlag{Name: "config", Usage: "with --data: the keepalived.conf `FILE` it ran with"},
			&cli.StringFlag{Name: "addresses", Usage: "with --data: the host's addresses, `FILE` as 'ip -j addr show' prints them"},
			&cli.StringFlag{Name: "host-id", Usage: "with --config: the `NAME` that decides its @NAME lines"},
			&cli.StringFlag{Name: "rsh", Value: "ssh -o BatchMode=yes", Usage: "reach a HOST by `COMMAND`"},
			&cli.StringFlag{Name: "remote-command", Value: "kad-status", Usage: "the `COMMAND` to run there"},
		},
		Action: status,
	}
}

// options are the flags that say how to print.
type options struct {
	format   string
	color    bool
	noHeader bool
	timeout  time.Duration
}

func status(c *cli.Context) error {
	hosts := c.Args().Slice()
	if err := conflicts(c, hosts); err != nil {
		return err
	}
	opt := options{c.String("output"), cli.Colors(c, c.App.Writer), c.Bool("no-header"), c.Duration("timeout")}
	find := keepalived.FindOptions{PIDFile: c.String("pid-file")}
	var look func(context.Context) (view, error)
	switch {
	case c.String("data") != "":
		saved := savedFiles{c.String("data"), c.String("config"), c.String("addresses"), c.String("host-id")}
		look = func(context.Context) (view, error) { return lookSaved(saved) }
	case len(hosts) > 0:
		r := newRemote(c)
		look = func(ctx context.Context) (view, error) {
			return newClusterView(time.Now(), r.ask(ctx, hosts)), nil
		}
	default:
		look = func(ctx context.Context) (view, error) { return lookLocal(ctx, find, opt.timeout) }
	}
	switch {
	case c.Bool("check"):
		return check(c, look)
	case c.Bool("watch"):
		ctx, cancel := context.WithCancel(c.Context)
		defer cancel()
		var changed <-chan struct{}
		if len(hosts) == 0 {
			changed = addressChanges(ctx, find)
		}
		return watch(ctx, c.App, opt, look, changed)
	}
	v, err := look(c.Context)
	if v != nil {
		if err := errors.Join(v.write(c.App.Writer, opt), talk(c.App, v)); err != nil {
			return err
		}
	}
	if err == nil && v.wrong() {
		err = cli.Exit(cli.Failure, nil)
	}
	return exitCode(err)
}

// conflicts rejects flags that contradict each other.
func conflicts(c *cli.Context, hosts []string) error {
	together := func(a, b string) error { return cli.Usagef("%s and %s do not go together", a, b) }
	data := c.String("data") != ""
	switch {
	case data && len(hosts) > 0:
		return together("--data", "HOST")
	case data && c.Bool("watch"):
		return together("--data", "--watch")
	case data && c.String("pid-file") != "":
		return together("--data", "--pid-file")
	case c.String("pid-file") != "" && len(hosts) > 0:
		return together("--pid-file", "HOST")
	case c.Bool("check") && c.Bool("watch"):
		return together("--check", "--watch")
	case len(hosts) > 0 && c.String("output") == "prometheus":
		return together("-o prometheus", "HOST")
	case c.Bool("watch") && c.String("output") != "table" && c.String("output") != "wide":
		return together("-o "+c.String("output"), "--watch")
	case len(strings.Fields(c.String("rsh"))) == 0:
		return cli.Usagef("--rsh is empty")
	case len(strings.Fields(c.String("remote-command"))) == 0:
		return cli.Usagef("--remote-command is empty")
	case c.Duration("timeout") <= 0:
		return cli.Usagef("--timeout: %v is not above 0", c.Duration("timeout"))
	}
	for _, f := range []string{"config", "addresses"} {
		if !data && c.String(f) != "" {
			return cli.Usagef("--%s goes with --data", f)
		}
	}
	if c.String("host-id") != "" && c.String("config") == "" {
		return cli.Usagef("--host-id goes with --config")
	}
	for i, h := range hosts {
		if h == "" || strings.HasPrefix(h, "-") {
			return cli.Usagef("%q is not a host name", h)
		}
		if slices.Contains(hosts[:i], h) {
			return cli.Usagef("host %s is named twice", h)
		}
	}
	return nil
}

func newRemote(c *cli.Context) *remote {
	timeout := c.Duration("timeout")
	there := (timeout / 2).String() // so that its own words about a keepalived that hangs arrive
	return &remote{
		Shell:   strings.Fields(c.String("rsh")),
		Command: append(strings.Fields(c.String("remote-command")), "-o", "json", "--timeout", there),
		Timeout: timeout,
	}
}

// A view is what was seen, of one host or of a cluster.
type view interface {
	write(w io.Writer, opt options) error
	writeCheck(w io.Writer) int
	lines() []string // what is wrong, and what limits the view, for stderr
	wrong() bool     // whether that is a negative verdict, exit code 1
}

func lookSaved(f savedFiles) (view, error) {
	d, err := readSaved(f)
	if err != nil {
		return nil, err
	}
	return newHostView(d.Dump.RouterID, time.Now(), []*daemon{d}), nil
}

func lookLocal(ctx context.Context, find keepalived.FindOptions, timeout time.Duration) (view, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	forwarder := make(chan *forwarderView, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, timeout/2) // a forwarder that hangs does not cost the table of its host
		defer cancel()
		forwarder <- askForwarder(ctx, "")
	}()
	daemons, err := askLocal(ctx, find)
	host, _ := os.Hostname()
	var h *hostView
	if len(daemons) == 0 {
		h = unanswered(host, time.Now(), err)
	} else {
		h = newHostView(host, time.Now(), daemons)
	}
	h.Forwarder = <-forwarder
	return h, err
}

// talk prints what is wrong on stderr, a line each, under the table.
func talk(app *cli.App, v view) error {
	for _, line := range v.lines() {
		if _, err := fmt.Fprintf(app.ErrWriter, "%s: %s\n", app.Name, printable(line)); err != nil {
			return err
		}
	}
	return nil
}

func check(c *cli.Context, look func(context.Context) (view, error)) error {
	v, err := look(c.Context)
	if err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		return cli.Exit(writePlugin(c.App.Writer, pluginCode(err), text, ""), nil)
	}
	return cli.Exit(v.writeCheck(c.App.Writer), nil)
}

// pluginCode is the plugin's exit code when keepalived could not be asked: it is critical
// that none runs or answers, unknown what the others mean.
func pluginCode(err error) int {
	if errors.Is(err, keepalived.ErrNotRunning) || errors.Is(err, keepalived.ErrNoAnswer) || errors.Is(err, keepalived.ErrGone) {
		return pluginCritical
	}
	return pluginUnknown
}

// exitCode gives err the exit code that the README names for it.
func exitCode(err error) error {
	switch {
	case errors.Is(err, keepalived.ErrPermission):
		return cli.Exit(cli.Failure, cli.Hint(err, "run it as root"))
	case errors.Is(err, keepalived.ErrNotRunning), errors.Is(err, keepalived.ErrNoVRRP),
		errors.Is(err, keepalived.ErrNoAnswer), errors.Is(err, keepalived.ErrGone):
		return cli.Exit(cli.Unreachable, err)
	}
	return err
}
