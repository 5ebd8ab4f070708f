package destination

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"kad/forwarder/internal/queue"
)

var (
	errSilent  = errors.New("it has not answered for dead_peer_timeout")
	errStalled = errors.New("it has taken nothing for stall_timeout")
	errOpen    = errors.New("it has not closed for dead_peer_timeout, and may not have read all")
)

// While something is on its way the kernel is asked so often what has arrived, and when so many bytes were written since. As long as
// messages come it is asked when they are written; a timer, which would wake threads for it, then has time.
const (
	pollInterval = 5 * time.Millisecond
	pollBytes    = 64 << 10
	pollTimer    = 50 * time.Millisecond
	pollFull     = time.Millisecond // while whoever appends to the queue waits
)

// provenAfter is how long a connection must have lasted for its server to have worked.
const provenAfter = time.Second

// A Status is what a destination with connections is doing.
type Status struct {
	Servers      []string
	Current      string // server in use, or tried
	Connected    string // server of the connection; empty: there is none
	Address      string // of the connection
	Since        time.Time
	Pinned       bool
	Switches     uint64    // connections after the first one
	Reason       string    // of the last failure
	Failed       time.Time // when that was
	Probes       uint64    // of the primary server
	FailedProbes uint64
	GoodProbes   int      // one after the other
	ProbeError   string   // of the last probe
	Errors       []string // of each server, the last one since it worked

	// Messages that were sent again: those that the server's kernel had not acknowledged, and those that it had, but that
	// the server may not have read.
	ResentUnacknowledged, ResentUnread uint64
	UnacknowledgedBytes, UnreadBytes   uint64 // of them
}

// A sender empties the queue of a destination to one server at a time. All but its status is for whoever has the turn: the goroutine of
// run while it does not wait, or one that sends what it has appended to the queue.
type sender struct {
	*Destination
	network  *Network
	servers  []string
	rotation rotation
	timeouts struct{ dead, stall, reopen, probe time.Duration }
	commands chan func()

	turn      sync.Mutex
	ctx       context.Context
	conn      *connection // nil: none; run alone takes and loses one
	failure   error       // of conn, for which run has to lose it; nil: none
	next      *connection // to take the place of conn when that has nothing on its way
	finishing bool        // conn is, all is sent
	ready     bool        // the queue may have something
	pending   []item      // to be written
	drained   bool        // nothing comes any more
	dialing   bool
	probing   bool
	attempts  sync.WaitGroup
	dialed    chan attempt
	poll      *time.Timer   // says due: a channel of its own would cost at each wait
	within    time.Duration // in which poll is due; 0: it does not run
	awaited   bool          // somebody waits for what is on its way to arrive
	due       chan struct{}
	reopen    *time.Timer
	probe     *time.Timer
	probed    time.Time // when the last probe began
	finished  *time.Timer
	errs      []string // the last one of each server, as it was logged

	mu     sync.Mutex
	status Status
}

// An attempt is what came of connecting to a server.
type attempt struct {
	server int
	conn   *connection // nil: probe without use of it, or an error
	probe  bool
	err    error
}

func newSender(d *Destination, n *Network) *sender {
	s := &sender{Destination: d, network: n, servers: []string{n.Address}, commands: make(chan func()), due: make(chan struct{}, 1), dialed: make(chan attempt)}
	t := &s.timeouts
	t.dead, t.stall, t.reopen = time.Duration(n.DeadPeer), time.Duration(n.Stall), time.Duration(n.TimeReopen)
	if f := n.Failover; f != nil {
		s.servers = append(s.servers, f.Servers...)
		if f.Failback != nil {
			s.rotation.required, t.probe = f.Failback.SuccessfulProbesRequired, time.Duration(f.Failback.TCPProbeInterval)
		}
	}
	s.rotation.servers = len(s.servers)
	s.errs = make([]string, len(s.servers))
	s.update(func(st *Status) { st.Servers = s.servers })
	return s
}

func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// run sends until the queue is drained and all has arrived, or ctx ends.
func (s *sender) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	s.ctx = ctx
	s.reopen, s.probe, s.finished = stopped(), stopped(), stopped()
	s.poll = time.AfterFunc(pollInterval, func() { s.due <- struct{}{} })
	s.within = pollInterval
	defer s.poll.Stop()
	s.turn.Lock()
	defer s.turn.Unlock()
	defer s.attempts.Wait()
	defer cancel()
	defer s.closeAll()
	defer s.attend()()
	s.dial()
	for ctx.Err() == nil {
		if s.failure == nil {
			s.advance()
		}
		switch {
		case s.failure != nil:
			s.lose(s.failure)
		case s.drained && s.conn == nil && len(s.pending) == 0:
			return
		default:
			s.wait()()
		}
	}
}

// wait gives up the turn until something happens, and returns what that calls for.
func (s *sender) wait() (event func()) {
	ready := s.queue.Ready() // also without a connection, to learn that nothing comes any more
	var written, gone chan error
	var answered <-chan struct{}
	if c := s.conn; c != nil {
		written = c.written
		if c.relp != nil {
			answered = c.relp.Answered()
		}
		if !c.readDone {
			gone = c.gone
		}
		s.watch()
	}
	if s.drained || len(s.pending) > 0 || s.isBusy() {
		ready = nil
	}
	s.turn.Unlock()
	defer s.turn.Lock()
	select {
	case <-ready:
		return func() { s.ready = true }
	case err := <-written:
		return func() { s.wrote(err) }
	case err := <-gone:
		return func() { s.ended(err) }
	case <-s.due:
		return s.pollDue
	case <-answered:
		return s.acknowledge
	case a := <-s.dialed:
		return func() { s.tried(a) }
	case <-s.reopen.C:
		return s.dial
	case <-s.probe.C:
		return s.startProbe
	case <-s.finished.C:
		return s.finishedDue
	case f := <-s.commands:
		return f
	case <-s.ctx.Done():
		return func() {}
	}
}

// wrote goes on after what was written later.
func (s *sender) wrote(err error) {
	s.conn.busy, s.conn.writeErr = false, err
	if s.fail(err); err == nil {
		s.acknowledge()
	}
}

// ended is when the server has gone.
func (s *sender) ended(err error) {
	s.conn.readDone, s.conn.readErr = true, err
	if err == nil {
		err = errClosed
	}
	s.fail(err)
}

// fail says that the connection is of no more use, unless err is nil.
func (s *sender) fail(err error) {
	if s.failure == nil {
		s.failure = err
	}
}

func (s *sender) pollDue() {
	s.within = 0
	if s.conn != nil {
		s.acknowledge()
	}
}

// finishedDue is for a server that does not close, though all has arrived.
func (s *sender) finishedDue() {
	if s.next != nil {
		s.fail(errOpen)
	} else {
		s.leave()
	}
}

// isBusy tells whether there is a connection that takes nothing now.
func (s *sender) isBusy() bool {
	return s.conn != nil && (s.conn.busy || s.next != nil || s.finishing)
}

// fetch takes batches out of the queue, if nothing is pending.
func (s *sender) fetch() {
	if !s.ready || s.drained || len(s.pending) > 0 {
		return
	}
	s.ready = false
	list, ended := s.queue.Try(maxWrite)
	s.drained = ended
	for _, b := range list {
		s.pending = append(s.pending, item{Batch: b, queued: true})
	}
}

// advance writes what there is, or leaves the connection that is not needed any more.
func (s *sender) advance() {
	for !s.isBusy() {
		s.fetch() // also without a connection, to learn that nothing comes any more
		if s.conn == nil || len(s.pending) == 0 {
			break
		}
		if s.send(); s.failure != nil {
			return
		}
	}
	c := s.conn
	if c == nil || c.busy || s.finishing || len(c.window.items) > 0 {
		return
	}
	if s.next != nil || s.drained {
		s.finishing = true
		s.fail(c.finish())
		s.finished.Reset(s.timeouts.dead)
	}
}

// send writes what is pending. Somebody may wait for it to arrive.
func (s *sender) send() {
	c, now := s.conn, time.Now()
	waits := len(c.window.items) > 0
	awaited := slices.ContainsFunc(s.pending, func(i item) bool { return len(i.Receipts) > 0 })
	s.awaited = awaited || s.awaited && waits
	err := c.send(s.pending, now)
	clear(s.pending)
	s.pending = s.pending[:0]
	switch {
	case err != nil:
		s.fail(err)
	case !c.busy && (awaited || c.window.written-c.asked >= pollBytes || waits && now.Sub(c.polled) >= pollInterval):
		s.acknowledge()
	}
}

// watch has the kernel asked again if something is on its way: soon if somebody waits for it to arrive, but not while messages come
// all the time and have room.
func (s *sender) watch() {
	c := s.conn
	if !c.busy && len(c.window.items) == 0 {
		return
	}
	within := pollTimer
	switch {
	case s.queue.IsFull():
		within = pollFull
	case c.busy, s.awaited, s.drained, s.next != nil, s.within == 0 && time.Since(c.polled) >= pollTimer:
		within = pollInterval
	}
	if s.within == 0 || within < s.within {
		s.within = within
		s.poll.Reset(within)
	}
}

// attend has whoever appends to the queue write by itself, as long as release is not called.
func (s *sender) attend() (release func()) {
	q, ok := s.queue.(*queue.Memory)
	if !ok { // one on disk may have to be read
		return func() {}
	}
	q.Attend(s.offer)
	return func() { q.Attend(nil) }
}

// offer writes what the queue has, without waiting for anybody, and so saves waking run. It tells whether run has nothing to do.
func (s *sender) offer() bool {
	if !s.turn.TryLock() {
		return false
	}
	defer s.turn.Unlock()
	if s.conn == nil || s.isBusy() || s.failure != nil || len(s.pending) > 0 {
		return false
	}
	s.ready = true
	if s.fetch(); len(s.pending) > 0 {
		s.send()
		s.watch()
	}
	return s.failure == nil && !s.drained
}

// acknowledge lets go what has arrived, and finds out whether nothing more does.
func (s *sender) acknowledge() {
	c := s.conn
	if err := c.poll(); err != nil {
		s.fail(err)
		return
	}
	s.settle(c)
	if len(c.window.items) == 0 {
		return
	}
	switch {
	case time.Since(c.changed) > s.timeouts.stall:
		s.rotation.stalled = s.rotation.stalled || c.server == 0
		s.fail(errStalled)
	case c.isSilent(s.timeouts.dead):
		s.fail(errSilent)
	}
}

// settle acknowledges in the queue what has arrived.
func (s *sender) settle(c *connection) {
	batches, a := c.window.acknowledge(c.messageBytes(c.arrived), s.unread(c))
	if batches > 0 {
		s.hold(c)
		s.queue.Ack(batches)
		s.sent.Add(uint64(a.messages))
		s.sentBytes.Add(uint64(a.bytes))
	}
	c.window.keep()
}

// hold tells the queue from where on messages may have to be sent again, by a process after this one too.
func (s *sender) hold(c *connection) {
	oldest := c.window.oldest()
	if oldest == nil && len(s.pending) > 0 {
		oldest = s.pending[0].Batch
	}
	s.queue.Hold(oldest)
}

// unread is how many of the bytes that the server has acknowledged may be lost with it.
func (s *sender) unread(c *connection) int64 {
	if s.network.ReplayWindow == autoWindow {
		return min(c.unread(), maxAutoWindow)
	}
	return int64(s.network.ReplayWindow)
}

// lose gives up the connection. What the server may not have comes first on the next one.
func (s *sender) lose(reason error) {
	c := s.conn
	reason = cause(reason)
	hasRead := c.close()
	s.settle(c)
	unread := int64(0)
	if !hasRead {
		unread = s.unread(c)
	}
	finished := s.finishing && hasRead
	items, unacknowledged, acknowledged := c.window.replay(unread)
	if finished {
		reason = nil
	} else {
		s.logger.Warn("connection lost", "server", s.servers[c.server], "error", reason,
			"resent_unacknowledged", unacknowledged.messages, "resent_unread", acknowledged.messages)
		s.errs[c.server] = reason.Error()
		if lacking := c.unread() - unread; !hasRead && s.network.ReplayWindow == autoWindow && lacking > 0 {
			s.logger.Warn("the server may have left more unread than is kept to be sent again", "bytes", lacking)
		}
	}
	s.pending = append(items, s.pending...)
	s.hold(c)
	s.update(func(st *Status) {
		st.Connected, st.Address = "", ""
		if reason != nil {
			st.Reason, st.Failed = reason.Error(), time.Now()
		}
		st.ResentUnread += uint64(acknowledged.messages)
		st.ResentUnacknowledged += uint64(unacknowledged.messages)
		st.UnreadBytes += uint64(acknowledged.bytes)
		st.UnacknowledgedBytes += uint64(unacknowledged.bytes)
	})
	s.conn, s.failure, s.finishing = nil, nil, false
	s.finished.Stop()
	switch {
	case s.next != nil:
		s.takeNext()
	case s.drained && len(s.pending) == 0:
	case s.rotation.fail(time.Since(c.since) >= min(provenAfter, s.timeouts.reopen)):
		s.reopen.Reset(s.timeouts.reopen)
	default:
		s.dial()
	}
}

// leave ends the last connection, of which all has arrived.
func (s *sender) leave() {
	s.conn.close()
	s.settle(s.conn)
	s.conn, s.failure, s.finishing = nil, nil, false
}

func (s *sender) takeNext() {
	c := s.next
	s.next = nil
	s.rotation.use(c.server, s.rotation.pinned)
	s.take(c)
}

// take makes c the connection.
func (s *sender) take(c *connection) {
	s.conn = c
	s.reopen.Stop()
	address := c.tcp.RemoteAddr().String()
	s.logger.Info("connected", "server", s.servers[c.server], "address", address)
	s.errs[c.server] = ""
	s.update(func(st *Status) {
		if !st.Since.IsZero() {
			st.Switches++
		}
		st.Connected, st.Address, st.Since = s.servers[c.server], address, time.Now()
	})
	if s.rotation.probes() {
		s.probe.Reset(s.timeouts.probe)
	} else {
		s.probe.Stop()
	}
}

// dial tries the current server, unless an attempt is under way.
func (s *sender) dial() {
	if s.dialing {
		return
	}
	s.dialing = true
	server := s.rotation.current
	s.attempts.Go(func() {
		conn, err := s.connect(server)
		s.report(attempt{server: server, conn: conn, err: err})
	})
}

func (s *sender) connect(server int) (*connection, error) {
	l, err := s.network.dial(s.ctx, s.servers[server])
	if err != nil {
		return nil, err
	}
	return newConnection(server, l)
}

func (s *sender) report(a attempt) {
	select {
	case s.dialed <- a:
	case <-s.ctx.Done():
		if a.conn != nil {
			a.conn.close()
		}
	}
}

// startProbe connects to the primary server as it would be done in earnest if the connection is to be used, else by TCP
// alone.
func (s *sender) startProbe() {
	if s.probing || !s.rotation.probes() {
		return
	}
	s.probing, s.probed = true, time.Now()
	last, stalled := s.rotation.isLast(), s.rotation.stalled
	s.attempts.Go(func() {
		a := attempt{probe: true}
		if stalled || !last {
			a.err = s.network.probe(s.ctx, s.servers[0], stalled)
		}
		if a.err == nil && last {
			a.conn, a.err = s.connect(0)
		}
		s.report(a)
	})
}

// tried goes on after an attempt.
func (s *sender) tried(a attempt) {
	if a.probe {
		s.triedProbe(a)
		return
	}
	s.dialing = false
	switch {
	case a.server != s.rotation.current: // another one was asked for meanwhile
		if a.conn != nil {
			a.conn.close()
		}
		if s.conn == nil || s.conn.server != s.rotation.current {
			s.dial()
		}
	case a.err == nil && s.conn == nil:
		s.take(a.conn)
	case a.err == nil:
		s.next = a.conn
	default:
		s.failed(a)
	}
}

// failed logs the first error of a server, and each that differs.
func (s *sender) failed(a attempt) {
	text := a.err.Error()
	if text != s.errs[a.server] {
		s.errs[a.server] = text
		s.logger.Warn("server failed", "server", s.servers[a.server], "error", a.err)
	}
	switch {
	case s.conn != nil: // it was asked for
		s.rotation.use(s.conn.server, false)
	case s.rotation.fail(false):
		s.reopen.Reset(s.timeouts.reopen)
	default:
		s.dial()
	}
	s.update(func(st *Status) { st.Reason, st.Failed = text, time.Now() })
}

func (s *sender) triedProbe(a attempt) {
	s.probing = false
	back := s.rotation.probed(a.err == nil)
	s.update(func(st *Status) {
		st.ProbeError = ""
		st.Probes++
		if a.err != nil {
			st.FailedProbes++
			st.ProbeError = a.err.Error()
		}
	})
	switch {
	case back && a.conn != nil && s.conn != nil && !s.finishing && s.next == nil:
		s.logger.Info("primary server is back", "server", s.servers[0])
		s.next = a.conn
		return
	case a.conn != nil:
		a.conn.close()
	}
	if s.rotation.probes() {
		s.probe.Reset(max(0, time.Until(s.probed.Add(s.timeouts.probe))))
	}
}

// closeAll closes the connections. What has not arrived stays in the queue, and in pending with what may be unread.
func (s *sender) closeAll() {
	if s.next != nil {
		s.next.close()
		s.next = nil
	}
	c := s.conn
	if c == nil {
		return
	}
	s.conn = nil
	hasRead := c.close()
	s.settle(c)
	unread := int64(0)
	if !hasRead && !(s.finishing && len(c.window.items) == 0) {
		unread = s.unread(c)
	}
	items, _, _ := c.window.replay(unread)
	s.pending = append(items, s.pending...)
	s.hold(c)
}

func (s *sender) update(f func(st *Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
	s.status.Errors = slices.Clone(s.errs)
	s.status.Current, s.status.Pinned, s.status.GoodProbes = s.servers[s.rotation.current], s.rotation.pinned, s.rotation.good
}

// Status tells which server is in use. Only a destination with connections has one.
func (d *Destination) Status() (st Status, ok bool) {
	if d.sender == nil {
		return Status{}, false
	}
	d.sender.mu.Lock()
	defer d.sender.mu.Unlock()
	return d.sender.status, true
}

// Switch makes the destination use a server of its list, for good if it is pinned: no other one is used until Unpin.
func (d *Destination) Switch(ctx context.Context, server string, pin bool) error {
	return d.command(ctx, func(s *sender) error {
		for i, name := range s.servers {
			if name == server {
				s.rotation.use(i, pin)
				if s.conn == nil || s.conn.server != i {
					s.dial()
				}
				return nil
			}
		}
		return fmt.Errorf("destination %s has no server %q, only %q", d.Name, server, s.servers)
	})
}

// Unpin lets the destination use all of its servers again.
func (d *Destination) Unpin(ctx context.Context) error {
	return d.command(ctx, func(s *sender) error {
		s.rotation.pinned = false
		if s.conn != nil && s.rotation.probes() {
			s.probe.Reset(s.timeouts.probe)
		}
		return nil
	})
}

// command runs f where run is.
func (d *Destination) command(ctx context.Context, f func(s *sender) error) error {
	if d.sender == nil {
		return fmt.Errorf("destination %s has no servers", d.Name)
	}
	result := make(chan error, 1)
	select {
	case d.sender.commands <- func() {
		err := f(d.sender)
		d.sender.update(func(*Status) {})
		result <- err
	}:
		return <-result
	case <-ctx.Done():
		return ctx.Err()
	}
}
