package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kad/kad-track/internal/dbus"
)

// Names of systemd's interface (org.freedesktop.systemd1(5)).
const (
	systemd           = "org.freedesktop.systemd1"
	systemdManager    = "org.freedesktop.systemd1.Manager"
	systemdUnit       = "org.freedesktop.systemd1.Unit"
	systemdService    = "org.freedesktop.systemd1.Service"
	systemdObject     = "/org/freedesktop/systemd1"
	busProperties     = "org.freedesktop.DBus.Properties"
	propertiesChanged = "PropertiesChanged"
)

// checkUnit returns a probe that passes while systemd says that the unit is active or reloads,
// as systemctl is-active(1) does. A name without a type is that of a service.
func checkUnit(name string, _ setting) (probe, error) {
	path := unitPath(name)
	return func(ctx context.Context) (int, error) {
		bus, err := dbus.Dial(ctx, dbus.SystemBus())
		if err != nil {
			return 0, fmt.Errorf("system bus: %w", cause(err))
		}
		defer bus.Close()
		state, err := property(bus, path, systemdUnit, "ActiveState")
		if err != nil {
			return 0, fmt.Errorf("systemd: %w", cause(err))
		}
		if !slices.Contains([]any{"active", "reloading", "refreshing"}, state) {
			return 0, certain{fmt.Errorf("is %v", state)}
		}
		// A unit that is no service has no such property.
		pid, _ := property(bus, path, systemdService, "MainPID")
		main, _ := pid.(uint32)
		return int(main), nil
	}, nil
}

func property(bus *dbus.Conn, path, iface, name string) (any, error) {
	reply, err := bus.Call(systemd, path, busProperties, "Get", iface, name)
	if err != nil {
		return nil, err
	}
	return reply.Value(), nil
}

// unitPath returns the object of a unit: its name with every byte but letters and digits
// escaped as _XX.
func unitPath(name string) string {
	if !strings.Contains(name, ".") {
		name += ".service"
	}
	var path strings.Builder
	path.WriteString(systemdObject + "/unit/")
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if letter || '0' <= c && c <= '9' && i > 0 {
			path.WriteByte(c)
		} else {
			fmt.Fprintf(&path, "_%02x", c)
		}
	}
	return path.String()
}

// watchUnit says on changes when systemd says that something about the unit has changed, and
// when that may have been missed because the bus was not there.
func watchUnit(ctx context.Context, name string, changes chan<- struct{}) {
	for ctx.Err() == nil {
		listenToUnit(ctx, unitPath(name), func() {
			select {
			case changes <- struct{}{}:
			default: // one is waiting already
			}
		})
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// listenToUnit calls changed once the bus is listened to, and for each change, until the bus
// ends the connection. What is wrong with the bus the check of the unit will say.
func listenToUnit(ctx context.Context, path string, changed func()) {
	bus, err := dbus.Dial(ctx, dbus.SystemBus())
	if err != nil {
		return
	}
	defer bus.Close()
	match := fmt.Sprintf("type='signal',sender='%s',interface='%s',member='%s',path='%s'",
		systemd, busProperties, propertiesChanged, path)
	if _, err := bus.Call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", match); err != nil {
		return
	}
	if _, err := bus.Call(systemd, systemdObject, systemdManager, "Subscribe"); err != nil {
		return
	}
	for err == nil {
		changed()
		_, err = bus.Signal()
	}
}
