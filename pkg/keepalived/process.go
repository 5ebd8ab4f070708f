package keepalived

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The reasons for which a keepalived cannot be found or asked, for errors.Is. The errors
// themselves say more, in one line.
var (
	ErrNotRunning = errors.New("no keepalived is running")
	ErrNoVRRP     = errors.New("keepalived runs no VRRP") // only checkers or BFD
	ErrPermission = errors.New("no permission")
	ErrNoAnswer   = errors.New("no answer in time")
	ErrGone       = errors.New("the process has ended") // Find again: it may have been restarted
	ErrBadDump    = errors.New("bad dump")              // cut, not keepalived's, or of another keepalived
)

// reasonError is an error text with its reason, and the cause if that is of use.
type reasonError struct {
	reason, cause error
	text          string
}

func (e *reasonError) Error() string   { return e.text }
func (e *reasonError) Unwrap() []error { return []error{e.reason, e.cause} }

// because returns an error of that reason; a %w in format is the cause.
func because(reason error, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &reasonError{reason, errors.Unwrap(err), err.Error()}
}

// Process is a running keepalived: a parent, and children of which one runs VRRP.
// It describes what Find saw and is not for concurrent use.
type Process struct {
	PID      int   // of the parent
	VRRP     int   // the child that runs VRRP; 0 when there is none, or when we may not know
	Children []int // the parent's keepalived children, ascending: VRRP, checker, BFD; no scripts

	Name         string // "instance" of the configuration, "" for most
	NetNamespace string // -s, else net_namespace; "" when keepalived stays where it was started
	HostID       string // -i, else its node name up to the first dot: decides @id lines
	ConfigFile   string // -f, as a path below Root

	proc    procFS
	options map[string]string // of its command line, by their short letter
	start   string            // start time of VRRP, which makes it unique beyond its pid
	loaded  string            // path of the configuration as loaded, an fd; "" before 2.2.0
	denied  error             // why VRRP could not be told from the other children
	cache   configCache
	known   bool // Name and NetNamespace are what it has loaded
}

// FindOptions tells Find where to look. The zero value is this host.
type FindOptions struct {
	PIDFile string // of the parent; "" looks for all in the usual places
	Proc    string // "" for /proc
	Run     string // where pid files are, "" for /run
}

// Find returns every keepalived of this host that we may see, ordered by pid: by
// opt.PIDFile if given; else by the pid files in /run (keepalived.pid, and in
// /run/keepalived those of instances and network namespaces); else, when no pid file
// names a live one, by looking at all processes. That last way skips a keepalived in
// another network namespace, unless it went there itself (net_namespace) or is in a
// container: it belongs to another host that shares our /proc, as in a lab.
func Find(opt FindOptions) ([]*Process, error) {
	proc := procFS(cmp.Or(opt.Proc, "/proc"))
	if opt.PIDFile != "" {
		p, err := proc.byPIDFile(opt.PIDFile)
		if err != nil {
			return nil, err
		}
		return []*Process{p}, nil
	}
	run := cmp.Or(opt.Run, "/run")
	found := proc.byPIDFiles(run)
	if len(found) == 0 {
		var err error
		if found, err = proc.scan(); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, because(ErrNotRunning, "no keepalived is running: no pid file of a live one in %s, none among the processes", run)
	}
	return found, nil
}

// PIDs returns the parent, then its keepalived children ascending.
func (p *Process) PIDs() []int { return append([]int{p.PID}, p.Children...) }

// NetNS returns the path of the network namespace that holds the VIPs.
func (p *Process) NetNS() string { return p.proc.path(cmp.Or(p.VRRP, p.PID), "ns/net") }

// Root returns the directory that is "/" for keepalived: other than ours in a container,
// or with PrivateTmp.
func (p *Process) Root() string { return p.proc.path(cmp.Or(p.VRRP, p.PID), "root") }

// procFS is the path of a proc(5) file system.
type procFS string

func (proc procFS) path(pid int, name string) string {
	return filepath.Join(string(proc), strconv.Itoa(pid), name)
}

// procStat is what proc_pid_stat(5) says of a process.
type procStat struct {
	state  byte // R, S, D, Z, T, ...
	parent int
	start  string // clock ticks after boot
}

func (proc procFS) stat(pid int) (procStat, error) {
	data, err := os.ReadFile(proc.path(pid, "stat"))
	if err != nil {
		return procStat{}, err
	}
	_, rest, _ := cutLast(string(data), ") ") // the name before it may hold anything
	f := strings.Fields(rest)
	if len(f) < 20 {
		return procStat{}, fmt.Errorf("%s: %q is not what proc(5) says", proc.path(pid, "stat"), data)
	}
	parent, err := strconv.Atoi(f[1])
	return procStat{state: f[0][0], parent: parent, start: f[19]}, err
}

// status returns the last word of a field of proc_pid_status(5): of Uid the file system
// uid, of NSpid the pid in the process's own namespace.
func (proc procFS) status(pid int, field string) string {
	data, err := os.ReadFile(proc.path(pid, "status"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == field+":" {
			return f[len(f)-1]
		}
	}
	return ""
}

// isKeepalived goes by the program, since process_name may set any name, and by the name
// only where we may not see the program.
func (proc procFS) isKeepalived(pid int) bool {
	exe, err := os.Readlink(proc.path(pid, "exe"))
	if errors.Is(err, fs.ErrPermission) {
		name, _ := os.ReadFile(proc.path(pid, "comm"))
		return string(name) == "keepalived\n" || strings.HasPrefix(string(name), "keepalived_") // process_names
	}
	return err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == "keepalived"
}

// pids returns all processes.
func (proc procFS) pids() ([]int, error) {
	dir, err := os.Open(string(proc))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// children returns the keepalived processes that pid has forked, ascending.
func (proc procFS) children(pid int) ([]int, error) {
	lists, _ := filepath.Glob(proc.path(pid, "task/*/children"))
	if len(lists) == 0 { // a kernel without CONFIG_PROC_CHILDREN
		return proc.childrenByScan(pid)
	}
	var children []int
	for _, list := range lists {
		data, err := os.ReadFile(list)
		if err != nil {
			return nil, err
		}
		for _, f := range strings.Fields(string(data)) {
			if child, err := strconv.Atoi(f); err == nil && proc.isKeepalived(child) {
				children = append(children, child)
			}
		}
	}
	slices.Sort(children)
	return children, nil
}

func (proc procFS) childrenByScan(pid int) ([]int, error) {
	pids, err := proc.pids()
	if err != nil {
		return nil, err
	}
	children := slices.DeleteFunc(pids, func(child int) bool {
		s, err := proc.stat(child)
		return err != nil || s.parent != pid || !proc.isKeepalived(child)
	})
	slices.Sort(children)
	return children, nil
}

// top returns the first process of the keepalived that pid belongs to.
func (proc procFS) top(pid int) (int, error) {
	for {
		s, err := proc.stat(pid)
		if err != nil {
			return 0, err
		}
		if !proc.isKeepalived(s.parent) {
			return pid, nil
		}
		pid = s.parent
	}
}

func (proc procFS) byPIDFile(path string) (*Process, error) {
	pid, err := readPIDFile(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, because(ErrPermission, "pid file %w", err)
	case err != nil:
		return nil, because(ErrNotRunning, "pid file %w", err)
	case !proc.isKeepalived(pid):
		return nil, because(ErrNotRunning, "pid file %s: process %d is not a keepalived", path, pid)
	}
	if pid, err = proc.top(pid); err != nil {
		return nil, because(ErrGone, "pid file %s: keepalived %d has just ended", path, pid)
	}
	return proc.process(pid)
}

func readPIDFile(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		errors.As(err, &pe)
		return 0, fmt.Errorf("%s: %w", path, pe.Err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%s: %.20q is not a process id", path, data)
	}
	return pid, nil
}

// byPIDFiles returns the live keepalived of keepalived's usual pid files, core/main.c.
func (proc procFS) byPIDFiles(run string) []*Process {
	var files []string
	for _, name := range []string{"keepalived.pid", "keepalived/keepalived*.pid", "keepalived/*/keepalived*.pid"} {
		match, _ := filepath.Glob(filepath.Join(run, name))
		files = append(files, match...)
	}
	var found []*Process
	for _, file := range files {
		p, err := proc.byPIDFile(file)
		if err == nil && !slices.ContainsFunc(found, func(q *Process) bool { return q.PID == p.PID }) {
			found = append(found, p)
		}
	}
	sortByPID(found)
	return found
}

func sortByPID(ps []*Process) {
	slices.SortFunc(ps, func(a, b *Process) int { return cmp.Compare(a.PID, b.PID) })
}

// scan returns the keepalived among all processes that belong to this host.
func (proc procFS) scan() ([]*Process, error) {
	pids, err := proc.pids()
	if err != nil {
		return nil, err
	}
	var found []*Process
	for _, pid := range pids {
		if !proc.isKeepalived(pid) {
			continue
		}
		s, err := proc.stat(pid)
		if err != nil || proc.isKeepalived(s.parent) {
			continue
		}
		if p, err := proc.process(pid); err == nil && p.ofThisHost() {
			found = append(found, p)
		}
	}
	sortByPID(found)
	return found, nil
}

func (p *Process) ofThisHost() bool {
	ours := func(kind string) bool {
		own, err := os.Readlink(filepath.Join(string(p.proc), "self/ns", kind))
		its, err2 := os.Readlink(p.proc.path(p.PID, "ns/"+kind))
		return own == its || err != nil || err2 != nil
	}
	return ours("net") || !ours("pid") || p.NetNamespace != ""
}

// process looks at the keepalived whose parent is pid.
func (proc procFS) process(pid int) (*Process, error) {
	p := &Process{PID: pid, proc: proc}
	var err error
	if p.Children, err = proc.children(pid); err != nil {
		return nil, because(ErrGone, "keepalived %d has just ended", pid)
	}
	p.readCommandLine()
	p.findVRRP()
	if c, source, err := p.Config(); err == nil {
		p.Name = c.InstanceName
		p.NetNamespace = cmp.Or(p.NetNamespace, c.NetNamespace)
		p.known = source.Loaded
	}
	return p, nil
}

// findVRRP finds the child that runs VRRP: it has raw sockets of protocol 112, or, when
// all its instances are in FAULT and have none, it is named by the pid file.
func (p *Process) findVRRP() {
	for _, child := range p.Children {
		files, err := p.proc.openFiles(child)
		if err != nil {
			p.denied = err
			continue
		}
		p.loaded = cmp.Or(files.config, p.loaded)
		if p.VRRP == 0 && files.hasSocket(p.proc.vrrpSockets(child)) {
			p.setVRRP(child)
		}
	}
	if p.VRRP == 0 {
		p.findVRRPByPIDFile()
	}
}

func (p *Process) setVRRP(child int) {
	if s, err := p.proc.stat(child); err == nil && s.parent == p.PID {
		p.VRRP, p.start, p.denied = child, s.start, nil
	}
}

func (p *Process) findVRRPByPIDFile() {
	root := p.proc.path(p.PID, "root")
	files := []string{filepath.Join(root, p.options["r"])}
	if p.options["r"] == "" {
		files = nil
		for _, name := range []string{"vrrp.pid", "keepalived/vrrp*.pid", "keepalived/*/vrrp*.pid"} {
			match, _ := filepath.Glob(filepath.Join(root, "run", name))
			files = append(files, match...)
		}
	}
	for _, file := range files {
		pid, err := readPIDFile(file)
		for _, child := range p.Children {
			if err == nil && p.proc.status(child, "NSpid") == strconv.Itoa(pid) {
				p.setVRRP(child)
				return
			}
		}
	}
}

// processFiles is what the open files of a process tell.
type processFiles struct {
	sockets map[string]bool // inodes
	config  string          // path of the configuration as loaded, "" without
}

func (f processFiles) hasSocket(inodes []string) bool {
	return slices.ContainsFunc(inodes, func(i string) bool { return f.sockets[i] })
}

func (proc procFS) openFiles(pid int) (processFiles, error) {
	dir := proc.path(pid, "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return processFiles{}, err
	}
	files := processFiles{sockets: map[string]bool{}}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		link, _ := os.Readlink(path)
		if inode, ok := strings.CutPrefix(link, "socket:["); ok {
			files.sockets[strings.TrimSuffix(inode, "]")] = true
		} else if files.config == "" && isLoadedConfig(link) {
			files.config = path
		}
	}
	return files, nil
}

// vrrpSockets returns the inodes of the raw sockets of protocol 112 (VRRP, RFC 5798,
// section 5.1.1.4) in the network namespace of pid: the "port" of their local address.
func (proc procFS) vrrpSockets(pid int) []string {
	var inodes []string
	for _, table := range []string{"net/raw", "net/raw6"} {
		data, _ := os.ReadFile(proc.path(pid, table))
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 9 && strings.HasSuffix(f[1], ":0070") {
				inodes = append(inodes, f[9])
			}
		}
	}
	return inodes
}
