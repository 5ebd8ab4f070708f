package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kad/forwarder/internal/stats"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// lookInterval is how often the daemon looks after its parts; systemd's watchdog may want it oftener.
const lookInterval = 5 * time.Second

// A watch looks whether messages go on, and tells systemd. The goroutine of Run has it, so that systemd hears nothing when
// that one hangs either.
type watch struct {
	ticker  *time.Ticker
	fed     bool     // systemd has a watchdog
	hanging []string // parts that do nothing, though they do not wait for anybody
	status  string   // as systemd was told
}

func (d *Daemon) newWatch() *watch {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		d.logger.Warn("watchdog of systemd is not known", "error", err)
	}
	w := &watch{fed: interval > 0}
	if interval = interval / 2; !w.fed {
		interval = lookInterval
	}
	w.ticker = time.NewTicker(min(interval, lookInterval))
	return w
}

// look finds out what hangs. The watchdog is fed only when nothing does.
func (d *Daemon) look() {
	w := d.watch
	hanging := d.hangs()
	if !slices.Equal(hanging, w.hanging) {
		if len(hanging) > 0 {
			d.logger.Error("messages do not go on", "hanging", hanging)
		} else {
			d.logger.Info("messages go on again")
		}
		w.hanging = hanging
	}
	if w.fed && len(hanging) == 0 {
		d.notify(systemd.SdNotifyWatchdog)
	}
	if status := essence(d.snapshot()); status != w.status {
		w.status = status
		d.notify("STATUS=" + status)
	}
}

// hangs are the parts that have done nothing since the last look, though they neither wait for messages nor for somebody
// who takes them.
func (d *Daemon) hangs() (list []string) {
	for _, r := range d.sources {
		if r.input.Hangs() {
			list = append(list, "source "+r.name)
		}
	}
	for _, s := range d.destinations {
		s.Queue() // which readers may wait for: if it hangs, so do we
		if s.hangs() {
			list = append(list, s.String())
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// hangs tells whether the destination has not answered since the last look.
func (s *sending) hangs() bool {
	select {
	case <-s.answered:
	default:
		if s.answered != nil {
			return true
		}
	}
	answered := make(chan struct{})
	s.answered = answered
	go func() {
		_ = s.Answer(s.ctx) // when ctx ends there is nothing to wait for
		close(answered)
	}()
	return false
}

// Health is nil when messages go on.
func (e engine) Health() (err error) {
	if !e.do(func() {
		if h := e.watch.hanging; len(h) > 0 {
			err = fmt.Errorf("messages do not go on: %s", strings.Join(h, ", "))
		}
	}) {
		return errors.New("forwarder stops")
	}
	return err
}

// essence is a snapshot in a line: what is not as it should be, and how much waits.
func essence(s stats.Snapshot) string {
	parts := []string{fmt.Sprintf("%d sources, %d destinations", len(s.Sources), len(s.Destinations))}
	queued := 0
	for i := range s.Destinations {
		d := &s.Destinations[i]
		queued += d.Queued
		switch {
		case d.State == stats.Failing || d.State == stats.Disconnected:
			parts = append(parts, fmt.Sprintf("%s: %s", d.Name, d.State))
		case d.Server != nil && d.Server.Current != d.Server.Servers[0]:
			parts = append(parts, fmt.Sprintf("%s: %s in use", d.Name, d.Server.Current))
		}
	}
	return strings.Join(append(parts, fmt.Sprintf("%d queued", queued)), "; ")
}
