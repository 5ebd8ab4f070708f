package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
			return 0, fmt.Errorf("is %v", state)
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
