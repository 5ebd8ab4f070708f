// Package destination sends messages: to servers, sockets, files and programs. A [Destination] formats messages on the
// goroutines that route them, keeps them in its queue, and sends them on a goroutine of its own, or at once, if nothing waits.
package destination

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
	"kad/forwarder/internal/template"
)

// A Driver is one kind of destination with its options, which have been decoded.
type Driver interface {
	// Init checks the options. Its error is an *option.Error.
	Init() error
	// Settings are the options that all drivers have.
	Settings() *Common
	// Format says how a message is written, after Init.
	Format() Format
	// Connect opens what the driver writes to.
	Connect(ctx context.Context, logger *slog.Logger) (Conn, error)
}

// A Conn is open. What Write returns without an error has left our hands.
type Conn interface {
	Write(batches []*queue.Batch) error
	Close() error
}

// An interrupter can end a Write or a Close that waits for somebody else.
type interrupter interface{ interrupt() }

// A reopener can begin anew with the files that it writes to.
type reopener interface{ Reopen() }

// Drivers makes a driver of each name, with its defaults.
var Drivers = map[string]func(g *option.Globals) Driver{
	"network":     newNetwork,
	"syslog":      newSyslog,
	"relp":        newRELP,
	"unix_stream": func(g *option.Globals) Driver { return &Unix{Common: common(g), network: "unix"} },
	"unix_dgram":  func(g *option.Globals) Driver { return &Unix{Common: common(g), network: "unixgram"} },
	"file":        newFile,
	"pipe":        func(g *option.Globals) Driver { return &Pipe{Common: common(g)} },
	"program":     func(g *option.Globals) Driver { return &Program{Common: common(g)} },
	"nats":        newNATS,
	"kafka":       newKafka,
	"stdout":      func(g *option.Globals) Driver { return &Stdout{Common: common(g)} },
}

// Common has the options of all destinations.
type Common struct {
	Template       *template.Template  `toml:"template"` // nil: the driver's format
	TemplateEscape bool                `toml:"template_escape"`
	TimeFormat     template.TimeFormat `toml:"ts_format"`
	FracDigits     int                 `toml:"frac_digits"`
	Zone           option.Zone         `toml:"time_zone"`     // none: that of the stamp
	LogFIFOSize    int                 `toml:"log_fifo_size"` // messages
	LogFIFOBytes   option.Size         `toml:"log_fifo_bytes"`
	TimeReopen     option.Duration     `toml:"time_reopen"`
	TruncateSize   option.Size         `toml:"truncate_size"` // of a message, in bytes; 0: none is cut
	Flags          []string            `toml:"flags"`
	DiskBuffer     *queue.Options      `toml:"disk_buffer"` // nil: the queue is in memory

	Failover *Failover `toml:"failover"` // for connections only

	Driver string // its name

	noMultiLine, syslogProtocol, canFailOver bool

	messageID *messageID // nil: none
}

func common(g *option.Globals) Common {
	c := Common{
		TemplateEscape: g.TemplateEscape, FracDigits: g.FracDigits, Zone: g.SendTimeZone, LogFIFOSize: g.LogFIFOSize,
		LogFIFOBytes: g.LogFIFOBytes, TimeReopen: g.TimeReopen,
	}
	_ = c.TimeFormat.UnmarshalText([]byte(g.TimeFormat)) // checked where it was decoded
	return c
}

// minFIFOBytes is the smallest log_fifo_bytes: about what is read at once.
const minFIFOBytes = 256 << 10

// Settings are the options.
func (c *Common) Settings() *Common { return c }

// Init checks the options.
func (c *Common) Init() error {
	for i, f := range c.Flags {
		switch option.Flag(f) {
		case "no_multi_line":
			c.noMultiLine = true
		case "syslog_protocol":
			c.syslogProtocol = true
		case "threaded":
		default:
			return option.Errorf(fmt.Sprintf("flags[%d]", i), "flag %q is not known, want no_multi_line, syslog_protocol or threaded", f)
		}
	}
	if c.Failover != nil && !c.canFailOver {
		return option.Errorf("failover", "only a network, syslog or relp destination with transport tcp or tls has servers to fail over to")
	}
	if c.FracDigits < 0 || c.FracDigits > 6 {
		return option.Errorf("frac_digits", "%d is not from 0 to 6", c.FracDigits)
	}
	if c.LogFIFOSize < 1 {
		return option.Errorf("log_fifo_size", "%d is below the minimum 1", c.LogFIFOSize)
	}
	if c.LogFIFOBytes < minFIFOBytes {
		return option.Errorf("log_fifo_bytes", "%d is below the minimum %d", c.LogFIFOBytes, minFIFOBytes)
	}
	if c.DiskBuffer != nil {
		c.DiskBuffer.SetFrontBytes(int64(c.LogFIFOBytes))
		return option.In("disk_buffer", c.DiskBuffer.Init())
	}
	return nil
}

// A Destination is a driver at work. It is a logpath.Sink.
type Destination struct {
	Name   string
	driver Driver
	queue  queue.Queue
	logger *slog.Logger
	reopen atomic.Bool
	// Of connections, and of a stream. Neither: the driver's Conn is used.
	sender    *sender
	publisher *publisher

	*counters
	*handover
	failure atomic.Pointer[string] // of the driver's Conn; nil: it works
}

// Counters are of a destination, and of the one that goes on where it ends.
type counters struct {
	received, sent, sentBytes atomic.Uint64
	sequence                  atomic.Uint64 // of messages of this host
	drops                     drops
}

// New makes a destination of a driver whose Init was called. It starts nothing.
func New(name string, driver Driver) *Destination {
	d := &Destination{Name: name, driver: driver, counters: &counters{}}
	d.queue = queue.New(driver.Settings().LogFIFOSize, int64(driver.Settings().LogFIFOBytes))
	d.handover = newHandover()
	if c, ok := driver.(interface{ connections() *Network }); ok && c.connections() != nil {
		d.sender = newSender(d, c.connections())
	}
	if p, ok := driver.(publishingDriver); ok {
		d.publisher = &publisher{Destination: d, driver: p, options: p.publishing()}
	}
	return d
}

// Open opens the disk buffer, if the destination has one. Without Open its queue is in memory.
func (d *Destination) Open(logger *slog.Logger) error {
	d.drops.logger.Store(logger.With("destination", d.Name))
	options := d.driver.Settings().DiskBuffer
	if options == nil {
		return nil
	}
	q, err := queue.Open(d.Name, options, logger)
	if err == nil {
		d.queue = q
	}
	return err
}

// Close closes the queue of a destination that does not run. What a disk buffer has stays there.
func (d *Destination) Close() error { return d.queue.Close() }

// IsKept tells whether what waits outlives the process.
func (d *Destination) IsKept() bool { return d.driver.Settings().DiskBuffer != nil }

// String names the destination in logs.
func (d *Destination) String() string { return "destination " + d.Name }

// Counts are the messages that were routed to it, those that were dropped, sent, and that wait.
func (d *Destination) Counts() (received, dropped, sent uint64, waiting int) {
	return d.received.Load(), d.drops.total.Load(), d.sent.Load(), d.queue.Len()
}

// Driver is the name of the driver.
func (d *Destination) Driver() string { return d.driver.Settings().Driver }

// Queue is what the queue holds and what went through it.
func (d *Destination) Queue() queue.Stat { return d.queue.Stat() }

// Certificate is ours, nil if there is none.
func (d *Destination) Certificate() *x509.Certificate {
	if client, ok := d.driver.(interface{ Certificate() *x509.Certificate }); ok {
		return client.Certificate()
	}
	if d.sender == nil || d.sender.network.TLS == nil {
		return nil
	}
	if list := d.sender.network.TLS.config.Load().Certificates; len(list) > 0 {
		return list[0].Leaf
	}
	return nil
}

// Failure is why nothing is sent at the moment, empty if it is. A destination with servers has a Status instead.
func (d *Destination) Failure() string {
	if text := d.failure.Load(); text != nil {
		return *text
	}
	return ""
}

// Answer returns when the goroutine that sends has taken notice, or with an error when ctx ends before that. One that waits
// in a driver's Write waits for somebody else, and is not asked.
func (d *Destination) Answer(ctx context.Context) error {
	if d.sender == nil {
		return nil
	}
	return d.command(ctx, func(*sender) error { return nil })
}

// Reopen makes the destination open its files anew.
func (d *Destination) Reopen() { d.reopen.Store(true) }

// Drain says that nothing is routed here any more: Run ends when all is sent.
func (d *Destination) Drain() { d.queue.Drain() }

// maxWrite is about how many bytes are written at once.
const maxWrite = 256 << 10

// Run sends until the queue is drained or ctx ends, and closes the queue. A destination that has inherited it begins when
// the one before has ended; that one leaves it open.
func (d *Destination) Run(ctx context.Context, logger *slog.Logger) error {
	defer close(d.ended)
	d.logger = logger.With("destination", d.Name)
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, d.stop)()
	defer context.AfterFunc(d.hurry, cancel)()
	d.follow()
	err := d.send(ctx, sending)
	if d.isInherited() {
		return err
	}
	return errors.Join(err, d.Close())
}

// send sends until ctx ends. What waits for somebody else then goes on until limit ends.
func (d *Destination) send(limit, ctx context.Context) error {
	if d.sender != nil {
		d.sender.run(ctx)
		return nil
	}
	if d.publisher != nil {
		d.publisher.run(ctx)
		return nil
	}
	var conn Conn
	var last error
	release := func() bool { return true }
	defer func() { release() }()
	for {
		batches := d.queue.Next(maxWrite)
		if len(batches) == 0 || ctx.Err() != nil {
			break
		}
		var err error
		if conn == nil {
			if conn, err = d.driver.Connect(ctx, d.logger); err == nil {
				release()
				release = interruptAfter(limit, conn)
			}
		}
		if r, ok := conn.(reopener); ok && d.reopen.Swap(false) {
			r.Reopen()
		}
		if err == nil {
			err = conn.Write(batches)
		}
		if err == nil {
			if last != nil {
				d.logger.Info("destination works again")
				d.failure.Store(nil)
			}
			last = nil
			d.acknowledge(batches, d.drops.addDriver(conn))
			continue
		}
		conn = d.failed(ctx, conn, err, &last)
	}
	if conn != nil {
		return conn.Close()
	}
	return nil
}

// interruptAfter has conn interrupted when ctx ends, unless release is called before.
func interruptAfter(ctx context.Context, conn Conn) (release func() bool) {
	i, ok := conn.(interrupter)
	if !ok {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, i.interrupt)
}

// acknowledge says that batches are written, but for some messages.
func (d *Destination) acknowledge(batches []*queue.Batch, dropped int) {
	n, bytes := 0, 0
	for _, b := range batches {
		n += len(b.Ends)
		bytes += b.Size()
	}
	d.queue.Ack(len(batches))
	d.sent.Add(uint64(n - dropped))
	d.sentBytes.Add(uint64(bytes))
	for _, b := range batches {
		queue.Put(b)
	}
}

// SentBytes are those of the messages that were sent and acknowledged.
func (d *Destination) SentBytes() uint64 { return d.sentBytes.Load() }

// failed gives up conn and waits before the next attempt. The first error is logged, and each that differs.
func (d *Destination) failed(ctx context.Context, conn Conn, err error, last *error) Conn {
	if conn != nil {
		_ = conn.Close() // it is broken
	}
	d.queue.Rewind()
	if ctx.Err() == nil && (*last == nil || (*last).Error() != err.Error()) {
		d.logger.Warn("destination failed, it is tried again", "error", err, "time_reopen", time.Duration(d.driver.Settings().TimeReopen))
	}
	*last = err
	text := err.Error()
	d.failure.Store(&text)
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(d.driver.Settings().TimeReopen)):
	}
	return nil
}

// NewBatch gives a goroutine what it hands messages over with.
func (d *Destination) NewBatch() logpath.Batch {
	c := d.driver.Settings()
	b := &batch{destination: d, format: d.driver.Format()}
	formats := template.Formats{TimeFormat: c.TimeFormat, FracDigits: c.FracDigits, Zone: c.Zone.Location}
	b.context.Set(formats)
	b.context.Escape = c.TemplateEscape
	formats.Zone = b.format.KeyZone
	b.keyContext.Set(formats)
	return b
}

// SendsLines tells whether its batches take messages that stand for lines.
func (d *Destination) SendsLines() bool { return d.driver.Format().IsBSD }

// A batch collects what one goroutine has for the destination.
type batch struct {
	destination *Destination
	format      Format
	context     template.Context
	keyContext  template.Context
	current     *queue.Batch
	size        int            // of the last one
	others      []*queue.Batch // with other keys, where the format has keys
	key         []byte
}

// Add formats m.
func (b *batch) Add(m *logmsg.Message, wait bool) {
	q := b.current
	if b.format.Key != nil {
		b.key = b.format.Key(b.key[:0], m, &b.keyContext)
		q = b.find()
	} else if q == nil {
		q = queue.Get(b.size)
		b.current = q
	}
	if len(q.Ends) == 0 {
		q.Received = time.Unix(m.Received.Sec, int64(m.Received.Usec)*1000)
	}
	q.Wait = q.Wait || wait
	if lines := m.Lines(); len(lines) > 0 {
		b.addLines(q, m, lines)
		return
	}
	if b.context.Sequence = 0; m.Origin.Local {
		b.context.Sequence = b.destination.sequence.Add(1)
	}
	size := len(q.Data)
	if q.Data = b.format.Append(q.Data, m, &b.context); len(q.Data) > size { // a template may come to nothing
		q.Ends = append(q.Ends, len(q.Data))
	}
}

// addLines copies what m stands for.
func (b *batch) addLines(q *queue.Batch, m *logmsg.Message, lines []int) {
	if m.Origin.Local {
		b.destination.sequence.Add(uint64(len(lines)))
	}
	start := len(q.Data)
	q.Data = append(q.Data, m.Line()...)
	for _, end := range lines {
		q.Ends = append(q.Ends, start+end)
	}
}

// find is the batch of the key.
func (b *batch) find() *queue.Batch {
	for _, q := range b.others {
		if q.Key == string(b.key) {
			return q
		}
	}
	q := queue.Get(0)
	q.Key = string(b.key)
	b.others = append(b.others, q)
	return q
}

// Flush hands the batches over.
func (b *batch) Flush(receipt *logmsg.Receipt) {
	if b.current != nil {
		b.size = len(b.current.Data)
		b.hand(b.current, receipt)
		b.current = nil
	}
	for i, q := range b.others {
		b.hand(q, receipt)
		b.others[i] = nil
	}
	b.others = b.others[:0]
}

func (b *batch) hand(q *queue.Batch, receipt *logmsg.Receipt) {
	if receipt != nil {
		receipt.Hold()
		q.Receipts = append(q.Receipts, receipt)
	}
	b.destination.received.Add(uint64(len(q.Ends)))
	if n := b.destination.queue.Append(q); n > 0 {
		b.destination.drops.add(n)
	}
}

// errClosed is what a write to a closed peer finds.
var errClosed = errors.New("the peer has closed the connection")

// Render is what the destination would send of m, and where to: the path of a file, an address, a command.
func (d *Destination) Render(m *logmsg.Message) (text []byte, to string) {
	b := d.NewBatch().(*batch)
	if b.format.Key != nil {
		to = string(b.format.Key(nil, m, &b.keyContext))
	} else {
		to = target(d.driver)
	}
	return b.format.Append(nil, m, &b.context), to
}

// target is where a driver sends to, if that does not depend on the message.
func target(driver Driver) string {
	switch d := driver.(type) {
	case *File:
		return d.Path.String()
	case *Network:
		return net.JoinHostPort(d.Address, strconv.Itoa(d.Port))
	case *Unix:
		return d.Path
	case *NATS:
		return strings.Join(d.Servers, ", ")
	case *Kafka:
		return strings.Join(d.Brokers, ", ")
	case *Pipe:
		return d.Path
	case *Program:
		return d.Command
	}
	return ""
}
