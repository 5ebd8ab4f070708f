package loadgen

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"kad/pkg/syslog"
)

// A Sender sends the messages of one run, as a client with several servers does: what a server's kernel, or by RELP the server, has
// not acknowledged when it fails goes to the next server.
type Sender struct {
	Options
	run     uint32
	tls     *tls.Config
	log     *slog.Logger
	clients []*client
	answers answers // by RELP
	began   time.Time
	ended   time.Time
}

// Sent is what a Sender has done.
type Sent struct {
	Run         string   `json:"run"`
	Sent        int64    `json:"sent"`       // messages that a server's kernel has acknowledged; RELP: the server; UDP: that were written
	Unsent      int64    `json:"unsent"`     // that no server took
	Resent      int64    `json:"resent"`     // that were written again to the next server
	Reconnects  int64    `json:"reconnects"` // beyond the first connection of each
	SendSeconds float64  `json:"send_seconds"`
	Answers     *Latency `json:"answer_ms,omitempty"` // by RELP, from sending to the answer
}

// NewSender checks the options.
func NewSender(o Options, log *slog.Logger) (*Sender, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	config, err := o.TLS.load()
	if err != nil {
		return nil, err
	}
	config.DynamicRecordSizingDisabled = true
	s := &Sender{Options: o, run: rand.Uint32() | 1, tls: config, log: log}
	for i := range o.Connections {
		s.clients = append(s.clients, newClient(s, i))
	}
	return s, nil
}

// RunID is in the mark of each message; it is not 0.
func (s *Sender) RunID() uint32 { return s.run }

// Run sends until all is sent, or ctx ends, and what was sent until then is acknowledged.
func (s *Sender) Run(ctx context.Context) {
	if s.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Duration)
		defer cancel()
	}
	s.began = time.Now()
	var all sync.WaitGroup
	for _, c := range s.clients {
		all.Go(func() { c.run(ctx) })
	}
	all.Wait()
	s.ended = time.Now()
}

// Written is how many messages were written until now, those written again not counted.
func (s *Sender) Written() (n int64) {
	for _, c := range s.clients {
		n += c.written.Load()
	}
	return n
}

// Tell tells a Tally how many messages there are. Call it after Run.
func (s *Sender) Tell(t *Tally) (total int64) {
	for _, c := range s.clients {
		t.expect(s.run, c.index, s.Connections, c.planned())
		total += c.planned()
	}
	return total
}

// Result sums up. Call it after Run.
func (s *Sender) Result() Sent {
	r := Sent{Run: runName(s.run), SendSeconds: s.ended.Sub(s.began).Seconds(), Answers: s.answers.summary()}
	for _, c := range s.clients {
		r.Sent += c.next
		r.Unsent += c.planned() - c.next
		r.Resent += c.resent
		r.Reconnects += max(0, c.connects-1)
	}
	return r
}

// batchSize is how many bytes are written at once.
const batchSize = 64 << 10

// A client is one connection and those after it.
type client struct {
	*Sender
	index    int
	total    int64 // messages; 0: not known yet
	rate     float64
	next     int64 // number of the next message
	highest  int64 // beyond the last that was ever written
	written  atomic.Int64
	server   int
	connects int64
	resent   int64

	frame  []byte // a message with its framing
	markAt int
	second int64 // of the frame's header
	batch  []byte
}

func newClient(s *Sender, index int) *client {
	c := &client{Sender: s, index: index, rate: s.Rate / float64(s.Connections)}
	if s.Count > 0 {
		c.total = s.Count / int64(s.Connections)
		if int64(index) < s.Count%int64(s.Connections) {
			c.total++
		}
	}
	return c
}

// planned is how many messages there are for the connection.
func (c *client) planned() int64 { return max(c.total, c.highest) }

func (c *client) run(ctx context.Context) {
	reported := ""
	for {
		l, err := c.connect()
		if err != nil {
			c.log.Error("no server takes messages", "connection", c.index, "error", err)
			return
		}
		err = c.feed(ctx, l)
		arrived := l.close(err)
		c.resent += c.highest - arrived
		c.next = arrived
		if err == nil {
			return
		}
		if text := fmt.Sprint(c.Servers[c.server], err); text != reported {
			reported = text
			c.log.Warn("the server has failed", "connection", c.index, "server", c.Servers[c.server], "error", err)
		}
		c.server = (c.server + 1) % len(c.Servers)
	}
}

// roundPause is the wait after all servers have failed.
const roundPause = 100 * time.Millisecond

// connect tries one server after the other, until one is there or Wait is over. A signal to end does not stop it, since there
// is always a last message to send.
func (c *client) connect() (l link, err error) {
	for deadline := time.Now().Add(c.Wait); ; {
		for range c.Servers {
			if l, err = c.dial(c.Servers[c.server]); err == nil {
				c.connects++
				c.second = 0 // framing depends on the server
				return l, nil
			}
			c.server = (c.server + 1) % len(c.Servers)
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(roundPause)
	}
}

// feed sends to one server until all is acknowledged.
func (c *client) feed(ctx context.Context, l link) error {
	for c.total == 0 || c.next < c.total {
		n, pause := c.due(ctx)
		if n == 0 {
			if err := l.wait(pause); err != nil {
				return err
			}
			continue
		}
		n = c.build(n, l)
		c.next += n
		if err := l.write(c.batch, c.next); err != nil {
			c.highest = max(c.highest, c.next)
			return err
		}
		c.highest = max(c.highest, c.next)
		c.written.Store(c.highest)
	}
	return l.finish()
}

// due is how many messages are to be sent now; if none, how long to wait.
func (c *client) due(ctx context.Context) (n int64, pause time.Duration) {
	if ctx.Err() != nil && (c.total == 0 || c.total > c.highest+1) {
		c.total = c.highest + 1 // one more message, which tells the total
		c.second = 0
	}
	n = batchSize
	if c.rate > 0 {
		now := time.Now()
		if n = int64(now.Sub(c.began).Seconds()*c.rate) - c.next; n <= 0 && ctx.Err() == nil {
			return 0, max(time.Millisecond, c.dueAt(c.next).Sub(now))
		}
		n = max(n, 1)
	}
	if c.total > 0 {
		n = min(n, c.total-c.next)
	}
	return n, 0
}

// dueAt is when a message must be sent by the rate.
func (c *client) dueAt(number int64) time.Time {
	return c.began.Add(time.Duration(float64(number+1) / c.rate * float64(time.Second)))
}

// build makes a batch of at most n messages for a link, and tells how many there are.
func (c *client) build(n int64, l link) int64 {
	now := time.Now()
	if now.Unix() != c.second {
		c.prepare(now, l.isBare())
	}
	if l.isDatagram() {
		n = 1
	}
	n = max(1, min(n, int64(batchSize/len(c.frame))))
	c.batch = c.batch[:0]
	sent := now.UnixNano()
	for number := c.next; number < c.next+n; number++ {
		if c.rate > 0 {
			sent = c.dueAt(number).UnixNano()
		}
		at := len(c.batch)
		c.batch = append(c.batch, c.frame...)
		putNumber(c.batch[at+c.markAt:], number, sent)
	}
	return n
}

// frameSize is the length of each message with its framing.
func (c *client) frameSize() int64 {
	c.prepare(time.Now(), false)
	return int64(len(c.frame))
}

// prepare makes the frame that all messages of a second have.
func (c *client) prepare(now time.Time, bare bool) {
	c.second = now.Unix()
	c.frame = c.message(now)
	m := Mark{Run: c.Sender.run, Connection: c.index, Connections: c.Connections, Total: c.total, Sent: now}
	m.put(c.frame[len(c.frame)-markSize:])
	switch {
	case bare:
	case c.Framing == syslog.OctetCounting:
		c.frame = syslog.InsertCount(c.frame, 0)
	default:
		c.frame = append(c.frame, '\n')
		c.markAt = len(c.frame) - 1 - markSize
		return
	}
	c.markAt = len(c.frame) - markSize
}
