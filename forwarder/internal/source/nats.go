package source

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/jetstream"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/stats"
)

// NATS consumes a stream of JetStream by a durable consumer. A message is acknowledged when it is safe, see logmsg.Receipt.
type NATS struct {
	Common
	jetstream.Options
	jetstream.ConsumerOptions
	timeReopen time.Duration
}

// How many messages may wait for our acknowledgement, and how many are handed over at once, of how many bytes.
const natsWindow, maxNATSWindow, natsRead, natsReadBytes = 1024, 1 << 15, 256, 256 << 10

func newNATS(g *option.Globals) Driver {
	n := &NATS{Common: common(g), Options: jetstream.Defaults(), timeReopen: time.Duration(g.TimeReopen)}
	n.Window, n.AckWait = natsWindow, option.Duration(30*time.Second)
	n.KeepHostname = true // nobody else knows the sender
	return n
}

// Init checks the options.
func (n *NATS) Init() error {
	switch {
	case n.Consumer == "" || strings.ContainsAny(n.Consumer, " .*>/\\\t\r\n"):
		return option.Errorf("consumer", "the name of a durable consumer is required, without blanks and any of . * > / \\")
	case n.Window < 1 || n.Window > maxNATSWindow:
		return option.Errorf("window", "%d is not from 1 to %d", n.Window, maxNATSWindow)
	case n.AckWait < option.Duration(time.Second):
		return option.Errorf("ack_wait", "%v is below the minimum 1s", time.Duration(n.AckWait))
	}
	if err := n.Options.Init(); err != nil {
		return err
	}
	err := n.Common.Init()
	n.parser.RFC5424 = true
	return err
}

// Open makes ready; the servers need not be there yet.
func (n *NATS) Open(in *Input) (Runner, error) {
	return &consumer{
		Input: in, options: n, deliveries: make(chan jetstream.Delivery, n.Window),
		room: make(chan struct{}, n.Window), safe: make(chan *consumed, n.Window), past: &past{keep: 10 * time.Duration(n.AckWait)},
	}, nil
}

// A consumer has three goroutines: one is connected and gets what is delivered, one takes it through the log paths, one
// acknowledges.
type consumer struct {
	*Input
	options    *NATS
	client     atomic.Pointer[jetstream.Client] // nil: never connected
	failure    failure                          // nil: it works
	deliveries chan jetstream.Delivery
	room       chan struct{}  // has an element for each read that is not acknowledged
	safe       chan *consumed // reads to be acknowledged
	past       *past
}

// Consumed is one read.
type consumed struct {
	receipt    logmsg.Receipt
	deliveries []jetstream.Delivery
}

// Run consumes until ctx ends, then waits a while until what was read is safe.
func (c *consumer) Run(ctx context.Context) error {
	leaving, leave := context.WithCancel(context.Background())
	var connected, acknowledging sync.WaitGroup
	connected.Go(func() { c.connect(ctx, leaving) })
	acknowledging.Go(func() { c.acknowledge(leaving) })
	r := c.newReader()
	c.read(ctx, r)
	r.end()
	limit := time.After(c.options.leaveTimeout)
	for range cap(c.room) {
		select {
		case c.room <- struct{}{}:
			continue
		case <-limit:
		}
		break
	}
	leave()
	acknowledging.Wait()
	connected.Wait()
	return nil
}

// connect consumes until ctx ends, and stays connected until we leave.
func (c *consumer) connect(ctx, leaving context.Context) {
	var client *jetstream.Client
	for ctx.Err() == nil {
		var err error
		if client == nil {
			client, err = c.options.Options.Connect(ctx, c.Name, c.options.timeReopen, c.Logger)
		}
		if err == nil {
			c.client.Store(client)
			c.failure.clear()
			err = client.Consume(ctx, &c.options.ConsumerOptions, func(d jetstream.Delivery) {
				select {
				case c.deliveries <- d:
				case <-ctx.Done():
				}
			})
		}
		if err != nil && ctx.Err() == nil {
			c.failure.set(err, c.Logger)
			rest(ctx, c.options.timeReopen)
		}
	}
	if client != nil {
		<-leaving.Done()
		client.Close()
	}
}

// read takes deliveries through the log paths until ctx ends.
func (c *consumer) read(ctx context.Context, r *reader) {
	for {
		select {
		case c.room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		var first jetstream.Delivery
		select {
		case first = <-c.deliveries:
		case <-ctx.Done():
			<-c.room
			return
		}
		c.take(r, first)
	}
}

// take takes what was delivered and waits, one after the other.
func (c *consumer) take(r *reader, first jetstream.Delivery) {
	read := &consumed{}
	read.receipt.Done = func() { c.safe <- read } // has room for it
	read.receipt.Hold()
	r.receipt = &read.receipt
	r.begin()
	for d, n, size := first, 0, 0; ; d = <-c.deliveries {
		switch c.past.judge(d) {
		case take:
			for text := range d.Texts() {
				r.handle(text)
			}
			read.deliveries = append(read.deliveries, d)
		case wait:
			d.Hold()
		case forget:
			d.Ack()
		}
		n, size = n+1, size+d.Size()
		if n == natsRead || size >= natsReadBytes || len(c.deliveries) == 0 {
			break
		}
	}
	r.flush()
	read.receipt.Release()
}

// acknowledge acknowledges what is safe, until we leave.
func (c *consumer) acknowledge(leaving context.Context) {
	for {
		select {
		case read := <-c.safe:
			c.settle(read)
			<-c.room
		case <-leaving.Done():
			return
		}
	}
}

// settle acknowledges a read, or, if it is lost, has it delivered again.
func (c *consumer) settle(read *consumed) {
	isSafe := !read.receipt.IsLost()
	for _, d := range read.deliveries {
		c.past.settle(d, isSafe)
		if isSafe {
			d.Ack()
		} else {
			d.Nak()
		}
	}
}

// Stream tells what the source does with its stream.
func (c *consumer) Stream() stats.Stream {
	s := stats.Stream{}
	if client := c.client.Load(); client != nil {
		s = client.Status()
	}
	s.Name, s.InFlight, s.Duplicates = c.options.Stream, uint64(c.past.open.Load()), c.past.known.Load()
	s.Error = c.failure.String()
	return s
}

// A Streamer is a runner that has a stream.
type Streamer interface{ Stream() stats.Stream }
