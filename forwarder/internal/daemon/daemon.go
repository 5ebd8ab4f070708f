// Package daemon runs a configuration: it opens the sources, runs them and the destinations, and stops in the order in
// which messages go.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"kad/forwarder/internal/config"
	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/source"
	"kad/pkg/syslog"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// A Daemon is a configuration at work.
type Daemon struct {
	config  *config.Config
	logger  *slog.Logger
	runners []source.Runner
}

// New opens everything that can fail and starts nothing.
func New(c *config.Config, stderr io.Writer) (*Daemon, error) {
	d := &Daemon{config: c}
	log := &handler{Handler: textHandler(stderr)}
	d.logger = slog.New(log)
	program := logpath.Compile(c.Graph)
	var errs []error
	for _, s := range c.Sources {
		for i, driver := range s.Drivers {
			runner, err := driver.Open(source.NewInput(s.Name, driver, program, program.Entry(s.Name, i), d.logger))
			if err != nil {
				errs = append(errs, fmt.Errorf("source %s: %w", s.Name, err))
				continue
			}
			if in, ok := driver.(*source.Internal); ok {
				log.internal = append(log.internal, in)
			}
			d.runners = append(d.runners, runner)
		}
	}
	for _, dest := range c.Destinations {
		if err := dest.Open(d.logger); err != nil {
			errs = append(errs, fmt.Errorf("destination %s: %w", dest.Name, err))
		}
	}
	return d, errors.Join(errs...)
}

func textHandler(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && os.Getenv("JOURNAL_STREAM") != "" {
			return slog.Attr{} // the journal has it
		}
		return a
	}})
}

// Run works until ctx ends, then drains: the sources stop, what they have read is sent, for at most drain_timeout.
func (d *Daemon) Run(ctx context.Context) error {
	sending, cancel := context.WithCancel(context.Background())
	defer cancel()
	var senders, readers sync.WaitGroup
	for _, dest := range d.config.Destinations {
		senders.Go(func() { d.check(dest.String(), dest.Run(sending, d.logger)) })
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	for _, r := range d.runners {
		readers.Go(func() { d.check("source", r.Run(reading)) })
	}
	reopen := make(chan os.Signal, 1)
	signal.Notify(reopen, syscall.SIGUSR1)
	defer signal.Stop(reopen)
	d.notify(systemd.SdNotifyReady)
	for ctx.Err() == nil {
		select {
		case <-reopen:
			for _, dest := range d.config.Destinations {
				dest.Reopen()
			}
		case <-ctx.Done():
		}
	}
	d.notify(systemd.SdNotifyStopping)
	return d.drain(&readers, &senders, cancel)
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

// drain waits for the sources, then for the destinations, and says what is lost when it has waited long enough.
func (d *Daemon) drain(readers, senders *sync.WaitGroup, cancel func()) error {
	timer := time.AfterFunc(time.Duration(d.config.DrainTimeout), cancel)
	defer timer.Stop()
	readers.Wait()
	for _, dest := range d.config.Destinations {
		dest.Drain()
	}
	senders.Wait()
	lost := 0
	for _, dest := range d.config.Destinations {
		_, _, _, waiting := dest.Counts()
		switch {
		case waiting > 0 && dest.IsKept():
			d.logger.Info("messages stay in the disk buffer", "destination", dest.Name, "messages", waiting)
		case waiting > 0:
			lost += waiting
			d.logger.Error("messages are lost, they could not be sent in time", "destination", dest.Name, "messages", waiting)
		}
	}
	if lost > 0 {
		return fmt.Errorf("%d messages are lost, they could not be sent within drain_timeout", lost)
	}
	return nil
}

// Destinations are those of the configuration.
func (d *Daemon) Destinations() []*destination.Destination { return d.config.Destinations }

// A handler logs, and gives what it logs to the internal sources.
type handler struct {
	slog.Handler
	internal []*source.Internal
	attrs    []slog.Attr
	parent   *handler
}

// WithAttrs keeps the attributes for the internal sources too.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{Handler: h.Handler.WithAttrs(attrs), attrs: append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...), parent: h.root()}
}

func (h *handler) root() *handler {
	if h.parent != nil {
		return h.parent
	}
	return h
}

// Handle logs r.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if internal := h.root().internal; len(internal) > 0 {
		line := h.line(r)
		for _, in := range internal {
			in.Log(line)
		}
	}
	return h.Handler.Handle(ctx, r)
}

// line is r as a syslog message.
func (h *handler) line(r slog.Record) []byte {
	severity := map[slog.Level]syslog.Severity{slog.LevelError: syslog.Err, slog.LevelWarn: syslog.Warning, slog.LevelInfo: syslog.Info}
	s, ok := severity[r.Level]
	if !ok {
		s = syslog.Debug
	}
	line := syslog.AppendPriority(nil, syslog.NewPriority(syslog.Syslog, s))
	line = r.Time.AppendFormat(line, time.RFC3339)
	line = fmt.Appendf(line, " forwarder[%d]: %s", os.Getpid(), r.Message)
	add := func(a slog.Attr) bool {
		line = append(append(append(append(line, ' '), a.Key...), '='), strconv.Quote(a.Value.String())...)
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	return line
}
