// Package rsyslog finds the rsyslog that `make deps` has unpacked in this checkout.
package rsyslog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Path returns an rsyslogd with the modules imrelp and omrelp. It takes rsyslogd's options and stays the same process, so
// a signal to it is one to rsyslogd.
func Path() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; !exists(filepath.Join(dir, "go.mod")); dir = filepath.Dir(dir) {
		if dir == filepath.Dir(dir) {
			return "", errors.New("rsyslog: the current directory is in no checkout")
		}
	}
	path := filepath.Join(dir, ".deps/bin/rsyslogd")
	if !exists(path) {
		return "", fmt.Errorf("rsyslog: no %s: run `make deps`", path)
	}
	return path, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
