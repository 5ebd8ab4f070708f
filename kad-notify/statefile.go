package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// stateFileAction leaves the state in a file, for programs that look from time to time.
type stateFileAction struct {
	File string // {name} in it stands for the instance's or group's name
}

// path returns the file for an event. What a name may hold besides letters is escaped in it.
func (a *stateFileAction) path(c *change) string {
	return strings.ReplaceAll(a.File, "{name}", fileName(c.Name))
}

func (a *stateFileAction) plan(c *change) string {
	return fmt.Sprintf("write %s to %s", c.State, a.path(c))
}

func (a *stateFileAction) run(_ context.Context, _ *notifier, c *change) error {
	file := a.path(c)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return replace(file, []byte(string(c.State)+"\n"))
}

// replace gives a file new contents in one step: a reader finds the old ones or the new.
func replace(file string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
