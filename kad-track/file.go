package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// checkNotIfExists returns a probe that fails while file exists. It fails too when that
// cannot be known.
func checkNotIfExists(file string, _ setting) (probe, error) {
	return detached(func(context.Context) (int, error) {
		_, err := os.Lstat(file)
		switch {
		case err == nil:
			return 0, certain{errors.New("the file exists: this host is drained")}
		case errors.Is(err, fs.ErrNotExist):
			return 0, nil
		}
		return 0, cause(err)
	}), nil
}

// checkDisk returns a probe of PATH=MINFREE: the file system of PATH is writable and has at
// least MINFREE, a size or a percentage, that users other than root can fill.
func checkDisk(value string, _ setting) (probe, error) {
	i := strings.LastIndexByte(value, '=')
	if i < 1 {
		return nil, errors.New("want PATH=MINFREE")
	}
	path, text := value[:i], value[i+1:]
	minimum, percent, err := parseFree(text)
	if err != nil {
		return nil, err
	}
	return detached(func(context.Context) (int, error) {
		var s unix.Statfs_t
		if err := unix.Statfs(path, &s); err != nil {
			return 0, err
		}
		free, least := s.Bavail*uint64(s.Bsize), minimum
		if percent {
			least = s.Blocks * uint64(s.Bsize) / 100 * minimum
		}
		switch {
		case s.Flags&unix.ST_RDONLY != 0:
			return 0, errors.New("mounted read-only")
		case free < least:
			return 0, fmt.Errorf("%s free, want %s", size(free), size(least))
		}
		return 0, nil
	}), nil
}

// parseFree reads a size in bytes, KiB, MiB, GiB or TiB (the B and the i may be left out), or
// a percentage.
func parseFree(text string) (number uint64, percent bool, err error) {
	digits := strings.TrimRight(text, "KMGTiB%")
	number, err = strconv.ParseUint(digits, 10, 64)
	unit := text[len(digits):]
	if unit == "%" && err == nil && number <= 100 {
		return number, true, nil
	}
	shift := 0
	if unit != "" && unit != "B" {
		prefix := strings.TrimSuffix(strings.TrimSuffix(unit, "B"), "i")
		shift = 10 * (1 + strings.Index("KMGT", prefix))
		if len(prefix) != 1 || shift == 0 {
			err = strconv.ErrSyntax
		}
	}
	if err != nil || number<<shift>>shift != number {
		return 0, false, fmt.Errorf("%q is not a size such as 500MiB or 2GiB, nor a percentage such as 10%%", text)
	}
	return number << shift, false, nil
}

// size writes a number of bytes as people read it.
func size(n uint64) string {
	unit := 0
	value := float64(n)
	for ; value >= 1024 && unit < 4; unit++ {
		value /= 1024
	}
	return fmt.Sprintf("%.4g %s", value, []string{"B", "KiB", "MiB", "GiB", "TiB"}[unit])
}
