// Package integration runs kad's binaries beside the real keepalived and syslog-ng.
package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kad/integration/lab"
)

// bin is the directory of the tools, built from the tree as it is.
var bin string

func TestMain(m *testing.M) {
	os.Exit(lab.Main(func() int {
		dir, err := buildTools()
		defer os.RemoveAll(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		bin = dir
		return m.Run()
	}))
}

func buildTools() (dir string, err error) {
	mains, err := filepath.Glob("../*/main.go")
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "kad-integration-"); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir+"/")
	for _, file := range mains {
		build.Args = append(build.Args, "./"+filepath.Dir(file))
	}
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return dir, errors.New(string(out))
	}
	return dir, nil
}
