package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"

	"kad/pkg/control"
)

// Health of a forwarder, as its host sees it.
const (
	forwarderOK       = "ok"
	forwarderFails    = "fails"     // it says that messages do not go on
	forwarderNoAnswer = "no answer" // it is stopped, hangs, or may not be asked
	forwarderDead     = "dead"      // it has left its socket behind
)

// A forwarderView is the forwarder of a host.
type forwarderView struct {
	Health string `json:"health"`
	Error  string `json:"error,omitempty"` // why it is not ok
}

// askForwarder asks the forwarder at a control socket, "" for the usual one, for its health. It returns nil where none runs.
func askForwarder(ctx context.Context, socket string) *forwarderView {
	_, err := control.Forwarder(socket).Get(ctx, "/v1/health", func(string) error { return nil })
	if refused, ok := errors.AsType[*control.RefusedError](err); ok {
		return &forwarderView{forwarderFails, cmp.Or(refused.Text, refused.Status)}
	}
	switch {
	case err == nil:
		return &forwarderView{Health: forwarderOK}
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, control.ErrDead):
		return &forwarderView{forwarderDead, err.Error()}
	}
	return &forwarderView{forwarderNoAnswer, err.Error()}
}

// cell shows the health; "-" is that of no forwarder.
func (f *forwarderView) cell() cell {
	switch {
	case f == nil:
		return cell{text: "-"}
	case f.Health == forwarderOK:
		return cell{f.Health, green}
	}
	return cell{f.Health, red}
}

// forwarderProblem is what is wrong with the forwarder, nil if nothing is. It is critical where the host holds a VIP, whose clients
// send to it.
func (h *hostView) forwarderProblem() *problem {
	if h.Forwarder == nil || h.Forwarder.Health == forwarderOK {
		return nil
	}
	s := warning
	for _, d := range h.Keepalived {
		for _, r := range d.VIPs {
			if r.Status == active {
				s = critical
			}
		}
	}
	return &problem{s, "forwarder", cmp.Or(h.Forwarder.Error, h.Forwarder.Health)}
}
