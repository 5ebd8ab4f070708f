// Command kad-notify does what has to be done when a VRRP instance changes its state: it tells
// the journal, and runs the hooks of notify.toml in their order: units, programs, BGP
// announcements, webhooks, state files. keepalived calls it as a notify script, or it reads
// keepalived's notify FIFO.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"kad/pkg/cli"
	"kad/pkg/keepalived"
	"kad/pkg/spelling"
)

func main() {
	syscall.Umask(0o022) // keepalived leaves 0177 to its scripts, which no directory can be used with
	os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, audible(os.Stderr)))
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run(ctx, newApp(), separate(args), stdin, stdout, stderr)
}

// separate puts "--" before what keepalived has appended, because the name of an instance may
// be anything, also that of a flag.
func separate(args []string) []string {
	for _, n := range []int{4, 3} {
		i := len(args) - n
		if i < 1 || slices.Contains(args[1:i], "--") {
			continue
		}
		if e, err := keepalived.ParseNotifyArgs(args[i:]); err == nil && len(e.Args()) == n {
			return slices.Insert(slices.Clone(args), i, "--")
		}
	}
	return args
}

func newApp() *cli.App {
	return &cli.App{
		Name:      "kad-notify",
		Usage:     "do what has to be done when a VRRP instance changes its state",
		ArgsUsage: "KIND NAME STATE [PRIORITY]",
		Description: "As keepalived's notify script: keepalived appends the four arguments, of which KIND is INSTANCE or GROUP. " +
			"The event goes to the journal, then to the hooks of notify.toml, in their order. " +
			"Events of one instance are handled one after the other; one that a newer event has overtaken is dropped.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Value: defaultConfig, Usage: "read hooks from `FILE`"},
			&cli.StringFlag{Name: "keepalived-config", Value: keepalivedConfig,
				Usage: "take VIPs from this `FILE` when no keepalived is running"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would be done"},
		},
		Commands: []*cli.Command{fifoVerb(), syncVerb(), checkVerb(), historyVerb()},
		Action:   script,
	}
}

const keepalivedConfig = "/etc/keepalived/keepalived.conf"

// script handles one event, as keepalived's notify script.
func script(c *cli.Context) error {
	own := ownTicket()
	// keepalived has its scripts signalled when it ends: that is just when STOP has to be done.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGHUP)
	n, configErr := newNotifier(c, "script")
	if c.NArg() == 0 {
		return cli.Usagef("want INSTANCE|GROUP NAME STATE [PRIORITY]")
	}
	event, err := keepalived.ParseNotifyArgs(c.Args().Slice())
	if err != nil {
		if slices.Contains(c.Args().Slice(), string(keepalived.InstanceEvent)) {
			n.settle(c.Context) // it was an event: keepalived can be asked what it has led to
		}
		return cli.Usagef("%w%s", err, nearVerb(c))
	}
	if c.Bool("dry-run") {
		return errors.Join(configErr, n.plan(c.Context, event))
	}
	return errors.Join(configErr, n.handle(c.Context, event, own))
}

// nearVerb is the hint for a verb that is misspelled.
func nearVerb(c *cli.Context) string {
	var verbs []string
	for _, v := range c.App.Commands {
		verbs = append(verbs, v.Name)
	}
	if near := spelling.Nearest(c.Args().First(), verbs...); near != "" {
		return ` (did you mean "` + near + `"?)`
	}
	return ""
}

// newNotifier reads the configuration. When that is bad the notifier is blind: it has no
// hooks, and only withdraws what it remembers to have announced.
func newNotifier(c *cli.Context, mode string) (*notifier, error) {
	load := func() (*config, error) { return loadConfig(c.String("config"), c.IsSet("config")) }
	cfg, err := load()
	if err != nil {
		cfg, err = &config{StateDir: defaultStateDir}, cli.Exit(cli.BadConfig, err)
	}
	return &notifier{
		config: cfg, load: load, blind: err != nil, mode: mode,
		store:  store{cfg.StateDir},
		relays: &relays{configFile: c.String("keepalived-config")},
		stdout: c.App.Writer, stderr: c.App.ErrWriter, name: c.App.Name,
		now: time.Now,
	}, err
}
