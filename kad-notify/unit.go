package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
)

// unitAction asks systemd for something to be done with a unit, and waits until it is.
type unitAction struct {
	Unit   string // with its type: syslog-ng.service
	Action string // of unitCalls
}

// unitCalls are the methods of org.freedesktop.systemd1.Manager by the names of systemctl(1).
var unitCalls = map[string]func(*dbus.Conn, context.Context, string, string, chan<- string) (int, error){
	"start":   (*dbus.Conn).StartUnitContext,
	"stop":    (*dbus.Conn).StopUnitContext,
	"restart": (*dbus.Conn).RestartUnitContext,
	"reload":  (*dbus.Conn).ReloadUnitContext,
}

// unitName adds the type of a service where there is none, as systemctl(1) does.
func unitName(name string) string {
	if strings.Contains(name, ".") {
		return name
	}
	return name + ".service"
}

func (u *unitAction) run(ctx context.Context, _ *notifier, _ *change) error {
	bus, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("system bus: %w", err)
	}
	defer bus.Close()
	return u.call(ctx, bus)
}

func (u *unitAction) call(ctx context.Context, bus *dbus.Conn) error {
	done := make(chan string, 1)
	if _, err := unitCalls[u.Action](bus, ctx, u.Unit, "replace", done); err != nil {
		return fmt.Errorf("%s %s: %w", u.Action, u.Unit, ended(ctx, err))
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("%s %s: systemd's job ended as %s", u.Action, u.Unit, result)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", u.Action, u.Unit, context.Cause(ctx))
	}
}

func (u *unitAction) plan(*change) string { return u.Action + " " + u.Unit }

// active asks systemd whether the unit is, or is about to be.
func (u *unitAction) active(ctx context.Context, bus *dbus.Conn) (bool, error) {
	p, err := bus.GetUnitPropertyContext(ctx, u.Unit, "ActiveState")
	if err != nil {
		return false, fmt.Errorf("%s: %w", u.Unit, ended(ctx, err))
	}
	switch p.Value.Value() {
	case "active", "activating", "reloading":
		return true, nil
	}
	return false, nil
}

// ended puts the reason for which ctx ended in the place of an error that only says that it did.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return context.Cause(ctx)
	}
	return err
}
