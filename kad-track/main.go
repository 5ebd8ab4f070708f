// Kad-track tells keepalived whether this host can take logs: as a track_script by its exit
// code, or as a daemon that writes a track_file.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"kad/pkg/cli"
)

func main() {
	syscall.Umask(0o022) // keepalived leaves 0177 to its scripts, which no directory can be used with
	os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run returns the exit code: 0 when all checks pass, else 1, also for a wrong command line.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if cli.Run(ctx, newApp(), byName(args), stdin, stdout, stderr) != cli.OK {
		return cli.Failure
	}
	return cli.OK
}

// byName asks for the profile of the name that kad-track is called by, if it is another one.
func byName(args []string) []string {
	name := filepath.Base(args[0])
	if name == "kad-track" {
		return args
	}
	return append([]string{"kad-track", "--profile=" + name}, args[1:]...)
}

// newApp returns the tool with its flags and verbs.
func newApp() *cli.App { return newAppWith(track) }

// options are the flags that are no checks. They are a variable, as the verbs' flags and the
// kinds are, so that they need not be made at each start.
var options = []cli.Flag{
	&cli.DurationFlag{Name: "timeout", Value: 900 * time.Millisecond, Usage: "fail what has not passed after this `TIME`"},
	&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "do not say what fails"},
	&cli.BoolFlag{Name: "explain", Usage: "print every check with its time"},
	&cli.StringFlag{Name: "profile", Usage: "take checks and timeout from the profile `NAME` first; a link called NAME to kad-track does the same"},
	&cli.StringFlag{Name: "config", Value: profilesFile, Usage: "look for profiles in `FILE`"},
	&cli.StringFlag{Name: "state-dir", Value: "/run/kad", Usage: "remember dropped messages in `DIR`"},
}

// newAppWith is newApp with another thing to do with the checks.
func newAppWith(do func(*cli.Context) error) *cli.App {
	flags := make([]cli.Flag, 0, len(options)+1+len(kinds))
	flags = append(append(flags, options...), cli.OutputFlag("table", "json"))
	for i := range kinds {
		if k := &kinds[i]; k.optional {
			flags = append(flags, &cli.OptionalFlag{GenericFlag: k.flag})
		} else {
			flags = append(flags, &k.flag)
		}
	}
	return &cli.App{
		Name:  "kad-track",
		Usage: "tell keepalived whether this host can take logs",
		Description: "All checks run side by side, and all must pass; without any, --syslog-ng is meant. " +
			"The exit code is 0 when they do, else 1, and the first that fails is named.",
		Flags:    flags,
		Commands: []*cli.Command{watchVerb(), checkVerb()},
		Action:   do,
	}
}

// job is what the command line and the profile ask for.
type job struct {
	list    checklist // the profile's before those of the command line
	checks  []check   // the same, ready
	timeout time.Duration
}

func prepare(c *cli.Context) (job, error) {
	list := given(c)
	timeout := c.Duration("timeout")
	if timeout <= 0 {
		return job{}, cli.Usagef("--timeout %v: want more than 0", timeout)
	}
	if name := c.String("profile"); name != "" {
		p, err := loadProfile(c.String("config"), name)
		if err != nil {
			return job{}, err
		}
		list = append(p.checks, list...)
		if p.timeout > 0 && !c.IsSet("timeout") {
			timeout = p.timeout
		}
	}
	checks, err := list.build(c.String("state-dir"))
	if err != nil {
		return job{}, cli.Usagef("%w", err)
	}
	return job{list, checks, timeout}, nil
}

// track runs the checks once.
func track(c *cli.Context) error {
	j, err := prepare(c)
	if err == nil && c.Bool("explain") {
		return explain(c, j)
	}
	if err == nil {
		err = verdict(c.Context, j.checks, j.timeout)
	}
	if err != nil && c.Bool("quiet") {
		return cli.Exit(cli.Failure, nil)
	}
	return err
}

// explain prints every check: its time, whether it passes, its name, and why not.
func explain(c *cli.Context, j job) error {
	report := report{Schema: 1, Pass: true}
	for r := range results(c.Context, j.checks, j.timeout) {
		line := checkReport{Check: r.name, Pass: r.err == nil, Milliseconds: float64(r.took.Microseconds()) / 1000}
		if r.err != nil {
			line.Error = r.err.Error()
			report.Pass = false
		}
		report.Checks = append(report.Checks, line)
	}
	write := report.table
	if c.String("output") == "json" {
		write = report.json
	}
	if err := write(c.App.Writer); err != nil {
		return err
	}
	if !report.Pass {
		return cli.Exit(cli.Failure, nil)
	}
	return nil
}

// report is what --explain prints, and the schema of its JSON.
type report struct {
	Schema int           `json:"schema"` // 1
	Pass   bool          `json:"pass"`   // all checks do
	Checks []checkReport `json:"checks"` // in their order
}

type checkReport struct {
	Check        string  `json:"check"` // as on the command line
	Pass         bool    `json:"pass"`
	Error        string  `json:"error,omitempty"`
	Milliseconds float64 `json:"milliseconds"`
}

func (r report) json(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

func (r report) table(w io.Writer) error {
	for _, c := range r.Checks {
		word, why := "pass", ""
		if !c.Pass {
			word, why = "FAIL", ": "+c.Error
		}
		if _, err := fmt.Fprintf(w, "%8.1f ms  %s  %s%s\n", c.Milliseconds, word, c.Check, why); err != nil {
			return err
		}
	}
	return nil
}
