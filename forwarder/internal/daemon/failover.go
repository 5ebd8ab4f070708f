package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kad/forwarder/internal/control"
	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/stats"
)

// steerTimeout is how long a server that is asked for may take to connect until it is told that it does not.
const steerTimeout = 5 * time.Second

// Failover steers the servers of a destination: "switch" to a server, by default to the next one, "pin" it, by default the
// one in use, or "unpin" it. It waits until the server is connected, and tells what the destination does then.
func (e engine) Failover(ctx context.Context, verb, name, server string) (stats.Destination, error) {
	d, err := e.destination(name)
	if err != nil {
		return stats.Destination{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, steerTimeout)
	defer cancel()
	if verb == "unpin" {
		err := d.Unpin(ctx)
		return describe(d), err
	}
	status, ok := d.Status()
	if !ok {
		return stats.Destination{}, fmt.Errorf("destination %s has no servers to fail over to", name)
	}
	at := slices.Index(status.Servers, status.Current)
	switch {
	case server != "" && !slices.Contains(status.Servers, server):
		return stats.Destination{}, control.NotFound("destination "+name+" has no server", server, status.Servers)
	case server == "" && verb == "switch":
		server = status.Servers[(at+1)%len(status.Servers)]
	case server == "":
		server = status.Current
	}
	if err := d.Switch(ctx, server, verb == "pin"); err != nil {
		return stats.Destination{}, err
	}
	err = settled(ctx, d, server)
	return describe(d), err
}

// destination finds one that runs by its name.
func (e engine) destination(name string) (d *destination.Destination, err error) {
	var names []string
	e.do(func() {
		for _, dest := range e.config.Destinations {
			names = append(names, dest.Name)
			if dest.Name == name {
				d = e.destinations[dest.String()].Destination
			}
		}
	})
	if d == nil {
		return nil, control.NotFound("no destination", name, names)
	}
	return d, nil
}

// settled waits until d has a connection to the server.
func settled(ctx context.Context, d *destination.Destination, server string) error {
	at := func(s destination.Status) string { return s.Errors[slices.Index(s.Servers, server)] }
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s, _ := d.Status()
		switch {
		case s.Current != server:
			return fmt.Errorf("destination %s does not use server %s: %s", d.Name, server, at(s))
		case s.Connected == server:
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("destination %s is not connected to server %s after %v: %s", d.Name, server, steerTimeout, at(s))
		}
	}
}
