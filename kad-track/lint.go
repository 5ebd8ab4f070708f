package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kad/pkg/cli"
	"kad/pkg/conf"
	"kad/pkg/keepalived"
	"kad/pkg/spelling"
)

func checkVerb() *cli.Command {
	return &cli.Command{
		Name: "check", ArgsUsage: "[FILE...]",
		Usage: "find what is wrong in track.toml and keepalived.conf, and keepalived would accept in silence",
		Description: "A FILE that ends in .toml is read as track.toml, another one as keepalived.conf. " +
			"Without any, both are looked for where they belong. A warning does not change the exit code.",
		Action: func(c *cli.Context) error {
			files := c.Args().Slice()
			if len(files) == 0 {
				files = installed(c.String("config"), keepalived.DefaultConfig)
			}
			if len(files) == 0 {
				return fmt.Errorf("there is neither %s nor %s", c.String("config"), keepalived.DefaultConfig)
			}
			l := &lint{profiles: c.String("config")}
			for _, file := range files {
				if strings.HasSuffix(file, ".toml") {
					l.track(file)
				} else {
					l.keepalived(file)
				}
			}
			for _, w := range l.warnings {
				fmt.Fprintf(c.App.ErrWriter, "%s: warning: %s\n", c.App.Name, w)
			}
			return errors.Join(l.errs...)
		},
	}
}

func installed(files ...string) []string {
	return slices.DeleteFunc(files, func(file string) bool {
		_, err := os.Stat(file)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// lint collects what is wrong.
type lint struct {
	profiles string // the track.toml that scripts in keepalived.conf use
	errs     []error
	warnings []string
}

func (l *lint) errorf(pos keepalived.Pos, format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf("%v: "+format, append([]any{pos}, args...)...))
}

func (l *lint) warnf(pos keepalived.Pos, format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf("%v: "+format, append([]any{pos}, args...)...))
}

// track looks at every profile of a track.toml.
func (l *lint) track(file string) {
	if _, err := os.Stat(file); err != nil {
		l.errs = append(l.errs, fmt.Errorf("%s: %w", file, cause(err)))
		return
	}
	if err := keepalived.Secure(file); err != nil {
		l.errs = append(l.errs, err)
	}
	p, err := loadProfiles(file)
	if err == nil {
		for _, path := range p.file.Paths() {
			for name := range p.Profile {
				if path == "profile."+conf.Key(name) {
					l.profile(p, path, name)
				}
			}
		}
		err = p.file.Err()
	}
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

// profile looks at one profile, and for the programs that it runs.
func (l *lint) profile(p *profiles, path, name string) {
	us := keepalived.Credential{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	for _, w := range p.read(name).checks {
		if w.kind.name() != "exec" {
			continue
		}
		argv, err := splitWords(w.value)
		if err == nil {
			_, err = keepalived.CheckScript(argv[0], us, true)
		}
		if err != nil {
			p.file.Errorf(path+".exec", "%v", err)
		}
	}
}

// keepalived looks at what a keepalived.conf tracks.
func (l *lint) keepalived(file string) {
	config, err := keepalived.LoadConfig(file, keepalived.ConfigOptions{})
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	for _, s := range config.Scripts {
		l.script(config, s)
	}
	for _, f := range config.Files {
		l.trackFile(f)
	}
	used := map[string]bool{}
	for _, i := range config.Instances {
		name := fmt.Sprintf("vrrp_instance %q", i.Name)
		l.tracks(name, "vrrp_script", i.TrackScripts, scriptNames(config), used)
		l.tracks(name, "track_file", i.TrackFiles, fileNames(config), used)
		if i.Priority == 255 {
			l.owner(name, slices.Concat(i.TrackScripts, i.TrackFiles))
		}
		if len(slices.Concat(i.TrackScripts, i.TrackFiles, i.TrackProcesses)) == 0 && !groupTracks(config, i.Name) {
			l.warnf(i.Pos, "%s tracks nothing: it keeps its addresses whatever happens to the daemons behind them", name)
		}
	}
	for _, g := range config.Groups {
		name := fmt.Sprintf("vrrp_sync_group %q", g.Name)
		l.tracks(name, "vrrp_script", g.TrackScripts, scriptNames(config), used)
		l.tracks(name, "track_file", g.TrackFiles, fileNames(config), used)
	}
	for _, s := range config.Scripts {
		if !used["vrrp_script "+s.Name] {
			l.warnf(s.Pos, "vrrp_script %q is tracked by nobody", s.Name)
		}
	}
	for _, f := range config.Files {
		if !used["track_file "+f.Name] {
			l.warnf(f.Pos, "track_file %q is tracked by nobody", f.Name)
		}
	}
}

func scriptNames(c *keepalived.Config) (names []string) {
	for _, s := range c.Scripts {
		names = append(names, s.Name)
	}
	return names
}

func fileNames(c *keepalived.Config) (names []string) {
	for _, f := range c.Files {
		names = append(names, f.Name)
	}
	return names
}

// groupTracks reports whether the sync group of the instance tracks something for it.
func groupTracks(c *keepalived.Config, instance string) bool {
	return slices.ContainsFunc(c.Groups, func(g keepalived.ConfigGroup) bool {
		return slices.Contains(g.Members, instance) && len(g.TrackScripts)+len(g.TrackFiles)+len(g.TrackProcesses) > 0
	})
}

// tracks looks for trackers that are not defined: keepalived ignores such a line.
func (l *lint) tracks(owner, kind string, lines []keepalived.ConfigTrack, defined []string, used map[string]bool) {
	for _, t := range lines {
		used[kind+" "+t.Name] = true
		switch {
		case !t.Unknown:
		case slices.Contains(defined, t.Name):
			l.errorf(t.Pos, "%s: %s %q is defined below this line, so keepalived does not know it here and tracks nothing", owner, kind, t.Name)
		default:
			l.errorf(t.Pos, "%s: there is no %s %q%s, so keepalived tracks nothing", owner, kind, t.Name, hint(t.Name, defined))
		}
	}
}

func hint(name string, candidates []string) string {
	if near := spelling.Nearest(name, candidates...); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// owner looks at the trackers of an instance with priority 255, the address owner's.
func (l *lint) owner(name string, lines []keepalived.ConfigTrack) {
	for _, t := range lines {
		if t.Weight != 0 {
			l.errorf(t.Pos, "%s has priority 255, which no weight changes: %q moves nothing (lower the priority, or give it weight 0)", name, t.Name)
		}
	}
}

// script looks at a vrrp_script as keepalived does when it loads it, and at what it does not
// look at.
func (l *lint) script(config *keepalived.Config, s keepalived.ConfigScript) {
	name := fmt.Sprintf("vrrp_script %q", s.Name)
	as, err := config.Credential(s.User, s.Group)
	if err != nil {
		l.errorf(s.Pos, "%s: %v, so keepalived drops the script, and its instances run untracked", name, err)
		return
	}
	runAs, err := keepalived.CheckScript(s.Argv[0], as, config.ScriptSecurity)
	if e, ok := errors.AsType[*keepalived.ScriptError](err); ok {
		switch {
		case e.Dropped:
			l.errorf(s.Pos, "%s: %v: keepalived drops the script, and its instances run untracked", name, err)
		case e.Insecure:
			l.errorf(s.Pos, "%s: %v: keepalived runs it as root all the same (enable_script_security refuses it)", name, err)
		default:
			l.errorf(s.Pos, "%s: %v: keepalived counts a script that does not start as a success", name, err)
		}
		return
	}
	if s.Interval%time.Second != 0 || s.Timeout%time.Second != 0 {
		l.warnf(s.Pos, "%s: keepalived before 2.3.2 ignores an interval or timeout with a fraction", name)
	}
	if s.Interval <= time.Second && s.Timeout == 0 && s.Fall <= 1 {
		l.warnf(s.Pos, "%s: a single run that takes a second, as on a busy host, is a failure (timeout 3, or fall 2)", name)
	}
	if target, err := filepath.EvalSymlinks(runAs); err == nil && filepath.Base(target) == "kad-track" {
		l.ourselves(name, s, runAs)
	}
}

// ourselves looks at a vrrp_script that runs kad-track.
func (l *lint) ourselves(name string, s keepalived.ConfigScript, runAs string) {
	if link := filepath.Base(s.Argv[0]); link != filepath.Base(runAs) {
		l.errorf(s.Pos, "%s: keepalived resolves %s to %s, so kad-track does not see the name %s (put the link beside kad-track, or use --profile)",
			name, s.Argv[0], runAs, link)
		return
	}
	timeout, err := l.timeout(append([]string{runAs}, s.Argv[1:]...))
	if err != nil {
		l.errorf(s.Pos, "%s: %v", name, err)
		return
	}
	limit := cmp.Or(s.Timeout, s.Interval, time.Second)
	if timeout >= limit {
		l.errorf(s.Pos, "%s: kad-track may take %v, but keepalived ends it after %v (raise timeout, or lower --timeout)", name, timeout, limit)
	}
}

// timeout returns how long kad-track may take when it is called so.
func (l *lint) timeout(args []string) (timeout time.Duration, err error) {
	err = errors.New("kad-track checks nothing when it is called so, and exits with 0")
	app := newAppWith(func(c *cli.Context) error {
		if !c.IsSet("config") {
			c.Set("config", l.profiles)
		}
		var j job
		j, err = prepare(c)
		timeout = j.timeout
		return nil
	})
	app.Commands = nil
	var talk bytes.Buffer
	if cli.Run(context.Background(), app, byName(args), nil, &bytes.Buffer{}, &talk) != cli.OK {
		line, _, _ := strings.Cut(talk.String(), "\n")
		return 0, errors.New(line)
	}
	return timeout, err
}

// blind returns the name of a file system that tells nobody about changes, by its magic number
// (statfs(2)); "" for another.
func blind(magic int64) string {
	switch magic {
	case unix.PROC_SUPER_MAGIC:
		return "procfs"
	case unix.SYSFS_MAGIC:
		return "sysfs"
	case unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return "cgroup"
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.FUSE_SUPER_MAGIC:
		return "FUSE"
	}
	return ""
}

// trackFile looks at the file of a track_file as it is now.
func (l *lint) trackFile(f keepalived.ConfigFile) {
	name := fmt.Sprintf("track_file %q", f.Name)
	text, err := os.ReadFile(f.File)
	var s unix.Statfs_t
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.errorf(f.Pos, "%s: %s is not there, which keepalived counts as healthy (start kad-track watch before keepalived)", name, f.File)
		return
	case err != nil:
		l.errorf(f.Pos, "%s: %s: %w, which keepalived counts as healthy", name, f.File, cause(err))
		return
	case !isNumber(string(text)):
		l.errorf(f.Pos, "%s: %s begins with %.20q, which is not a number and counts as 0, healthy", name, f.File, text)
	}
	if unix.Statfs(f.File, &s) == nil && blind(s.Type) != "" {
		l.errorf(f.Pos, "%s: %s is on %s, which tells keepalived of no change", name, f.File, blind(s.Type))
	}
	if err := keepalived.Secure(f.File); err != nil {
		l.warnf(f.Pos, "%s: %v, who can move the addresses", name, err)
	}
}

// isNumber reports whether text begins with a number, as strtol(3) has it.
func isNumber(text string) bool {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "-"), "+")
	return text != "" && '0' <= text[0] && text[0] <= '9'
}
