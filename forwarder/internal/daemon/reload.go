package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/config"
	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/source"
	"kad/forwarder/internal/stats"

	"github.com/coreos/go-systemd/v22/activation"
	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// A candidate is a generation that is to take the place of the one that runs.
type candidate struct {
	*generation
	program  *logpath.Program
	internal []*source.Internal
	opened   []func() // what to close if it comes to nothing
	heirs    []heir
}

// An heir is a destination that goes on with the queue of the one before.
type heir struct {
	*destination.Destination
	before *destination.Destination
}

// build opens all that c needs and that does not run already. When it fails, nothing is open that was not before.
func (d *Daemon) build(c *config.Config) (*candidate, error) {
	next := &candidate{generation: &generation{config: c, sources: map[string]*reading{}, destinations: map[string]*sending{}}}
	sockets := &source.Sockets{}
	defer sockets.Close()
	err := d.lend(sockets, c)
	if err == nil {
		err = errors.Join(d.buildDestinations(next), d.buildSources(next, sockets))
	}
	if err != nil {
		for _, close := range next.opened {
			close()
		}
		return nil, err
	}
	return next, nil
}

// isKept tells whether what the text of this name describes is the same in the configuration that runs.
func (d *Daemon) isKept(c *config.Config, text string) bool {
	return d.config != nil && d.config.Texts[text] == c.Texts[text]
}

// lend adds the sockets that the sources of c may take over: from systemd at the start, then from sources that end.
func (d *Daemon) lend(sockets *source.Sockets, c *config.Config) error {
	if d.config == nil {
		files := activation.Files(true)
		d.store.inherit(files)
		for _, f := range files {
			if err := sockets.Add(f); err != nil {
				return fmt.Errorf("socket %s of systemd: %w", f.Name(), err)
			}
		}
	}
	for name, r := range d.sources {
		if !d.isKept(c, name) {
			if err := r.input.Lend(sockets); err != nil {
				return fmt.Errorf("source %s: %w", r.name, err)
			}
		}
	}
	return nil
}

func (d *Daemon) buildDestinations(next *candidate) (err error) {
	kept := map[logpath.Sink]logpath.Sink{}
	for _, dest := range next.config.Destinations {
		name := dest.String()
		if d.isKept(next.config, name) {
			next.destinations[name] = d.destinations[name]
			kept[dest] = d.destinations[name].Destination
			continue
		}
		if before := d.destinations[name]; before != nil && dest.CanInherit(before.Destination) {
			next.destinations[name] = &sending{Destination: dest}
			next.heirs = append(next.heirs, heir{dest, before.Destination})
			continue
		}
		if openErr := dest.Open(d.logger); openErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, openErr))
			continue
		}
		next.opened = append(next.opened, func() { _ = dest.Close() }) // nothing is in it
		next.destinations[name] = &sending{Destination: dest}
	}
	next.config.Graph.Kept = kept
	d.keepCounters(next.config.Graph)
	next.program = logpath.Compile(next.config.Graph)
	return err
}

// keepCounters makes statements go on counting that had the same name in the configuration that runs.
func (d *Daemon) keepCounters(g *logpath.Graph) {
	if d.config == nil {
		return
	}
	counters := map[string]*atomic.Uint64{}
	d.config.Graph.Each(func(name string, s *logpath.Statement) { counters[name] = s.Matched })
	g.Each(func(name string, s *logpath.Statement) { s.Matched = counters[name] })
}

func (d *Daemon) buildSources(next *candidate, sockets *source.Sockets) (err error) {
	for _, s := range next.config.Sources {
		for i, driver := range s.Drivers {
			name := config.SourceText(s.Name, i)
			if d.isKept(next.config, name) {
				next.sources[name] = d.sources[name]
				continue
			}
			in := source.NewInput(s.Name, driver, next.program, next.program.Entry(s.Name, i), d.logger)
			in.Sockets, in.Tap = sockets, &d.tapped
			if before := d.sources[name]; before != nil {
				in.Before = before.ended
			}
			runner, openErr := driver.Open(in)
			if openErr != nil {
				err = errors.Join(err, fmt.Errorf("source %s: %w", s.Name, openErr))
				continue
			}
			next.opened = append(next.opened, in.Close)
			next.sources[name] = &reading{input: in, runner: runner, name: s.Name, driver: i}
		}
	}
	next.internal = internals(next.sources)
	return err
}

// internals are the sources that have what we log.
func internals(sources map[string]*reading) (list []*source.Internal) {
	for _, r := range sources {
		if in, ok := r.input.Driver().(*source.Internal); ok {
			list = append(list, in)
		}
	}
	return list
}

// reload changes to the configuration as it is now. If that is not possible the one before goes on.
func (d *Daemon) reload() error {
	d.notify(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
	defer d.notify(systemd.SdNotifyReady)
	c, err := d.load()
	var next *candidate
	if err == nil {
		next, err = d.build(c)
	}
	if err != nil {
		d.logger.Error("configuration is not loaded, the one before goes on", "error", err)
		d.loads.Failed++
		d.loads.Error = err.Error()
		return err
	}
	d.change(next)
	d.loads = stats.Configuration{Loaded: time.Now(), Reloads: d.loads.Reloads + 1, Failed: d.loads.Failed}
	d.logger.Info("configuration is loaded")
	return nil
}

// change lets next take the place of what runs. Sources that stay take the new program from their next read on; those that
// end finish what they have read; and a destination that ends sends what it has, when nothing leads to it any more, unless
// the one in its place does.
func (d *Daemon) change(next *candidate) {
	before := d.generation
	d.generation = next.generation
	inherited := map[*destination.Destination]bool{}
	for _, h := range next.heirs {
		inherited[h.before] = true
		if err := h.Inherit(h.before); err != nil {
			d.logger.Error("an option needs a restart", "destination", h.Name, "error", err)
		}
	}
	d.start()
	d.keepSockets()
	d.log.internal.Store(&next.internal)
	var busy []func() bool
	for name, r := range next.sources {
		if before.sources[name] == r {
			busy = append(busy, r.input.SetRoute(next.program, next.program.Entry(r.name, r.driver)))
		}
	}
	var leaving []*reading
	for name, r := range before.sources {
		if next.sources[name] != r {
			if next.sources[name] != nil {
				r.input.HandOver()
			}
			r.cancel()
			leaving = append(leaving, r)
		}
	}
	limit := time.Duration(d.config.DrainTimeout)
	var retired []*sending
	for name, s := range before.destinations {
		switch {
		case inherited[s.Destination]:
			s.bound(limit, next.destinations[name])
		case next.destinations[name] != s:
			retired = append(retired, s)
		}
	}
	d.ending.Go(func() { d.retire(leaving, busy, retired, limit) })
}

// bound has a destination end that another one goes on for: when limit is over, or the other one has to end.
func (s *sending) bound(limit time.Duration, other *sending) {
	timer := time.AfterFunc(limit, s.cancel)
	context.AfterFunc(other.ctx, s.cancel)
	go func() {
		<-s.ended
		timer.Stop()
	}()
}

// retire ends destinations when the sources that knew them are done with them.
func (d *Daemon) retire(leaving []*reading, busy []func() bool, retired []*sending, limit time.Duration) {
	deadline := time.AfterFunc(limit, func() {
		for _, s := range retired {
			s.cancel()
		}
	})
	defer deadline.Stop()
	for _, r := range leaving {
		d.await(r)
	}
	for _, isBusy := range busy {
		for isBusy() {
			time.Sleep(time.Millisecond)
		}
	}
	for _, s := range retired {
		s.Drain()
	}
	for _, s := range retired {
		d.finish(s)
	}
}
