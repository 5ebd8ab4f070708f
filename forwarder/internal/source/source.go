// Package source receives messages: from the network, sockets, files, standard input, and from forwarder itself. The
// goroutine that reads a message takes it through all log paths; what the destinations got of one read is handed over at
// its end.
package source

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/parser"
	"kad/forwarder/internal/stats"
	"kad/pkg/syslog"
)

// A Driver is one kind of source with its options, which have been decoded.
type Driver interface {
	// Init checks the options. Its error is an *option.Error.
	Init() error
	// Settings are the options that all drivers have.
	Settings() *Common
	// Open opens what the driver reads from.
	Open(in *Input) (Runner, error)
}

// A Runner reads until ctx ends.
type Runner interface {
	Run(ctx context.Context) error
}

// Drivers makes a driver of each name, with its defaults.
var Drivers = map[string]func(g *option.Globals) Driver{
	"network":     newNetwork,
	"syslog":      newSyslog,
	"relp":        newRELP,
	"nats":        newNATS,
	"kafka":       newKafka,
	"unix_stream": func(g *option.Globals) Driver { return newUnix(g, true) },
	"unix_dgram":  func(g *option.Globals) Driver { return newUnix(g, false) },
	"file":        newFile,
	"journal":     newJournal,
	"stdin":       func(g *option.Globals) Driver { return &Stdin{Common: common(g)} },
	"internal":    func(g *option.Globals) Driver { return &Internal{Common: common(g)} },
}

// Common has the options of all sources.
type Common struct {
	Flags              []string    `toml:"flags"`
	Tags               []string    `toml:"tags"`
	KeepHostname       bool        `toml:"keep_hostname"`
	ChainHostnames     bool        `toml:"chain_hostnames"`
	KeepTimestamp      bool        `toml:"keep_timestamp"`
	UseDNS             bool        `toml:"use_dns"`
	UseFQDN            bool        `toml:"use_fqdn"`
	NormalizeHostnames bool        `toml:"normalize_hostnames"`
	Zone               option.Zone `toml:"time_zone"` // of stamps that name none
	HostOverride       string      `toml:"host_override"`
	ProgramOverride    string      `toml:"program_override"`
	DefaultPriority    string      `toml:"default_priority"`
	LogMsgSize         int         `toml:"log_msg_size"`
	LogIWSize          int         `toml:"log_iw_size"`

	Driver string // its name

	checkHostname bool
	badHostname   string
	leaveTimeout  time.Duration // how long a source that stops reads what clients still send
	parser        syslog.Parser // a model: each reader has its own
	header        parser.Header
}

func common(g *option.Globals) Common {
	return Common{
		KeepHostname: g.KeepHostname, ChainHostnames: g.ChainHostnames, KeepTimestamp: g.KeepTimestamp, UseDNS: g.UseDNS,
		UseFQDN: g.UseFQDN, NormalizeHostnames: g.NormalizeHostnames, Zone: g.RecvTimeZone, LogMsgSize: g.LogMsgSize,
		LogIWSize: g.LogIWSize, checkHostname: g.CheckHostname, badHostname: g.BadHostname,
		leaveTimeout: time.Duration(g.DrainTimeout) / 2, // the rest is for the destinations
	}
}

// Settings are the options.
func (c *Common) Settings() *Common { return c }

const minMsgSize, maxMsgSize = 16, 256 << 20

// Init checks the options.
func (c *Common) Init() (err error) {
	if c.parser, c.header, err = parser.HeaderOptions(c.Flags); err != nil {
		return err
	}
	if c.parser.DefaultPriority, err = parser.ParsePriority(c.DefaultPriority); err != nil {
		return option.Errorf("default_priority", "%w", err)
	}
	if c.LogMsgSize < minMsgSize || c.LogMsgSize > maxMsgSize {
		return option.Errorf("log_msg_size", "%d is not from %d to %d", c.LogMsgSize, minMsgSize, maxMsgSize)
	}
	if c.header.Kernel && c.DefaultPriority == "" {
		c.parser.DefaultPriority = syslog.NewPriority(syslog.Kern, syslog.Notice)
	}
	for _, tag := range c.Tags {
		logmsg.KnowTag(tag)
	}
	c.parser.Location = c.Zone.Location
	c.parser.CheckHostname = c.parser.CheckHostname || c.checkHostname
	if c.badHostname != "" {
		re, err := regexp.Compile(c.badHostname)
		if err != nil {
			return option.Errorf("bad_hostname", "%w", err)
		}
		c.parser.BadHostname = re.Match
	}
	return nil
}

// An Input is where a driver's messages go.
type Input struct {
	Name    string // of the source
	Logger  *slog.Logger
	Sockets *Sockets // that may be taken over; nil: none
	Tap     *logpath.Tap
	Before  <-chan struct{} // closed when the source has ended that had the sockets; nil: there is none

	driver     Driver
	options    *Common
	route      atomic.Pointer[route]
	open       []socket
	drops      []*dropCounter // of sockets for datagrams
	dropped    atomic.Uint64  // of which watchDrops knows
	handedOver atomic.Bool    // the sockets are another input's

	connections                     atomic.Int64
	refused, frameErrors, tlsErrors atomic.Uint64
	onsets                          struct{ accept, refused, read, frame, tls, drops, receive onset }

	readers readers
}

// Driver is the driver whose input it is.
func (in *Input) Driver() Driver { return in.driver }

// NewInput makes the input of a driver.
func NewInput(name string, d Driver, program *logpath.Program, entry int32, logger *slog.Logger) *Input {
	logmsg.KnowTag(".source." + name)
	in := &Input{Name: name, Logger: logger.With("source", name), driver: d, options: d.Settings()}
	in.route.Store(&route{program: program, entry: entry})
	return in
}

// A route is how messages go on.
type route struct {
	program *logpath.Program
	entry   int32
}

// SetRoute makes the input's readers take another program, each from its next read on. It returns what tells whether one of
// them is still under way in the program before.
func (in *Input) SetRoute(program *logpath.Program, entry int32) (busy func() bool) {
	before := in.route.Swap(&route{program: program, entry: entry})
	return func() bool { return in.readers.isUnder(before) }
}

// A reader takes the messages of one connection, or of one socket, through the log paths.
type reader struct {
	*Input
	current *route
	router  *logpath.Router
	parser  syslog.Parser
	message logmsg.Message
	origin  *logmsg.Origin
	now     syslog.Time
	file    []byte // FILE_NAME, nil if it is no file that is read

	under      atomic.Pointer[route] // between begin and flush
	copies     int                   // destinations that get each message; 0: that depends on it
	keepsLines bool                  // the route sends plain lines as they are, and nobody needs to know more of them
	passes     bool                  // so do we, since begin
	lines      []int                 // where they end, from the beginning of the first one on, that are to be passed
	counts     counts                // since begin
	tally      tally
	pulse      stats.Pulse
	receipt    *logmsg.Receipt // of a read, nil if the sender wants none
}

var fileName, rawMessage = logmsg.NameOf("FILE_NAME"), logmsg.NameOf("RAWMSG")

// newReader makes a reader, which has an end.
func (in *Input) newReader() *reader {
	r := &reader{Input: in, parser: in.options.parser}
	r.setRoute(in.route.Load())
	r.origin = in.origin(netip.AddrPort{}, netip.AddrPort{})
	in.readers.add(r)
	return r
}

// newConnReader makes a reader of what a client sends.
func (in *Input) newConnReader(conn net.Conn) *reader {
	r := in.newReader()
	r.origin = in.origin(addrPort(conn.RemoteAddr()), addrPort(conn.LocalAddr()))
	return r
}

// origin describes a sender; a zero address is this host.
func (in *Input) origin(peer, local netip.AddrPort) *logmsg.Origin {
	o := &logmsg.Origin{
		Source: []byte(in.Name),
		Tags:   append([]string{".source." + in.Name}, in.options.Tags...),
		Peer:   peer.Addr().Unmap(),
		Dest:   local.Addr().Unmap(),
		Port:   local.Port(),
	}
	switch d := in.driver.(type) {
	case *Network:
		o.Protocol = d.protocol()
	case *RELP:
		o.Protocol = d.protocol()
	case *Unix, *File, *Stdin, *Internal:
		o.Local = true
	}
	logmsg.OrderTags(o.Tags)
	name := in.senderName(o.Peer)
	if in.options.NormalizeHostnames {
		name = strings.ToLower(name)
	}
	o.Host = []byte(name)
	return o
}

// senderName is HOST_FROM: the address of the sender, or its name if it is to be looked up.
func (in *Input) senderName(peer netip.Addr) string {
	if !peer.IsValid() {
		return thisHost(in.options.UseFQDN)
	}
	if !in.options.UseDNS {
		return peer.String()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	names, err := net.DefaultResolver.LookupAddr(ctx, peer.String())
	if err != nil || len(names) == 0 {
		return peer.String()
	}
	name := strings.TrimSuffix(names[0], ".")
	if !in.options.UseFQDN {
		name, _, _ = strings.Cut(name, ".")
	}
	return name
}

func thisHost(fqdn bool) string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	if !fqdn {
		name, _, _ = strings.Cut(name, ".")
	}
	return name
}

// end says that there are no more reads.
func (r *reader) end() { r.readers.remove(r) }

func (r *reader) setRoute(to *route) {
	r.readers.mu.Lock()
	defer r.readers.mu.Unlock()
	r.current, r.router = to, to.program.NewRouter()
	r.copies = to.program.Copies(to.entry)
	r.keepsLines = r.options.keepsLines() && to.program.PassesLines(to.entry)
}

// begin notes the time of a read, and which way its messages go.
func (r *reader) begin() {
	r.pulse.Work()
	r.now = syslog.TimeOf(time.Now())
	for {
		to := r.route.Load()
		r.under.Store(to)
		if r.route.Load() == to { // else it changed in between, and whoever changed it may not have seen us
			if to != r.current {
				r.setRoute(to)
			}
			r.look()
			r.passes = r.keepsLines && r.parser.KeepLine && r.router.Trace == nil
			return
		}
	}
}

// look takes notice of who looks at messages.
func (r *reader) look() {
	r.router.Trace = nil
	if r.Tap != nil {
		if see := r.Tap.Load(); see != nil {
			r.router.Trace = *see
		}
	}
}

// flush hands over what the destinations got since begin.
func (r *reader) flush() {
	r.tally.received.Add(r.counts.received)
	if r.counts.truncated+r.counts.parseErrors > 0 {
		r.tally.truncated.Add(r.counts.truncated)
		r.tally.parseErrors.Add(r.counts.parseErrors)
	}
	r.counts = counts{}
	r.router.Flush(r.receipt)
	r.under.Store(nil)
	r.pulse.Rest()
}

// keepsLines tells whether a line that parsing and formatting would not change leaves the source as it is.
func (c *Common) keepsLines() bool {
	return c.KeepHostname && c.KeepTimestamp && c.HostOverride == "" && c.ProgramOverride == "" && c.header == parser.Header{}
}

// pass takes lines to the destinations, those that r.lines has of b.
func (r *reader) pass(b []byte) {
	if len(r.lines) == 0 {
		return
	}
	r.message.Begin(r.origin, r.now)
	r.message.SetLines(b, r.lines)
	r.counts.received += uint64(len(r.lines))
	r.router.Route(r.current.entry, &r.message)
	r.lines = r.lines[:0]
}

// handle takes one frame through the log paths.
func (r *reader) handle(frame []byte) {
	m := &r.message
	m.Begin(r.origin, r.now)
	o := r.options
	if o.header.StoreRaw {
		m.Set(rawMessage, bytes.TrimRight(frame, "\n\x00"))
	}
	if o.header.NoParse {
		m.Message = syslog.Message{Priority: r.parser.DefaultPriority, Timestamp: r.now, Msg: bytes.TrimRight(frame, "\n\x00")}
	} else if err := r.parser.Parse(frame, r.now, &m.Message); err != nil {
		r.counts.parseErrors++
		if r.parser.KeepLine {
			frame = bytes.TrimSuffix(frame, []byte("\n"))
		}
		parser.SetError(m, frame, err)
		r.deliver(m)
		return
	} else {
		o.checkUTF8(m)
	}
	m.UTF8 = m.UTF8 || o.header.AssumeUTF8
	if o.header.NoMultiLine {
		m.Msg = oneLine(m.Msg)
	}
	if o.header.NoLegacyHeader {
		m.HeaderChanged()
	}
	r.deliver(m)
}

// checkUTF8 heeds the flags that are about the text of a message that was parsed.
func (c *Common) checkUTF8(m *logmsg.Message) {
	if c.header.SanitizeUTF8 && m.Version == 0 && !syslog.ValidUTF8(m.Msg) {
		m.Msg = syslog.AppendSanitized(nil, m.Msg)
	}
	m.UTF8 = m.UTF8 || c.header.ValidateUTF8 && (m.Version > 0 || !c.header.SanitizeUTF8) && syslog.ValidUTF8(m.Msg)
}

// deliver takes the message of the reader, as its driver has made it, through the log paths.
func (r *reader) deliver(m *logmsg.Message) {
	o := r.options
	if !o.KeepTimestamp {
		m.Timestamp = r.now
	}
	if r.file != nil {
		m.Set(fileName, r.file)
	}
	r.setHost(m)
	if o.ProgramOverride != "" {
		m.AppName = []byte(o.ProgramOverride)
		m.HeaderChanged()
	}
	r.counts.received++
	r.router.Route(r.current.entry, m)
}

// setHost decides what HOST is, by what the message says and who sent it.
func (r *reader) setHost(m *logmsg.Message) {
	o := r.options
	switch {
	case o.HostOverride != "":
		m.Hostname = []byte(o.HostOverride)
	case o.KeepHostname && len(m.Hostname) > 0:
		return // also if it is not normal
	case o.ChainHostnames && o.Driver != "internal":
		m.Hostname = r.chain(m)
		m.Chained = true
	default:
		m.Hostname = r.origin.Host
	}
}

// chain is HOST as a chain: SAID/SENDER, or SOURCE@SENDER for messages of this host.
func (r *reader) chain(m *logmsg.Message) []byte {
	said, between := m.Hostname, byte('/')
	switch {
	case m.Origin.Local:
		said, between = r.origin.Source, '@'
	case len(said) == 0:
		said = r.origin.Host
	}
	return append(append(bytes.Clone(said), between), r.origin.Host...)
}

// oneLine makes blanks of what ends lines.
func oneLine(text []byte) []byte {
	out := bytes.Clone(text)
	for i, c := range out {
		if c == '\n' || c == '\r' || c == 0 {
			out[i] = ' '
		}
	}
	return out
}

// Inject takes one frame through the log paths as if it had come from peer, and tells trace what happens to it. Nothing is
// handed over to destinations.
func (in *Input) Inject(frame []byte, peer netip.Addr, trace func(logpath.Event)) {
	r := in.newReader()
	defer r.end()
	r.origin = in.origin(netip.AddrPortFrom(peer, 0), netip.AddrPort{})
	r.begin()
	r.router.Trace = trace
	r.handle(frame)
}
