package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"kad/forwarder/internal/control"
)

// A door is an address at which questions are answered.
type door struct {
	net.Listener
	http.Handler
}

// openDoors opens the control socket and, if it is asked for, the one for metrics. A reload does not move them.
func (d *Daemon) openDoors() error {
	socket := d.config.ControlSocket
	if dir := os.Getenv("RUNTIME_DIRECTORY"); socket == "" && dir != "" {
		socket = filepath.Join(dir, "control.sock")
	}
	e := engine{d}
	if socket != "" {
		l, err := control.Listen(socket, d.config.ControlGroup)
		if err != nil {
			return err
		}
		d.doors = append(d.doors, door{l, control.Handler(e)})
	}
	if d.config.MetricsListen == "" {
		return nil
	}
	l, err := net.Listen("tcp", d.config.MetricsListen)
	if err != nil {
		return err
	}
	d.doors = append(d.doors, door{l, control.Metrics(e)})
	return nil
}

// serve answers until ctx ends.
func (d *Daemon) serve(ctx context.Context) (wait func()) {
	var wg sync.WaitGroup
	for _, door := range d.doors {
		wg.Go(func() { d.check(door.Addr().String(), control.Serve(ctx, door, door)) })
	}
	return wg.Wait
}

// An engine is the daemon as other goroutines see it: what they ask for is done by that of Run.
type engine struct{ *Daemon }

// do has f done, and tells whether it was: not when the daemon stops.
func (e engine) do(f func()) bool {
	done := make(chan struct{})
	select {
	case e.requests <- func() { f(); close(done) }:
		<-done
		return true
	case <-e.stopping:
		return false
	}
}

// Reload changes to the configuration as it is now.
func (e engine) Reload() (err error) {
	e.do(func() { err = e.reload() })
	return err
}

// Level is the level from which on things are logged.
func (e engine) Level() slog.Level { return e.log.level.Level() }

// SetLevel changes the level.
func (e engine) SetLevel(l slog.Level) {
	e.log.level.Set(l)
	e.logger.Info("log level is changed", "level", l)
}

// Reopen opens files anew.
func (e engine) Reopen() { e.do(e.reopen) }
