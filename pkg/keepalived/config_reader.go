package keepalived

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

const (
	// maxConfigSize bounds what a configuration may grow to: the bytes of its files and of
	// every line made from variables and sequences. A real one has some 100 KiB.
	maxConfigSize = 16 << 20
	// maxConfigLine is keepalived's line buffer (lib/parser.h, MAXBUF). Longer lines are cut
	// in pieces, and a variable is not expanded when the line would not fit any more.
	maxConfigLine = 1024
	// maxConfigErrors is how many errors are collected before reading ends.
	maxConfigErrors = 100
	// What a line and a file count for, besides their bytes, so that many empty ones end too.
	configLineCost = 32
	configFileCost = 4096
)

// A confReader turns the text of a configuration into the lines that keepalived's
// keywords see: comments gone, includes read, @id lines chosen, variables and sequences
// expanded, and each brace outside quotes on a line of its own (lib/parser.c, read_line).
type confReader struct {
	fsys         fs.FS
	opt          ConfigOptions
	consolidated bool // the text is keepalived's own copy: includes are in it

	files   []*confFile             // being read or waiting, the innermost last
	pending []func() (string, bool) // give the lines that come before the file's next one, the last first
	defs    map[string]*confDef
	open    *confDef // the multi-line definition being read

	hostIDs []string // of all @id and @^id lines, in order
	size    int      // against maxConfigSize
	errs    []error
	stopped bool // an error after which nothing can be read
}

// A confFile is a file being read, or waiting until those before it are.
type confFile struct {
	name    string
	dir     string // "/"-rooted directory of relative includes and of ${_PWD}
	text    []byte // the rest
	line    int
	partial bool // the last line read goes on

	from   Pos // the include line
	strict bool
	loaded bool
}

func newConfReader(fsys fs.FS, opt ConfigOptions) *confReader {
	if opt.HostID == "" {
		host, _ := os.Hostname()
		opt.HostID, _, _ = strings.Cut(host, ".")
	}
	if opt.Env == nil {
		opt.Env = os.Getenv
	}
	return &confReader{fsys: fsys, opt: opt, defs: standardDefs(opt)}
}

// next returns the next line that is not empty.
func (r *confReader) next() (string, bool) {
	for {
		line, ok := r.pull()
		if !ok {
			return "", false
		}
		if r.open != nil {
			r.continueDefinition(line)
			continue
		}
		line = r.resolve(line)
		if confIsInclude(line) {
			r.includeLine(line)
			continue
		}
		if line = r.splitBrace(line); line != "" {
			return line, true
		}
	}
}

// pos is the place of the line that next returned; for a line out of a variable or a
// sequence, the place that used it.
func (r *confReader) pos() Pos {
	for i := len(r.files) - 1; i >= 0; i-- {
		if f := r.files[i]; f.line > 0 {
			return Pos{f.name, f.line}
		}
	}
	return Pos{}
}

func (r *confReader) fail(p Pos, err error, format string, args ...any) {
	r.errs = append(r.errs, &ConfigError{p, fmt.Sprintf(format, args...), err})
	if len(r.errs) == maxConfigErrors {
		r.stopped = true
	}
}

// spend counts n bytes against maxConfigSize; false means that it is reached.
func (r *confReader) spend(n int) bool {
	if r.size += n; r.size > maxConfigSize && !r.stopped {
		r.fail(r.pos(), nil, "the configuration, its variables and sequences expanded, is larger than %d MiB", maxConfigSize>>20)
		r.stopped = true
	}
	return !r.stopped
}

func (r *confReader) pull() (string, bool) {
	for len(r.pending) > 0 && !r.stopped {
		if line, ok := r.pending[len(r.pending)-1](); ok {
			return line, r.spend(len(line) + configLineCost)
		}
		r.pending = r.pending[:len(r.pending)-1]
	}
	return r.fileLine()
}

func (r *confReader) push(lines ...string) {
	r.pending = append(r.pending, func() (string, bool) {
		if len(lines) == 0 {
			return "", false
		}
		line := lines[0]
		lines = lines[1:]
		return line, true
	})
}

// fileLine returns the next line of the innermost file that is not empty, and follows
// include lines. keepalived looks for those before it looks at anything else in a line.
func (r *confReader) fileLine() (string, bool) {
	for len(r.files) > 0 && !r.stopped {
		f := r.files[len(r.files)-1]
		if !f.loaded && !r.consolidated && !r.load(f) {
			continue
		}
		line, ok := f.readLine()
		if !ok {
			r.files = r.files[:len(r.files)-1]
			continue
		}
		if r.consolidated && r.marker(f, line) {
			continue
		}
		f.count(line)
		if !r.spend(len(line) + configLineCost) {
			break
		}
		line, _, _ = strings.Cut(line, "\x00") // where a C string ends
		line = confDecomment(strings.TrimRight(line, "\r\n"))
		if !r.consolidated {
			if confIsInclude(line) {
				r.endDefinition()
				r.includeLine(line)
				continue
			}
			// keepalived (>= 2.2) does it once when it copies the file and again when it reads the copy.
			line = confDecomment(line)
		}
		if line == "" {
			r.endDefinition()
			continue
		}
		return line, true
	}
	return "", false
}

// readLine takes a line off f's text, with its line end; of one that is too long a piece.
func (f *confFile) readLine() (string, bool) {
	if len(f.text) == 0 {
		return "", false
	}
	n := min(len(f.text), maxConfigLine-1)
	if i := bytes.IndexByte(f.text[:n], '\n'); i >= 0 {
		n = i + 1
	}
	line := string(f.text[:n])
	f.text = f.text[n:]
	return line, true
}

func (f *confFile) count(line string) {
	if !f.partial {
		f.line++
	}
	f.partial = !strings.HasSuffix(line, "\n")
}

// marker follows the lines by which keepalived's copy tells where a file begins and ends.
func (r *confReader) marker(f *confFile, line string) bool {
	name, isFile := strings.CutPrefix(line, "# ")
	switch {
	case isFile:
		name = confPath(f.dir, strings.TrimSuffix(name, "\n"))
		r.files = append(r.files, &confFile{name: name, dir: path.Dir(name), text: f.text})
	case line == "!\n":
		if len(r.files) > 1 {
			r.files = r.files[:len(r.files)-1]
			r.files[len(r.files)-1].text = f.text
		}
	default:
		return strings.HasPrefix(line, "#!") // an include that failed
	}
	return true
}

// resolve applies what a line starts with (@id, a definition, a sequence) and expands its
// variables. What does not apply or is used up gives "".
func (r *confReader) resolve(line string) string {
	for line != "" {
		if line[0] == '@' {
			if line = r.hostLine(line); line == "" {
				return ""
			}
		}
		if r.define(line) || r.repeat(line) {
			return ""
		}
		if line[0] == '~' || !strings.Contains(line, "$") {
			return line
		}
		expanded, changed := r.expand(line)
		if !changed {
			return expanded
		}
		line = confDecomment(expanded)
		if line == "" || line[0] != '@' && !strings.Contains(line, "$") {
			return line
		}
	}
	return ""
}

// hostLine returns the rest of an "@id ..." or "@^id ..." line that is meant for this host.
func (r *confReader) hostLine(line string) string {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return ""
	}
	id, others := strings.CutPrefix(line[1:i], "^")
	r.hostIDs = append(r.hostIDs, id)
	if (id == r.opt.HostID) == others {
		return ""
	}
	return strings.TrimLeft(line[i:], " \t")
}

// splitBrace cuts line at its first brace outside double quotes and keeps the rest for later.
func (r *confReader) splitBrace(line string) string {
	i := confBraceIndex(line)
	if i < 0 {
		return strings.TrimRight(line, " \t")
	}
	if i == 0 {
		i = 1
	}
	if rest := strings.Trim(line[i:], " \t"); rest != "" {
		r.push(rest)
	}
	return strings.TrimRight(line[:i], " \t")
}

func confBraceIndex(line string) int {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '{', '}':
			return i
		case '"':
			end := strings.IndexByte(line[i+1:], '"')
			if end < 0 {
				return -1
			}
			i += 1 + end
		}
	}
	return -1
}

// confDecomment removes the blanks around a line and its comment, from a # or ! outside
// double quotes on. A backslash takes the meaning from the next character, and keeps a #
// or ! in the line; at the end it is kept, without blanks before it.
func confDecomment(line string) string {
	line = strings.TrimLeft(line, " \t")
	var out []byte
	var quoted, comment, continued bool
	for i := 0; i < len(line); i++ {
		start := i
		switch c := line[i]; {
		case c == '\\' && i+1 == len(line):
			continued = true
			continue
		case c == '\\':
			i++
			if !quoted && (line[i] == '#' || line[i] == '!') {
				start = i
			}
		case c == '"' && !comment:
			quoted = !quoted
		case (c == '#' || c == '!') && !quoted:
			comment = true
		}
		if !comment {
			out = append(out, line[start:i+1]...)
		}
	}
	text := strings.TrimRight(string(out), " \t")
	if continued {
		text += `\`
	}
	return text
}
