package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// secure tells whether somebody else than root, or the user we run as, could change a file: by
// the rules that keepalived has for its scripts (lib/notify.c, check_security). The file and each
// directory above it must belong to one of the two and be writable by no one else, but for the
// group root and for directories with the sticky bit. A link is followed. The error names the part.
func secure(name string) error {
	resolved, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	if resolved, err = filepath.Abs(resolved); err != nil {
		return err
	}
	for part := resolved; ; part = filepath.Dir(part) {
		info, err := os.Lstat(part)
		if err != nil {
			return err
		}
		if why := insecure(info); why != "" {
			return fmt.Errorf("%s is insecure: %s %s, want root as its owner and nobody else to write (chown root, chmod go-w)", name, part, why)
		}
		if part == "/" {
			return nil
		}
	}
}

func insecure(info os.FileInfo) string {
	stat := info.Sys().(*syscall.Stat_t)
	sticky := info.IsDir() && info.Mode()&os.ModeSticky != 0
	mode := info.Mode().Perm()
	var why []string
	if stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		why = append(why, fmt.Sprintf("belongs to uid %d", stat.Uid))
	}
	if !sticky && (mode&0o002 != 0 || mode&0o020 != 0 && stat.Gid != 0) {
		why = append(why, fmt.Sprintf("has mode %04o and group %d", mode, stat.Gid))
	}
	return strings.Join(why, " and ")
}
