package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// checkPIDFile returns a probe that passes when the process named in file is alive.
func checkPIDFile(file string, _ setting) (probe, error) {
	return detached(func(context.Context) (int, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, cause(err)
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		pid, err := strconv.Atoi(first)
		if err != nil || pid < 1 {
			return 0, fmt.Errorf("%.20q is not a process ID", first)
		}
		_, state, err := procStat(pid)
		if err == nil {
			err = sick(state)
		}
		if err != nil {
			return 0, fmt.Errorf("process %d %w", pid, err)
		}
		return pid, nil
	}), nil
}

// checkProcess returns a probe that passes when a process of that name is alive. The name is
// that of its program file, or the one it has given itself.
func checkProcess(name string, _ setting) (probe, error) {
	if name == "" || strings.Contains(name, "/") {
		return nil, errors.New("want the name of a process, without its directory")
	}
	return detached(func(context.Context) (int, error) {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return 0, err
		}
		var found []int
		err = certain{errors.New("no such process")}
		for _, e := range entries {
			pid, notNumber := strconv.Atoi(e.Name())
			if notNumber != nil {
				continue
			}
			comm, state, gone := procStat(pid)
			if gone != nil || !isNamed(pid, comm, name) {
				continue
			}
			if ill := sick(state); ill != nil {
				err = fmt.Errorf("process %d %w", pid, ill)
				continue
			}
			found = append(found, pid)
		}
		switch len(found) {
		case 0:
			return 0, err
		case 1:
			return found[0], nil
		}
		return 0, nil // no single one of them is vital
	}), nil
}

// procStat returns the name and the state of a process, from "PID (NAME) STATE ..."
// (proc_pid_stat(5)). The state is 0 where /proc hides a process of somebody else.
func procStat(pid int) (comm string, state byte, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		if kill := syscall.Kill(pid, 0); kill == nil || kill == syscall.EPERM {
			return "", 0, nil
		}
		return "", 0, certain{errors.New("is not running")}
	}
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open || end+2 >= len(text) {
		return "", 0, fmt.Errorf("has an unknown form of stat, %q", text)
	}
	return string(text[open+1 : end]), text[end+2], nil
}

// sick returns why a process in that state cannot do its work, or nil.
func sick(state byte) error {
	switch state {
	case 'Z', 'X':
		return certain{errors.New("has died (zombie)")}
	case 'T':
		return errors.New("is stopped")
	}
	return nil
}

// isNamed reports whether a process with that comm is the one called name. The kernel cuts
// comm to 15 bytes; the rest is in the name of the program file, or what it was called by.
func isNamed(pid int, comm, name string) bool {
	const taskCommLen = 15
	if len(name) <= taskCommLen {
		return comm == name
	}
	if comm != name[:taskCommLen] {
		return false
	}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	exe, _ := os.Readlink(filepath.Join(dir, "exe"))
	cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	for word := range bytes.SplitSeq(cmdline, []byte{0}) {
		if filepath.Base(string(word)) == name {
			return true
		}
	}
	return filepath.Base(exe) == name
}
