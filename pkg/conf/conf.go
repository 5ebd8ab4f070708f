// Package conf reads a TOML file into a struct and places every error: file, line,
// column and key. Decoding is BurntSushi/toml's, which knows positions of syntax errors
// only; those of keys and values come from the syntax tree of pelletier/go-toml.
package conf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// MaxSize is the largest file that is read.
const MaxSize = 16 << 20

// A File is a TOML file that was decoded, and collects what is wrong with it.
//
// A path names a place in it: keys joined by dots as Key makes them, and the index of an
// array's element in brackets, from 0: "hook.units.state[1]".
type File struct {
	Name   string
	data   []byte
	places map[string]int // path -> offset
	paths  []string       // in the file's order
	errs   []*Error
}

// An Error is one thing that is wrong at one place.
type Error struct {
	File string
	Line int    // from 1; 0: the file as a whole
	Col  int    // from 1, in bytes
	Path string // "" for a syntax error
	Msg  string // what was found, and what would be right
	Hint string // what to do, "" when Msg says it all
	Text string // the line
}

// Error is one line: "file:line:col: path: msg (hint)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Snippet is the line of the error with a caret below its column, each indented and
// ended by a newline; "" when there is no line.
func (e *Error) Snippet() string {
	if e.Line == 0 {
		return ""
	}
	before := e.Text[:min(e.Col-1, len(e.Text))]
	blank := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, before)
	return "    " + e.Text + "\n    " + blank + "^\n"
}

// Load reads and decodes the file of that name into v, a pointer to a struct with toml
// tags. The error is that of File.Err, or that the file cannot be read.
func Load(name string, v any) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	return Decode(name, data, v)
}

// Decode decodes data, the content of the file name, into v. The File is never nil: with
// a nil error it may be used to report what else is wrong.
func Decode(name string, data []byte, v any) (*File, error) {
	f := &File{Name: name, data: data, places: map[string]int{}}
	if len(data) > MaxSize {
		f.errs = append(f.errs, &Error{File: name, Msg: fmt.Sprintf("larger than %d MiB", MaxSize>>20)})
		return f, f.Err()
	}
	f.index()
	meta, err := toml.Decode(string(data), v)
	if err != nil {
		f.decodeError(err)
		return f, f.Err()
	}
	for _, key := range meta.Keys() {
		f.notTable(meta, key, reflect.TypeOf(v))
	}
	for _, key := range meta.Undecoded() {
		f.unknown(key, reflect.TypeOf(v))
	}
	return f, f.Err()
}

// Key quotes a key for a path, as TOML would, when it is not a bare one.
func Key(name string) string { return toml.Key{name}.String() }

// Has reports whether the file has a value or table at path.
func (f *File) Has(path string) bool {
	_, ok := f.places[path]
	return ok
}

// Paths lists every table, key and array element in the file's order.
func (f *File) Paths() []string { return f.paths }

// Errorf reports what is wrong at path.
func (f *File) Errorf(path, format string, args ...any) { f.Hintf(path, "", format, args...) }

// Hintf is Errorf with a hint: what to do.
func (f *File) Hintf(path, hint, format string, args ...any) {
	e := f.place(f.offset(path))
	e.Path, e.Msg, e.Hint = path, fmt.Sprintf(format, args...), hint
	f.errs = append(f.errs, e)
}

// Errors returns all that was reported, in the file's order.
func (f *File) Errors() []*Error {
	slices.SortStableFunc(f.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return f.errs
}

// Err joins Errors, nil when nothing was reported.
func (f *File) Err() error {
	var errs []error
	for _, e := range f.Errors() {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// offset is where path stands, or the nearest thing around it that does; -1: nowhere.
func (f *File) offset(path string) int {
	for path != "" {
		if o, ok := f.places[path]; ok {
			return o
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return -1
}

func (f *File) place(offset int) *Error {
	e := &Error{File: f.Name}
	if offset < 0 || offset > len(f.data) {
		return e
	}
	start := bytes.LastIndexByte(f.data[:offset], '\n') + 1
	line, _, _ := bytes.Cut(f.data[start:], []byte("\n"))
	e.Line = 1 + bytes.Count(f.data[:offset], []byte("\n"))
	e.Col = offset - start + 1
	e.Text = strings.TrimSuffix(string(line), "\r")
	return e
}

// decodeError places an error of BurntSushi/toml: of syntax or of a value that its type
// refuses it tells the position, of a value of the wrong type only key and line, as
// `toml: line 3 (last key "t.port"): ...`.
func (f *File) decodeError(err error) {
	if parse, ok := errors.AsType[toml.ParseError](err); ok {
		e := f.place(parse.Position.Start)
		e.Path, e.Msg = parse.LastKey, parse.Message
		f.errs = append(f.errs, e)
		return
	}
	msg := strings.TrimPrefix(err.Error(), "toml: ")
	before, after, ok := strings.Cut(msg, `(last key "`)
	path, text, ok2 := strings.Cut(after, `"): `)
	if !ok || !ok2 {
		f.errs = append(f.errs, &Error{File: f.Name, Msg: msg})
		return
	}
	e := f.place(f.offset(path))
	if e.Line == 0 {
		e.Line, _ = strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(before, "line ")))
		e.Col = 1
	}
	e.Path, e.Msg = path, mismatch(text)
	f.errs = append(f.errs, e)
}

// mismatch puts the library's two complaints about types into the words of TOML.
func mismatch(msg string) string {
	if found, want, ok := strings.Cut(strings.TrimPrefix(msg, "incompatible types: TOML value has type "), "; destination has type "); ok {
		return "found " + article(found) + ", want " + article(want)
	}
	if _, found, ok := strings.Cut(msg, ": expected table but found "); ok && strings.HasPrefix(msg, "type mismatch") {
		return "found " + article(found) + ", want a table"
	}
	return msg
}

func article(kind string) string {
	switch {
	case kind == "string", kind == "float", kind == "datetime":
		return "a " + kind
	case kind == "float64":
		return "a float"
	case kind == "bool", kind == "boolean":
		return "a boolean"
	case strings.HasPrefix(kind, "[]"), kind == "slice", kind == "array":
		return "an array"
	case strings.HasPrefix(kind, "map["), kind == "map", kind == "struct":
		return "a table"
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number"
	case kind == "time.Time":
		return "a date and time"
	}
	return kind
}
