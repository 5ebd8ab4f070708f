package daemon

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"kad/forwarder/internal/control"
	"kad/forwarder/internal/stats"
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
		l, err := control.Listen(socket)
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
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", stats.Handler(e.Status))
	d.doors = append(d.doors, door{l, mux})
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

// do has f done, unless the daemon stops.
func (e engine) do(f func()) {
	done := make(chan struct{})
	select {
	case e.requests <- func() { f(); close(done) }:
		<-done
	case <-e.stopping:
	}
}

// Reload changes to the configuration as it is now.
func (e engine) Reload() (err error) {
	e.do(func() { err = e.reload() })
	return err
}

// Reopen opens files anew.
func (e engine) Reopen() { e.do(e.reopen) }
