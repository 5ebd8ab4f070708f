package keepalived

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// A confRootFS is the files below a directory, seen as a process whose root it is sees them:
// absolute symbolic links stay inside. "" is our own root. Names start with "/".
type confRootFS string

// Open opens name for reading; it does not wait for the writer of a FIFO.
func (root confRootFS) Open(name string) (fs.File, error) {
	flags := os.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	if root == "" {
		return os.OpenFile(name, flags, 0)
	}
	dir, err := os.Open(string(root))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Openat2(int(dir.Fd()), name, &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// confPath returns name as seen from dir.
func confPath(dir, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(dir, name)
}

// confIsInclude tells "include FILE" and its stricter kinds includer, includem, includew,
// includeb and includea (>= 2.1).
func confIsInclude(line string) bool {
	rest, ok := strings.CutPrefix(line, "include")
	if ok && rest != "" && strings.IndexByte("rmwba", rest[0]) >= 0 {
		rest = rest[1:]
	}
	return ok && rest != "" && strings.IndexByte(confSpace, rest[0]) >= 0
}

// includeLine follows an include line. keepalived's own copy has the files in it.
func (r *confReader) includeLine(line string) {
	if r.consolidated {
		return
	}
	line, _ = r.expand(line)
	kind, pattern := line[len("include")], line[len("include")+1:]
	r.include(strings.Trim(pattern, confSpace), kind, r.pos())
}

// include puts the files that match pattern in front of what is read next. Kind is the
// last letter of the include line: only the strict kinds make an error of a file that is
// not there (m: also for a plain name; w: also for a wildcard; b: for each alternative in
// braces) or that keepalived would not read (all). A file that we may not read always is one.
func (r *confReader) include(pattern string, kind byte, from Pos) {
	dir := "/"
	if len(r.files) > 0 {
		dir = r.dir()
	}
	var names []string
	alternatives, ok := r.braces(pattern)
	if !ok {
		return
	}
	for _, p := range alternatives {
		found, err := confGlob(r.fsys, confPath(dir, p))
		if err != nil {
			r.failFile(from, confPath(dir, p), err)
		}
		strictKinds := "mwa"
		switch {
		case len(alternatives) > 1:
			strictKinds = "ba"
		case confHasWildcard(p):
			strictKinds = "wa"
		}
		if len(found) == 0 && strings.IndexByte(strictKinds, kind) >= 0 {
			r.failFile(from, confPath(dir, p), fs.ErrNotExist)
		}
		names = append(names, found...)
	}
	strict := strings.IndexByte("rmwba", kind) >= 0
	for i := len(names) - 1; i >= 0; i-- {
		r.files = append(r.files, &confFile{name: names[i], dir: path.Dir(names[i]), from: from, strict: strict})
	}
}

// failFile reports a file that cannot be read, at the include line or, for the first, at
// the file itself.
func (r *confReader) failFile(from Pos, name string, err error) {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	if from.Line == 0 {
		r.fail(Pos{File: name}, err, "cannot be read")
	} else {
		r.fail(from, err, "include %s", name)
	}
}

// load reads f's text; a file that cannot be used is taken off the stack.
func (r *confReader) load(f *confFile) bool {
	f.loaded = true
	err := r.readFile(f)
	if err == nil {
		return true
	}
	r.files = r.files[:len(r.files)-1]
	if f.strict || !errors.Is(err, errConfSkipped) && !errors.Is(err, fs.ErrNotExist) {
		r.failFile(f.from, f.name, err)
	}
	return false
}

// errConfSkipped is a file that keepalived does not read.
var errConfSkipped = errors.New("not a regular file without execute permission: keepalived skips it")

func (r *confReader) readFile(f *confFile) error {
	for _, outer := range r.files[:len(r.files)-1] {
		if outer.loaded && outer.name == f.name {
			return errors.New("includes itself")
		}
	}
	file, err := r.fsys.Open(f.name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 != 0 {
		return errConfSkipped
	}
	f.text, err = io.ReadAll(io.LimitReader(file, maxConfigSize+1))
	if err != nil {
		return err
	}
	r.spend(len(f.text) + configFileCost)
	return nil
}

// braces expands {a,b} in pattern, nested ones too, from left to right.
func (r *confReader) braces(pattern string) (patterns []string, ok bool) {
	if !r.spend(len(pattern)) {
		return nil, false
	}
	start := strings.IndexByte(pattern, '{')
	if start < 0 {
		return []string{pattern}, true
	}
	cuts := []int{start}
	end, depth := -1, 0
	for i := start; i < len(pattern) && end < 0; i++ {
		switch c := pattern[i]; {
		case c == '{':
			depth++
		case c == ',' && depth == 1:
			cuts = append(cuts, i)
		case c == '}':
			if depth--; depth == 0 {
				end = i
			}
		}
	}
	if end < 0 {
		return []string{pattern}, true
	}
	for i, cut := range cuts {
		stop := end
		if i+1 < len(cuts) {
			stop = cuts[i+1]
		}
		more, ok := r.braces(pattern[:start] + pattern[cut+1:stop] + pattern[end+1:])
		if !ok {
			return nil, false
		}
		patterns = append(patterns, more...)
	}
	return patterns, true
}

func confHasWildcard(pattern string) bool { return strings.ContainsAny(pattern, "*?[") }

// confGlob returns the files that match pattern, sorted, as glob(7): a leading dot is
// matched only by a dot. A directory that we may not read is an error.
func confGlob(fsys fs.FS, pattern string) ([]string, error) {
	found := []string{"/"}
	for _, part := range strings.Split(strings.Trim(pattern, "/"), "/") {
		var next []string
		for _, dir := range found {
			matches, err := confGlobPart(fsys, dir, part)
			if errors.Is(err, fs.ErrPermission) {
				return nil, err
			}
			next = append(next, matches...)
		}
		found = next
	}
	return found, nil
}

func confGlobPart(fsys fs.FS, dir, part string) ([]string, error) {
	if !confHasWildcard(part) {
		name := path.Join(dir, strings.ReplaceAll(part, `\`, ""))
		if _, err := fs.Stat(fsys, name); err != nil {
			return nil, err
		}
		return []string{name}, nil
	}
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	var matches []string
	for _, e := range entries {
		ok, err := path.Match(strings.ReplaceAll(part, "[!", "[^"), e.Name())
		if err != nil {
			ok = part == e.Name() // an open bracket is a bracket
		}
		if ok && (e.Name()[0] != '.' || part[0] == '.') {
			matches = append(matches, path.Join(dir, e.Name()))
		}
	}
	return matches, nil
}
