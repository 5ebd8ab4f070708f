package daemon

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"kad/forwarder/internal/config"
	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/source"
	"kad/forwarder/internal/stats"
	"kad/pkg/vip"
)

// Status is what the daemon knows about itself.
func (e engine) Status() (s stats.Snapshot) {
	e.do(func() { s = e.snapshot() })
	return s
}

func (d *Daemon) snapshot() stats.Snapshot {
	s := stats.Snapshot{
		Schema: stats.Schema, Time: time.Now(), Version: d.Version, Started: d.started, Configuration: d.loads,
		Sources: []stats.Source{}, Paths: []stats.Path{}, Destinations: []stats.Destination{},
		Certificates: []stats.Certificate{}, VIPs: []stats.VIP{},
	}
	for _, dest := range d.config.Destinations {
		s.Destinations = append(s.Destinations, describe(d.destinations[dest.String()].Destination))
	}
	for _, source := range d.config.Sources {
		for i := range source.Drivers {
			s.Sources = append(s.Sources, d.describeSource(source, i, s.Destinations))
		}
	}
	d.config.Graph.Each(func(name string, p *logpath.Statement) {
		s.Paths = append(s.Paths, stats.Path{Name: name, Matched: p.Matched.Load()})
	})
	d.describeCertificates(&s)
	for address, held := range vip.Local.Tracked() {
		s.VIPs = append(s.VIPs, stats.VIP{Address: address.String(), IsHeld: held})
	}
	slices.SortFunc(s.VIPs, func(a, b stats.VIP) int { return strings.Compare(a.Address, b.Address) })
	return s
}

// describeCertificates adds those of sources and destinations.
func (d *Daemon) describeCertificates(s *stats.Snapshot) {
	add := func(user string, c *x509.Certificate) {
		if c != nil {
			s.Certificates = append(s.Certificates, stats.Certificate{User: user, NotAfter: c.NotAfter})
		}
	}
	for _, source := range d.config.Sources {
		for i := range source.Drivers {
			name := config.SourceText(source.Name, i)
			add(name, d.sources[name].input.Certificate())
		}
	}
	for _, dest := range d.config.Destinations {
		add(dest.String(), d.destinations[dest.String()].Certificate())
	}
}

// describeSource describes a driver of a source, and notes in destinations whether it waits for them.
func (d *Daemon) describeSource(from *config.Source, index int, destinations []stats.Destination) stats.Source {
	reading := d.sources[config.SourceText(from.Name, index)]
	in := reading.input
	c := in.Counts()
	s := stats.Source{
		Name: from.Name, Index: index, Driver: in.Driver().Settings().Driver,
		Received: c.Received, Truncated: c.Truncated, ParseErrors: c.ParseErrors, FrameErrors: c.FrameErrors, TLSErrors: c.TLSErrors,
		Refused: c.Refused, KernelDrops: c.KernelDrops, Connections: c.Connections, BlockedBy: []string{},
	}
	if streamer, ok := reading.runner.(source.Streamer); ok {
		stream := streamer.Stream()
		s.Stream = &stream
	}
	for sink := range in.Waits() {
		if dest, ok := sink.(*destination.Destination); ok && dest.Queue().Waiters > 0 {
			s.BlockedBy = append(s.BlockedBy, dest.Name)
		}
	}
	slices.Sort(s.BlockedBy)
	for i := range destinations {
		if to := &destinations[i]; slices.Contains(s.BlockedBy, to.Name) && !slices.Contains(to.Blocks, s.Name) {
			to.Blocks = append(to.Blocks, s.Name)
		}
	}
	return s
}

// describe describes a destination.
func describe(d *destination.Destination) stats.Destination {
	routed, _, sent, _ := d.Counts()
	q := d.Queue()
	s := stats.Destination{
		Name: d.Name, Driver: d.Driver(), Routed: routed, Sent: sent,
		Dropped: d.Dropped(), Resent: map[string]uint64{}, SentBytes: d.SentBytes(), ResentBytes: map[string]uint64{},
		Queued: q.Messages, Bytes: q.Bytes, Oldest: q.Oldest, IsOnDisk: d.IsKept(),
		Blocked: q.Blocked.Seconds(), Blocks: []string{}, Batches: q.Batches, Delays: q.Delays,
	}
	if q.Disk != nil {
		s.Disk = &stats.Disk{Used: q.Disk.Used, Capacity: q.Disk.Capacity, Lost: q.Disk.Lost}
	}
	if stream, resent := d.Stream(); stream != nil {
		s.Stream = stream
		s.Resent["unacknowledged"] = resent
	}
	status, ok := d.Status()
	if !ok {
		s.State = stats.Working
		if s.Error = d.Failure(); s.Error != "" {
			s.State = stats.Failing
		}
		return s
	}
	s.Resent["unacknowledged"], s.Resent["unread"] = status.ResentUnacknowledged, status.ResentUnread
	s.ResentBytes["unacknowledged"], s.ResentBytes["unread"] = status.UnacknowledgedBytes, status.UnreadBytes
	s.Server = &stats.Server{
		Servers: status.Servers, Current: status.Current, Address: status.Address, Since: status.Since, IsPinned: status.Pinned,
		Switches: status.Switches, Probes: status.Probes, FailedProbes: status.FailedProbes, GoodProbes: status.GoodProbes,
		ProbeError: status.ProbeError, Errors: status.Errors, Failed: status.Failed,
	}
	s.State, s.Error = stats.Connected, status.Reason
	if status.Connected == "" {
		s.State = stats.Disconnected
	}
	return s
}
