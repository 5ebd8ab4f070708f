package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"kad/forwarder/internal/config"
	"kad/pkg/cli"
	"kad/pkg/conf"
)

var checkFlags = []cli.Flag{
	configFlag, cli.OutputFlag("text", "json"),
	&cli.BoolFlag{Name: "print-effective", Usage: "print the configuration as it is used, with the defaults of what it leaves out"},
	&cli.BoolFlag{Name: "no-environment", Usage: "leave out this host: certificates' dates, directories, disk buffers, addresses that two sources have"},
}

// findings are what check tells.
type findings struct {
	Schema   int       `json:"schema"` // 1
	Errors   []finding `json:"errors"`
	Warnings []finding `json:"warnings"`
}

// A finding is one of them.
type finding struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`   // from 1
	Column  int    `json:"column,omitempty"` // from 1, in bytes
	Path    string `json:"path,omitempty"`   // of the key
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`

	err     error
	snippet string
}

func (f *findings) addError(err error)       { f.Errors = append(f.Errors, newFinding(err)) }
func (f *findings) addWarning(w *conf.Error) { f.Warnings = append(f.Warnings, newFinding(w)) }

func newFinding(err error) finding {
	e, ok := errors.AsType[*conf.Error](err)
	if !ok {
		return finding{Message: err.Error(), err: err}
	}
	return finding{File: e.File, Line: e.Line, Column: e.Col, Path: e.Path, Message: e.Msg, Hint: e.Hint, err: err, snippet: e.Snippet()}
}

// check prints each error and each warning with its line and a caret. Only errors make it fail.
func check(c *cli.Context) error {
	if c.Bool("print-effective") && c.String("output") != "text" {
		return cli.Usagef("--print-effective prints TOML, it does not go with --output %s", c.String("output"))
	}
	found := findings{Schema: 1, Errors: []finding{}, Warnings: []finding{}}
	got, err := load(c)
	joined, several := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	switch {
	case err == nil:
		found.examine(got, !c.Bool("no-environment"))
	case several:
		for _, e := range joined.Unwrap() {
			found.addError(e)
		}
	case c.String("output") == "text":
		return err
	default:
		found.addError(err)
	}
	if err := found.print(c); err != nil {
		return err
	}
	if len(found.Errors) > 0 {
		return cli.Exit(cli.BadConfig, nil)
	}
	if c.Bool("print-effective") {
		_, err = fmt.Fprint(c.App.Writer, got.Effective())
	}
	return err
}

// examine looks at a configuration that is right in itself.
func (f *findings) examine(cfg *config.Config, environment bool) {
	for _, w := range cfg.Warnings {
		f.addWarning(w)
	}
	if !environment {
		return
	}
	errs, warnings := cfg.CheckEnvironment()
	for _, e := range errs {
		f.addError(e)
	}
	for _, w := range warnings {
		f.addWarning(w)
	}
}

func (f *findings) print(c *cli.Context) error {
	if c.String("output") == "json" {
		return json.NewEncoder(c.App.Writer).Encode(f)
	}
	for _, e := range f.Errors {
		fmt.Fprintf(c.App.ErrWriter, "%v\n%s", e.err, e.snippet)
	}
	for _, w := range f.Warnings {
		fmt.Fprintf(c.App.ErrWriter, "warning: %v\n%s", w.err, w.snippet)
	}
	return nil
}

func printSchema(c *cli.Context) error {
	schema, err := config.Schema()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s\n", schema)
	return err
}
