package convert

import (
	"fmt"
	"slices"
	"strings"

	"kad/pkg/conf"
)

// A Severity says how bad a Diagnostic is.
type Severity int

// The severities. Only an Error makes a conversion fail.
const (
	Note Severity = iota
	Warning
	Error
)

func (s Severity) String() string { return [...]string{"note", "warning", "error"}[s] }

// A Pos is a place in a configuration file. Line and Col count from 1, Col in bytes.
type Pos struct {
	File string
	Line int
	Col  int

	text string // the line
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col) }

// A Diagnostic is one thing to know about a conversion.
type Diagnostic struct {
	Pos      Pos
	Severity Severity
	Message  string
	Hint     string // what to do about it, may be empty
}

// String is the place, the message and the hint, and below them the line with a caret.
func (d Diagnostic) String() string {
	e := conf.Error{
		File: d.Pos.File, Line: d.Pos.Line, Col: d.Pos.Col, Msg: d.Severity.String() + ": " + d.Message, Hint: d.Hint, Text: d.Pos.text,
	}
	if e.Text == "" {
		return e.Error()
	}
	return e.Error() + "\n" + strings.TrimSuffix(e.Snippet(), "\n")
}

// diagnostics collects what is found.
type diagnostics []Diagnostic

func (d *diagnostics) add(s Severity, pos Pos, hint, format string, args ...any) {
	*d = append(*d, Diagnostic{Pos: pos, Severity: s, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (d *diagnostics) errorf(pos Pos, format string, args ...any) {
	d.add(Error, pos, "", format, args...)
}

// failed tells whether there is an error.
func (d diagnostics) failed() bool {
	return slices.ContainsFunc(d, func(x Diagnostic) bool { return x.Severity == Error })
}
