package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kad/pkg/keepalived"
)

// severity is how bad a problem is, in the words and order of monitoring plugins.
type severity int

const (
	warning severity = iota + 1
	critical
)

func (s severity) MarshalText() ([]byte, error) {
	if s == critical {
		return []byte("critical"), nil
	}
	return []byte("warning"), nil
}

func (s *severity) UnmarshalText(text []byte) error {
	*s = warning
	if string(text) == "critical" {
		*s = critical
	}
	return nil
}

// A problem is one thing that is wrong, in one line.
type problem struct {
	Severity severity `json:"severity"`
	Instance string   `json:"instance"`
	Text     string   `json:"text"`
}

func (p problem) String() string { return p.Instance + ": " + p.Text }

// problems lists what is wrong with d, instances in keepalived.conf's order.
func (d *daemon) problems(rows []row) []problem {
	all := []problem{}
	for i := range d.Dump.Instances {
		in := &d.Dump.Instances[i]
		add := func(s severity, format string, args ...any) {
			all = append(all, problem{s, in.Name, fmt.Sprintf(format, args...)})
		}
		if in.State == keepalived.Fault {
			d.faultProblem(in, add)
		} else {
			d.weightProblems(in, add)
		}
		for _, r := range rows {
			if r.Instance == in.Name && r.VIP != "" && !d.NoAddrs {
				vipProblems(r, add)
			}
		}
		d.untracked(in, add)
	}
	return append(all, d.failOpen()...)
}

func vipProblems(r row, add func(severity, string, ...any)) {
	switch {
	case r.Live == keepalived.Master && r.Status != active:
		add(critical, "MASTER without its VIP %s", r.VIP)
	case r.Live != keepalived.Master && r.Status == active:
		add(critical, "VIP %s is on %s, but the instance is %s", r.VIP, r.HeldOn, r.Live)
	}
	if r.Status == active && r.HeldOn != r.Interface && r.Interface != "" {
		add(warning, "VIP %s is on %s, not on %s as configured", r.VIP, r.HeldOn, r.Interface)
	}
}

// faultProblem says why in is in FAULT.
func (d *daemon) faultProblem(in *keepalived.Instance, add func(severity, string, ...any)) {
	if in.ScriptsInit > 0 {
		add(warning, "FAULT, only waiting for the first run of %s", d.pendingScripts(in))
		return
	}
	why := d.ownFaults(in)
	if len(why) == 0 {
		why = d.faultyMembers(in)
	}
	if in.ConfigFaults > 0 {
		why = append(why, fmt.Sprintf("%d configuration faults", in.ConfigFaults))
	}
	if len(why) == 0 {
		why = []string{"keepalived's dump does not say why"}
	}
	add(critical, "FAULT: %s", strings.Join(why, "; "))
}

// ownFaults says what holds in in FAULT, its sync group aside.
func (d *daemon) ownFaults(in *keepalived.Instance) []string {
	why := append(d.badInterfaces(in), d.badTrackers(in)...)
	if len(why) == 0 {
		why = slices.Clone(in.InterfaceFaults)
	}
	if in.DuplicateVRID {
		why = append(why, fmt.Sprintf("virtual_router_id %d is used twice on %s", in.VRID, in.Interface))
	}
	return why
}

func (d *daemon) pendingScripts(in *keepalived.Instance) string {
	var names []string
	for _, t := range d.trackers(in) {
		if t.Kind == "script" && strings.HasPrefix(t.Status, "INIT") {
			names = append(names, t.Name)
		}
	}
	if len(names) == 0 {
		return "its scripts"
	}
	return "script " + strings.Join(names, ", ")
}

// badInterfaces names the devices below in that cannot carry it.
func (d *daemon) badInterfaces(in *keepalived.Instance) []string {
	if len(d.Dump.Interfaces) == 0 { // 1.3 does not print them
		return nil
	}
	names := []string{in.Interface}
	if in.BaseInterface != "" {
		names = append(names, in.BaseInterface)
	}
	var why []string
	for _, name := range names {
		if w := d.interfaceFault(name); w != "" {
			why = append(why, w)
		}
	}
	return why
}

func (d *daemon) interfaceFault(name string) string {
	for _, i := range d.Dump.Interfaces {
		switch {
		case i.Name != name:
		case !i.Up && i.Index == 0:
			return fmt.Sprintf("interface %s does not exist", name)
		case !i.Up:
			return fmt.Sprintf("interface %s is down", name)
		case !i.Running:
			return fmt.Sprintf("interface %s has no carrier", name)
		default:
			return ""
		}
	}
	return fmt.Sprintf("interface %s does not exist", name)
}

// badTrackers names the trackers that hold in in FAULT: those without a weight that fail.
func (d *daemon) badTrackers(in *keepalived.Instance) []string {
	var why []string
	for _, t := range d.trackers(in) {
		if t.Status != "BAD" || (t.Weight != 0 && t.Kind != "file") {
			continue
		}
		switch t.Kind {
		case "script":
			why = append(why, fmt.Sprintf("script %s is BAD", t.Name))
		case "interface":
			why = append(why, "tracked "+d.interfaceFault(t.Name))
		case "file":
			why = append(why, d.fileFault(t)...)
		case "process":
			why = append(why, fmt.Sprintf("process %s has no quorum", t.Name))
		case "bfd":
			why = append(why, fmt.Sprintf("BFD %s is down", t.Name))
		}
	}
	return why
}

// weightProblems names the trackers whose failure changes the priority of in. The value
// of a file with a weight is no failure: it is a knob.
func (d *daemon) weightProblems(in *keepalived.Instance, add func(severity, string, ...any)) {
	for _, t := range d.trackers(in) {
		if t.Status == "BAD" && t.Weight != 0 && t.Kind != "file" {
			add(warning, "%s %s is BAD: the priority is %d, the base %d", t.Kind, t.Name, in.EffectivePriority, in.Priority)
		}
	}
}

// fileFault says that a track_file is a cause of FAULT: without weight any value but 0,
// with one a product of -254 or less (trackers/track_file.c).
func (d *daemon) fileFault(t tracker) []string {
	for _, f := range d.Dump.Files {
		if f.Name == t.Name && (t.Weight == 0 || f.Value*t.Weight <= -254) {
			return []string{fmt.Sprintf("file %s (%s) says %d", t.Name, f.File, f.Value)}
		}
	}
	return nil
}

// faultyMembers blames the sync group of an instance that has no fault of its own.
func (d *daemon) faultyMembers(in *keepalived.Instance) []string {
	var why []string
	for _, g := range d.Dump.SyncGroups {
		if !slices.Contains(g.Members, in.Name) {
			continue
		}
		for _, m := range g.Members {
			o := d.Dump.Instance(m)
			if o == nil || m == in.Name || o.State != keepalived.Fault {
				continue
			}
			if len(d.ownFaults(o)) > 0 {
				why = append(why, fmt.Sprintf("%s of the same sync group %s is in FAULT", m, g.Name))
			}
		}
	}
	return why
}

// untracked reports configured track scripts that keepalived dropped at load: the
// instance runs as if they always succeeded (lib/notify.c, check_track_script_secure).
func (d *daemon) untracked(in *keepalived.Instance, add func(severity, string, ...any)) {
	c := d.configured(in.Name)
	if c == nil {
		return
	}
	for _, want := range c.TrackScripts {
		if !slices.ContainsFunc(in.TrackedScripts, func(t keepalived.Tracked) bool { return t.Name == want.Name }) {
			add(critical, "script %s is configured (%s) but keepalived dropped it: the instance runs untracked%s",
				want.Name, want.Pos, d.dropReason(want.Name))
		}
	}
}

// dropReason looks at the script's file for what keepalived would not take.
func (d *daemon) dropReason(name string) string {
	for _, s := range d.Config.Scripts {
		if s.Name != name || len(s.Argv) == 0 {
			continue
		}
		if d.Root == "" {
			return ""
		}
		switch info, err := d.stat(s.Argv[0]); {
		case err != nil:
			return fmt.Sprintf(" (%s: %v)", s.Argv[0], cause(err))
		case info.Mode()&0o111 == 0:
			return fmt.Sprintf(" (%s is not executable)", s.Argv[0])
		default:
			return fmt.Sprintf(" (%s is insecure: it and every directory above it must belong to root and be writable by root only)", s.Argv[0])
		}
	}
	return " (no vrrp_script of that name)"
}

// failOpen reports trackers that keepalived counts as healthy because it cannot read or
// run them: a script whose binary is gone, a track_file that is missing or not a number.
func (d *daemon) failOpen() []problem {
	if d.Root == "" {
		return nil
	}
	var all []problem
	for i := range d.Dump.Instances {
		in := &d.Dump.Instances[i]
		for _, t := range d.trackers(in) {
			switch t.Kind {
			case "script":
				if w := d.scriptGone(t.Name); w != "" {
					all = append(all, problem{critical, in.Name, w})
				}
			case "file":
				if w := d.fileUnread(t.Name); w != "" {
					all = append(all, problem{warning, in.Name, w})
				}
			}
		}
	}
	return all
}

func (d *daemon) scriptGone(name string) string {
	s := d.Dump.Script(name)
	if s == nil {
		return ""
	}
	path := commandPath(s.Command)
	if path == "" {
		return ""
	}
	if _, err := d.stat(path); err != nil {
		return fmt.Sprintf("script %s counts as success without running: %s: %v", name, path, cause(err))
	}
	return ""
}

// commandPath returns the program of a script line as the dump prints it, each argument
// in single quotes in newer versions; "" when it is not an absolute path.
func commandPath(command string) string {
	path, _, _ := strings.Cut(command, " ")
	if quoted, ok := strings.CutPrefix(command, "'"); ok {
		path, _, _ = strings.Cut(quoted, "'")
	}
	if !filepath.IsAbs(path) {
		return ""
	}
	return path
}

func (d *daemon) fileUnread(name string) string {
	for _, f := range d.Dump.Files {
		if f.Name != name {
			continue
		}
		text, err := d.readStart(f.File)
		if err != nil {
			return fmt.Sprintf("track_file %s counts as 0 (healthy): %s: %v", name, f.File, cause(err))
		}
		if !startsWithNumber(text) {
			return fmt.Sprintf("track_file %s counts as 0 (healthy): %s holds no number", name, f.File)
		}
	}
	return ""
}

// startsWithNumber reports whether strtol finds a number, as keepalived reads the file.
func startsWithNumber(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n\v\f")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "-"), "+")
	return text != "" && text[0] >= '0' && text[0] <= '9'
}

// stat follows path as keepalived would, in its own root and with its symbolic links.
func (d *daemon) stat(path string) (fs.FileInfo, error) {
	f, err := d.open(path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// readStart returns the first 128 bytes of a file of keepalived's.
func (d *daemon) readStart(path string) (string, error) {
	f, err := d.open(path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 128))
	return string(data), err
}

func (d *daemon) open(path string, flags uint64) (*os.File, error) {
	root, err := os.Open(d.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fd, err := unix.Openat2(int(root.Fd()), strings.TrimLeft(path, "/"),
		&unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// cause strips the operation and the path from an error of package os.
func cause(err error) error {
	if pe, ok := err.(*fs.PathError); ok {
		return pe.Err
	}
	return err
}
