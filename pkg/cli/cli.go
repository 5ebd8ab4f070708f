// Package cli is the face that all tools show on the command line, and the one door to
// urfave/cli. A tool describes itself as an urfave App: a tree of verbs, flags and actions.
// Run parses the arguments against that tree by rules of its own, because urfave's parser
// takes flags after an argument for arguments, runs the default action for an unknown verb
// and writes usage errors to stdout; urfave's App.Run is never called.
//
// Every tool gets from here: --color, --help and --version, the verbs help and completion,
// "did you mean", the exit codes below, and the rule that stdout is data and stderr is talk.
//
// Of App are used Name, Usage, UsageText, ArgsUsage, Description, Flags, Commands and Action,
// of Command the same with Subcommands, Aliases and Hidden. An App or Command with an empty
// ArgsUsage takes no arguments. Of flags are used Name, Aliases, Usage, Value, Category, Hidden
// and Required. The first word in backquotes in a flag's Usage names its value.
package cli

import (
	"context"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"
)

// Types of urfave/cli for the description of a tool, see its documentation. The values of a
// StringSliceFlag are taken whole, also with commas in them.
type (
	App     = urfave.App
	Command = urfave.Command
	Context = urfave.Context

	Flag            = urfave.Flag
	BoolFlag        = urfave.BoolFlag
	DurationFlag    = urfave.DurationFlag
	IntFlag         = urfave.IntFlag
	StringFlag      = urfave.StringFlag
	StringSliceFlag = urfave.StringSliceFlag
	GenericFlag     = urfave.GenericFlag
)

// Run parses args, the first of which is the program's own name, runs the action they name
// and returns the exit code of the process: OK, the code given to Exit, or Failure for any
// other error, which is printed as one line a line of its text. The action finds the streams
// in App.Reader, App.Writer and App.ErrWriter of its Context. Run does not exit by itself and
// does not recover a panic.
func Run(ctx context.Context, app *App, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app.Reader, app.Writer, app.ErrWriter = stdin, stdout, stderr
	return report(app, run(ctx, app, args[min(1, len(args)):]))
}

func run(ctx context.Context, app *App, args []string) error {
	p, err := parse(ctx, app, args)
	if err != nil {
		return err
	}
	switch c := p.ctx; {
	case c.Bool("help"):
		return write(app, help(p.path))
	case c.Bool("version"):
		return write(app, app.Name+" "+Version()+"\n")
	default:
		if err := p.check(); err != nil {
			return err
		}
		return c.Command.Action(c)
	}
}

func write(app *App, text string) error {
	_, err := io.WriteString(app.Writer, text)
	return err
}

// root returns app as the root of the tree of verbs, with what is common to all tools.
func root(app *App) *Command {
	r := &Command{
		Name:        app.Name,
		Usage:       app.Usage,
		UsageText:   app.UsageText,
		ArgsUsage:   app.ArgsUsage,
		Description: app.Description,
		Action:      app.Action,
		Flags:       append(slices.Clip(app.Flags), colorFlag(), helpFlag, versionFlag),
	}
	r.Subcommands = append(slices.Clip(app.Commands), completionVerb(r), helpVerb(r))
	return r
}

// version is set by the linker: -X kad/pkg/cli.version=1.2.3
var version = "devel"

// Version is that of the tool, and the commit when the Go tool has recorded it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	commit, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	if commit == "" || strings.Contains(version, commit[:7]) {
		return version
	}
	return version + " (" + commit + modified + ")"
}
