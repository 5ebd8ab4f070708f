package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"kad/pkg/cli"
	"kad/pkg/keepalived"
	"kad/pkg/vip"
)

const (
	watchLeast = time.Second     // between two dumps: each costs keepalived's only thread a millisecond or more
	watchMost  = 2 * time.Second // for what no address event tells, such as a FAULT of a BACKUP
)

// watch prints the view whenever it changes, until ctx ends: at a signal on changed, and
// at least each watchMost. On a terminal each view overwrites the one before.
func watch(ctx context.Context, app *cli.App, opt options, look func(context.Context) (view, error), changed <-chan struct{}) error {
	screen := cli.NewScreen(app.Writer)
	for {
		started := time.Now()
		text, err := render(ctx, app.Name, opt, look)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = screen.Show(text)
		}
		if err != nil {
			return err
		}
		if !pause(ctx, started, changed) {
			return nil
		}
	}
}

// addressChanges signals each change of the addresses where the keepalived that find
// names has its VIPs, until ctx ends.
func addressChanges(ctx context.Context, find keepalived.FindOptions) <-chan struct{} {
	ns := ""
	if procs, err := keepalived.Find(find); err == nil {
		ns = procs[0].NetNS()
	}
	changed := make(chan struct{}, 1)
	go func() {
		// Its error is of no use here: without events the view is at most watchMost old.
		_ = vip.Watch(ctx, ns, func([]vip.Address) {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	return changed
}

// pause waits for a change and until watchLeast after started, at most watchMost. It
// returns false when ctx ends.
func pause(ctx context.Context, started time.Time, changed <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(started.Add(watchMost))):
	case <-changed:
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(started.Add(watchLeast))):
		return true
	}
}

// render returns what one look shows; that keepalived does not answer is part of it.
func render(ctx context.Context, name string, opt options, look func(context.Context) (view, error)) (string, error) {
	var b bytes.Buffer
	v, err := look(ctx)
	if v != nil {
		if err := v.write(&b, opt); err != nil {
			return "", err
		}
		for _, line := range v.lines() {
			fmt.Fprintf(&b, "%s: %s\n", name, printable(line))
		}
	}
	if err != nil {
		if errors.Is(err, keepalived.ErrPermission) {
			return "", exitCode(err)
		}
		fmt.Fprintf(&b, "%s: %v\n", name, err)
	}
	return b.String(), nil
}
