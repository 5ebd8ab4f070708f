// Package daemon runs a configuration: it opens the sources, runs them and the destinations, changes to another configuration
// without a stop, and stops in the order in which messages go.
package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"kad/forwarder/internal/config"
	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/source"
	"kad/forwarder/internal/stats"
	"kad/pkg/vip"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// A Daemon is a configuration at work.
type Daemon struct {
	Version string // of the program

	load   func() (*config.Config, error)
	log    *handler
	logger *slog.Logger

	// What follows belongs to the goroutine of New, then to that of Run.
	*generation
	ending sync.WaitGroup // destinations that an earlier configuration had
	doors  []door
	store  fdStore
	loads  stats.Configuration
	watch  *watch
	taps   []*tap
	tapped logpath.Tap // what the taps see

	started time.Time

	signals  chan os.Signal // from before the configuration is loaded: a SIGHUP that comes early would end the process
	requests chan func()    // of other goroutines
	stopping chan struct{}
	hurried  chan struct{} // closed when sources are not waited for any more
}

// A generation is what one configuration needs, and whether it runs. Parts go from one generation to the next.
type generation struct {
	config       *config.Config
	sources      map[string]*reading // by the names of their texts
	destinations map[string]*sending
}

// A reading is a driver of a source.
type reading struct {
	input  *source.Input
	runner source.Runner
	name   string // of the source
	driver int    // of the source's drivers
	cancel context.CancelFunc
	ended  chan struct{} // nil: it does not run
}

// A sending is a destination.
type sending struct {
	*destination.Destination
	ctx      context.Context
	cancel   context.CancelFunc
	ended    chan struct{} // nil: it does not run
	answered chan struct{} // closed when it has answered the last look; nil: it was not asked
}

// New opens everything that can fail and starts nothing. The configuration comes from load, then and for each reload. From now on
// SIGHUP and SIGUSR1 wait for Run.
func New(load func() (*config.Config, error), stderr io.Writer) (*Daemon, error) {
	d := &Daemon{
		load: load, log: newHandler(stderr), generation: &generation{},
		signals: make(chan os.Signal, 4), requests: make(chan func()), stopping: make(chan struct{}),
		hurried: make(chan struct{}),
	}
	d.logger = slog.New(d.log)
	signal.Notify(d.signals, syscall.SIGUSR1, syscall.SIGHUP)
	if err := d.open(); err != nil {
		signal.Stop(d.signals)
		return nil, err
	}
	return d, nil
}

func (d *Daemon) open() error {
	c, err := d.load()
	if err != nil {
		return err
	}
	next, err := d.build(c)
	if err != nil {
		return err
	}
	d.generation = next.generation
	d.log.internal.Store(&next.internal)
	d.started = time.Now()
	d.loads.Loaded = d.started
	return d.openDoors()
}

// Run works until ctx ends, then drains: the sources stop, what they have read is sent, for at most drain_timeout, or until SIGTERM
// or SIGINT comes then. SIGHUP reloads, SIGUSR1 opens files anew.
func (d *Daemon) Run(ctx context.Context) error {
	d.start()
	defer signal.Stop(d.signals)
	d.watch = d.newWatch()
	defer d.watch.ticker.Stop()
	served := d.serve(ctx)
	go d.watchVIPs(ctx)
	d.notify(systemd.SdNotifyReady)
	d.keepSockets()
	d.look()
	for ctx.Err() == nil {
		select {
		case s := <-d.signals:
			if s == syscall.SIGHUP {
				_ = d.reload() // it is logged
			} else {
				d.reopen()
			}
		case f := <-d.requests:
			f()
		case <-d.watch.ticker.C:
			d.look()
		case <-ctx.Done():
		}
	}
	close(d.stopping)
	served()
	d.notify(systemd.SdNotifyStopping)
	return d.stop()
}

// watchVIPs keeps what vip_held() and sources with freebind know of addresses, until ctx ends.
func (d *Daemon) watchVIPs(ctx context.Context) {
	for ctx.Err() == nil {
		d.check("watch of addresses", vip.Local.Watch(ctx))
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// start starts what does not run yet, the destinations first.
func (d *Daemon) start() {
	for _, s := range d.destinations {
		if s.ended == nil {
			s.ctx, s.cancel = context.WithCancel(context.Background())
			s.ended = make(chan struct{})
			go func() {
				defer close(s.ended)
				d.check(s.String(), s.Run(s.ctx, d.logger))
			}()
		}
	}
	for _, r := range d.sources {
		if r.ended == nil {
			var ctx context.Context
			ctx, r.cancel = context.WithCancel(context.Background())
			r.ended = make(chan struct{})
			go func() {
				defer close(r.ended)
				d.check("source "+r.name, r.runner.Run(ctx))
			}()
		}
	}
}

func (d *Daemon) check(what string, err error) {
	if err != nil {
		d.logger.Error(what+" ended", "error", err)
	}
}

func (d *Daemon) notify(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		d.logger.Warn("systemd is not told", "state", state, "error", err)
	}
}

func (d *Daemon) reopen() {
	d.logger.Info("files are opened anew")
	for _, s := range d.destinations {
		s.Reopen()
	}
}

// lateTimeout is how long after drain_timeout parts may take to end: what is in memory may have to be written to a disk.
const lateTimeout = 10 * time.Second

// stop drains for at most drain_timeout, or until it is told to end once more, and does not wait for what does not end then.
func (d *Daemon) stop() error {
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(again)
	drained := make(chan error, 1)
	go func() { drained <- d.drain() }()
	select {
	case err := <-drained:
		return err
	case <-again:
	case <-time.After(time.Duration(d.config.DrainTimeout)):
	}
	close(d.hurried)
	for _, s := range d.destinations {
		s.cancel()
	}
	select {
	case err := <-drained:
		return err
	case <-time.After(lateTimeout):
		return fmt.Errorf("not all has ended %v after drain_timeout: %s", lateTimeout, strings.Join(d.running(), ", "))
	}
}

// drain ends the sources, then the destinations, and says what is lost.
func (d *Daemon) drain() error {
	for _, r := range d.sources {
		r.cancel()
	}
	for _, r := range d.sources {
		d.await(r)
	}
	for _, s := range d.destinations {
		s.Drain()
	}
	lost := 0
	for _, s := range d.destinations {
		lost += d.finish(s)
	}
	d.ending.Wait()
	if lost > 0 {
		return fmt.Errorf("%d messages are lost, they could not be sent within drain_timeout", lost)
	}
	return nil
}

// await waits until a source has ended, if there is time for that.
func (d *Daemon) await(r *reading) {
	select {
	case <-r.ended:
	case <-d.hurried:
	}
}

// running names what has not ended.
func (d *Daemon) running() (names []string) {
	for _, r := range d.sources {
		if !isClosed(r.ended) {
			names = append(names, "source "+r.name)
		}
	}
	for _, s := range d.destinations {
		if !isClosed(s.ended) {
			names = append(names, s.String())
		}
	}
	if names == nil {
		names = []string{"what an earlier configuration had"}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// finish waits until a destination has ended, and returns how many messages it could not send and does not keep.
func (d *Daemon) finish(s *sending) (lost int) {
	<-s.ended
	s.cancel()
	_, _, _, waiting := s.Counts()
	switch {
	case waiting == 0:
		return 0
	case s.IsKept():
		d.logger.Info("messages stay in the disk buffer", "destination", s.Name, "messages", waiting)
		return 0
	}
	d.logger.Error("messages are lost, they could not be sent in time", "destination", s.Name, "messages", waiting)
	return waiting
}
