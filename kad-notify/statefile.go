package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kad/pkg/atomicfile"
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
	return atomicfile.Write(file, string(c.State)+"\n")
}
