package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Exit codes of all tools. The last two are those of sysexits.h, EX_UNAVAILABLE and
// EX_CONFIG.
const (
	OK          = 0  // done, and the verdict is good
	Failure     = 1  // a negative verdict, or the work failed
	Usage       = 2  // the command line is wrong
	Unreachable = 69 // the daemon or peer asked does not answer
	BadConfig   = 78 // a configuration file is wrong
)

type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// Exit gives err the exit code of the process. With a nil err nothing is printed: the tool
// has said what it had to say.
func Exit(code int, err error) error { return &exitError{code, err} }

type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

// Hint adds a line to what is printed of err: one sentence on what to do next.
func Hint(err error, hint string) error { return &hintError{err, hint} }

type usageError struct{ error }

// Usagef returns an error of the command line: exit code Usage, and a line that points to
// --help.
func Usagef(format string, args ...any) error {
	return Exit(Usage, usageError{fmt.Errorf(format, args...)})
}

// report prints err to the error stream of app and returns the exit code.
func report(app *App, err error) int {
	if err == nil {
		return OK
	}
	code := Failure
	if exit, ok := errors.AsType[*exitError](err); ok {
		code = exit.code
	}
	if text := err.Error(); text != "" && !brokenPipe(app, err) {
		for line := range strings.SplitSeq(text, "\n") {
			fmt.Fprintf(app.ErrWriter, "%s: %s\n", app.Name, line)
		}
	}
	if h, ok := errors.AsType[*hintError](err); ok {
		fmt.Fprintf(app.ErrWriter, "%s: hint: %s\n", app.Name, h.hint)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(app.ErrWriter, "Try '%s --help'.\n", app.Name)
	}
	return code
}

// brokenPipe reports that the reader of stdout has gone, as head(1) does: no error to talk
// about. It is seen only where SIGPIPE is ignored; else the signal ends the process.
func brokenPipe(app *App, err error) bool {
	out, ok := app.Writer.(*os.File)
	path, isPath := errors.AsType[*fs.PathError](err)
	return ok && isPath && path.Path == out.Name() && errors.Is(err, syscall.EPIPE)
}
