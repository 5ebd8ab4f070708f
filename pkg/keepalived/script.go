package keepalived

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Credential is the user and group that keepalived runs a script as.
type Credential struct {
	UID, GID uint32
}

// Credential returns whom keepalived runs a script as that asks for this user and group ("" for
// neither): else script_user, else the user keepalived_script where there is one, else root.
func (c *Config) Credential(name, group string) (Credential, error) {
	if name == "" {
		name, group = c.ScriptUser, c.ScriptGroup
	}
	u, err := user.Lookup(cmp.Or(name, "keepalived_script"))
	if name == "" && err != nil {
		return Credential{}, nil
	}
	if err != nil {
		return Credential{}, fmt.Errorf("there is no user %q", name)
	}
	gid := u.Gid
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return Credential{}, fmt.Errorf("there is no group %q", group)
		}
		gid = g.Gid
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	id, gidErr := strconv.ParseUint(gid, 10, 32)
	return Credential{uint32(uid), uint32(id)}, errors.Join(uidErr, gidErr)
}

// ScriptError is what keepalived finds wrong with a script when it loads it, or would find when
// it starts it if it looked.
type ScriptError struct {
	Msg      string
	Dropped  bool // keepalived goes on without the script; else it runs it, or tries to
	Insecure bool // others than root could change it
}

func (e *ScriptError) Error() string { return e.Msg }

// CheckScript applies keepalived's tests of a script to the first word of its command
// (lib/notify.c, check_script_secure), and one of its own: that the kernel can start it, since
// keepalived takes a script that cannot be for a success. It returns the name that the script
// is run under, which is not the one given when that is a link from another directory. The
// error is a *ScriptError. On a command that only asks whether a file can be opened
// ("</path") there is nothing to find.
func CheckScript(command string, as Credential, security bool) (runAs string, err error) {
	if rest, ok := strings.CutPrefix(command, "<"); ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), "/") {
		return command, nil
	}
	if !strings.Contains(command, "/") {
		path, err := exec.LookPath(command)
		if err != nil {
			return "", &ScriptError{Msg: fmt.Sprintf("%s is not in PATH", command), Dropped: true}
		}
		command = path
	}
	target, err := filepath.EvalSymlinks(command)
	if err != nil {
		return "", &ScriptError{Msg: reason(err), Dropped: true}
	}
	info, err := os.Stat(target)
	if err != nil {
		return "", &ScriptError{Msg: reason(err), Dropped: true}
	}
	if !info.Mode().IsRegular() {
		return "", &ScriptError{Msg: target + " is not a file", Dropped: true}
	}
	runAs = filepath.Join(filepath.Dir(target), filepath.Base(command))
	if other, err := os.Stat(runAs); err != nil || !os.SameFile(info, other) {
		runAs = target
	}
	if !executable(info, as) {
		return "", &ScriptError{Msg: fmt.Sprintf("%s is not executable for uid %d, gid %d", target, as.UID, as.GID), Dropped: true}
	}
	if as.UID == 0 || as.GID == 0 || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		for _, path := range []string{runAs, target} {
			if err := secure(path, 0); err != nil {
				return "", &ScriptError{Msg: err.Error(), Dropped: security, Insecure: true}
			}
		}
	}
	if err := startable(target); err != nil {
		return "", &ScriptError{Msg: err.Error()}
	}
	return runAs, nil
}

// reason is err without the name of the system call.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Path + ": " + e.Err.Error()
	}
	return err.Error()
}

// executable decides like is_executable of lib/notify.c.
func executable(info fs.FileInfo, as Credential) bool {
	mode, stat := info.Mode().Perm(), info.Sys().(*syscall.Stat_t)
	switch {
	case as.UID == 0:
		return mode&0o111 != 0
	case as.UID == stat.Uid:
		return mode&0o100 != 0
	case as.GID == stat.Gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// startable reports why execve(2) would not start the file.
func startable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return errors.New(reason(err))
	}
	defer f.Close()
	begin := make([]byte, 256) // BINPRM_BUF_SIZE
	n, err := io.ReadFull(f, begin)
	if n == 0 && err != io.EOF {
		return errors.New(reason(err))
	}
	begin = begin[:n]
	if bytes.HasPrefix(begin, []byte("\x7fELF")) {
		return nil
	}
	line, ok := bytes.CutPrefix(begin, []byte("#!"))
	if !ok {
		return fmt.Errorf("%s is neither a program nor begins with a #! line", path)
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	interpreter, _, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	info, err := os.Stat(interpreter)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s: its interpreter %q is no program", path, interpreter)
	}
	return nil
}

// Secure reports who else than root, or the user that we run as, could change a file: by the
// rules that keepalived has for scripts that root runs (lib/notify.c, check_security). The file
// and each directory above it must belong to one of the two, and nobody else may write to it;
// save to a directory with the sticky bit, or as the group root. Links are followed. The error
// names the part of the path.
func Secure(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err == nil {
		target, err = filepath.Abs(target)
	}
	if err != nil {
		return err
	}
	return secure(target, uint32(os.Geteuid()))
}

// secure is Secure for a path without links in its directories; root is an owner as well.
func secure(path string, owner uint32) error {
	for part := path; ; part = filepath.Dir(part) {
		info, err := os.Lstat(part)
		if err != nil {
			return err
		}
		if why := insecure(info, owner); why != "" {
			return fmt.Errorf("%s is insecure: %s %s", path, part, why)
		}
		if part == filepath.Dir(part) {
			return nil
		}
	}
}

func insecure(info fs.FileInfo, owner uint32) string {
	stat := info.Sys().(*syscall.Stat_t)
	mode := info.Mode()
	sticky := mode.IsDir() && mode&fs.ModeSticky != 0
	isLink := mode&fs.ModeSymlink != 0
	switch {
	case stat.Uid != 0 && stat.Uid != owner:
		return fmt.Sprintf("belongs to uid %d", stat.Uid)
	case sticky || isLink:
	case mode&0o002 != 0:
		return fmt.Sprintf("can be written by everybody (mode %04o)", mode.Perm())
	case mode&0o020 != 0 && stat.Gid != 0:
		return fmt.Sprintf("can be written by the group %d (mode %04o)", stat.Gid, mode.Perm())
	}
	return ""
}
