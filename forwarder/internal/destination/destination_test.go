package destination

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

func message(t *testing.T, line string) *logmsg.Message {
	t.Helper()
	m := &logmsg.Message{}
	now := syslog.TimeOf(time.Date(2023, 11, 1, 12, 0, 0, 0, time.UTC))
	m.Reset(&logmsg.Origin{Source: []byte("s"), Host: []byte("from")}, now)
	p := syslog.Parser{RFC5424: true, Location: time.UTC}
	if err := p.Parse([]byte(line), now, &m.Message); err != nil {
		t.Fatal(err)
	}
	return m
}

func driver[T Driver](name string, set func(d T)) T {
	g := option.Defaults()
	g.TimeReopen = option.Duration(20 * time.Millisecond)
	d := Drivers[name](&g).(T)
	set(d)
	return d
}

func open(t *testing.T, name string, d Driver) *Destination {
	t.Helper()
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	return New(name, d)
}

// What is sent of a message does not depend on whether it knows its line.
func TestLine(t *testing.T) {
	const line = "<13>Oct  1 22:14:15 h app[7]: one\n"
	change := map[string]func(m *logmsg.Message){
		"nothing": func(*logmsg.Message) {},
		"program": func(m *logmsg.Message) { m.Set(logmsg.NameOf("PROGRAM"), []byte("app")) },
		"header":  (*logmsg.Message).HeaderChanged,
		"host":    func(m *logmsg.Message) { m.Set(logmsg.NameOf("HOST"), []byte("g")) },
		"text":    func(m *logmsg.Message) { m.Set(logmsg.NameOf("MESSAGE"), []byte("two")) },
		"none":    func(m *logmsg.Message) { m.Unset(logmsg.NameOf("MESSAGE")) },
	}
	for name, set := range map[string]func(n *Network){
		"as it is":      func(*Network) {},
		"in a zone":     func(n *Network) { n.Zone = option.Zone{Location: time.FixedZone("", 3600)} },
		"with digits":   func(n *Network) { n.FracDigits = 3 },
		"cut":           func(n *Network) { n.TruncateSize = 20 },
		"counted":       func(n *Network) { n.Framing = "octet_counting" },
		"as RFC 5424":   func(n *Network) { n.Flags = []string{"syslog_protocol"} },
		"by a template": func(n *Network) { n.Template = template.Must("$MSG\n") },
	} {
		d := open(t, "d", driver("network", func(n *Network) { n.Address = "192.0.2.1"; set(n) }))
		if want := name == "as it is"; d.SendsLines() != want {
			t.Errorf("%s: lines are sent: %v, want %v", name, d.SendsLines(), want)
		}
		for what, change := range change {
			sent := map[bool]string{}
			for _, keep := range []bool{false, true} {
				m := message(t, line)
				p := syslog.Parser{KeepLine: keep, Location: time.UTC}
				if err := p.Parse([]byte(line), m.Received, &m.Message); err != nil || (m.Line() != nil) != keep {
					t.Fatalf("%v, the line is %q", err, m.Line())
				}
				change(m)
				text, _ := d.Render(m)
				sent[keep] = string(text)
			}
			if sent[true] != sent[false] {
				t.Errorf("%s, %s changed: %q, without a line %q", name, what, sent[true], sent[false])
			}
		}
	}
}

// A message that stands for lines is as good as all of them.
func TestLines(t *testing.T) {
	const lines = "<13>Oct  1 22:14:15 h app[7]: one\n<13>Oct  1 22:14:15 h app[7]: and two\n"
	d := open(t, "d", driver("network", func(n *Network) { n.Address = "192.0.2.1" }))
	b := d.NewBatch().(*batch)
	m := message(t, "<14>Oct  1 22:14:15 h app: first")
	b.Add(m, false)
	m.Begin(m.Origin, m.Received)
	m.SetLines([]byte(lines+"more"), []int{34, len(lines)})
	b.Add(m, true)
	first := len("<14>Oct  1 22:14:15 h app: first\n")
	if got := b.current; string(got.Data[first:]) != lines || !slices.Equal(got.Ends, []int{first, first + 34, first + len(lines)}) || !got.Wait {
		t.Errorf("got %q, which end at %d, wait %v", got.Data, got.Ends, got.Wait)
	}
}

func TestRender(t *testing.T) {
	const bsd = "<13>Oct  1 22:14:15 h app[7]: one\ntwo"
	const ietf = `<165>1 2023-02-03T04:05:06.123456-05:30 h app - ID [a@1 x="1"] text`
	net := func(set func(n *Network)) Driver {
		return driver("network", func(n *Network) { n.Address = "192.0.2.1"; set(n) })
	}
	sys := func(set func(n *Network)) Driver {
		return driver("syslog", func(n *Network) { n.Address = "192.0.2.1"; set(n) })
	}
	for _, test := range []struct {
		name   string
		driver Driver
		line   string
		want   string
	}{
		{"network", net(func(*Network) {}), bsd, "<13>Oct  1 22:14:15 h app[7]: one\ntwo\n"},
		{"network one line", net(func(n *Network) { n.Flags = []string{"no-multi-line"} }), bsd, "<13>Oct  1 22:14:15 h app[7]: one two\n"},
		{"network syslog_protocol, one line", net(func(n *Network) {
			n.Flags, n.Template = []string{"syslog-protocol", "no-multi-line"}, template.Must("$MSG\r\n")
		}), bsd, "<13>1 2023-10-01T22:14:15+00:00 h app 7 - - one two  \n"},
		{"syslog with a byte order mark", sys(func(n *Network) { n.Transport = "udp" }), "<13>1 - h app - - - \xef\xbb\xbftext", "<13>1 2023-11-01T12:00:00+00:00 h app - - - \xef\xbb\xbftext\n"},
		{"syslog without a text", sys(func(*Network) {}), "<13>1 - h app - - -", "45 <13>1 2023-11-01T12:00:00+00:00 h app - - - \n"},
		{"network of RFC 5424", net(func(*Network) {}), ietf, "<165>Feb  3 04:05:06 h app: text\n"},
		{"network counted", net(func(n *Network) { n.Framing = "octet_counting" }), ietf, "33 <165>Feb  3 04:05:06 h app: text\n"},
		{"network template", net(func(n *Network) { n.Template = template.Must("$MSG|\n") }), ietf, "text|\n"},
		{"network syslog_protocol", net(func(n *Network) { n.Flags = []string{"syslog-protocol"} }), ietf, "<165>1 2023-02-03T04:05:06-05:30 h app - ID [a@1 x=\"1\"] text\n"},
		{"syslog", sys(func(n *Network) { n.FracDigits = 3 }), ietf, "65 <165>1 2023-02-03T04:05:06.123-05:30 h app - ID [a@1 x=\"1\"] text\n"},
		{"syslog udp", sys(func(n *Network) { n.Transport = "udp" }), bsd, "<13>1 2023-10-01T22:14:15+00:00 h app 7 - - one\ntwo\n"},
		{"syslog zone", sys(func(n *Network) {
			n.Framing, n.Zone.Location, n.Template = "newline", time.UTC, template.Must("<$MSG>")
		}), ietf, "<165>1 2023-02-03T09:35:06+00:00 h app - ID [a@1 x=\"1\"] <text>\n"},
		{"file", driver("file", func(f *File) { f.Path = template.Must("/x"); f.TimeFormat = template.RFC3339 }), bsd, "2023-10-01T22:14:15+00:00 h app[7]: one\ntwo\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, _ := open(t, "d", test.driver).Render(message(t, test.line)); string(got) != test.want {
				t.Errorf("got %q\nwant %q", got, test.want)
			}
		})
	}
}

// run sends the lines and waits for the end.
func run(t *testing.T, d *Destination, lines ...string) {
	t.Helper()
	b := d.NewBatch()
	for _, line := range lines {
		b.Add(message(t, line), true)
	}
	b.Flush(nil)
	d.Drain()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := d.Run(ctx, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	d := open(t, "d", driver("file", func(f *File) {
		f.Path, f.CreateDirs, f.Perm, f.Template = template.Must(dir+"/$HOST/$PROGRAM"), true, 0o640, template.Must("$MSG\n")
	}))
	run(t, d, "<13>Oct  1 22:14:15 h a: 1", "<13>Oct  1 22:14:15 h b: 2", "<13>Oct  1 22:14:15 h a: 3", "<13>Oct  1 22:14:15 .. a: bad")
	if a, b := read(t, dir+"/h/a"), read(t, dir+"/h/b"); a != "1\n3\n" || b != "2\n" {
		t.Errorf("a is %q, b is %q", a, b)
	}
	if info, err := os.Stat(dir + "/h/a"); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Dir(dir) + "/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a message wrote outside of its directory: %v", err)
	}
	if _, dropped, sent, waiting := d.Counts(); dropped != 1 || sent != 3 || waiting != 0 {
		t.Errorf("dropped %d, sent %d, waiting %d", dropped, sent, waiting)
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := driver("file", func(f *File) {
		f.Path, f.RotateSize, f.RotateKeep, f.Template = template.Must(path), 4, 2, template.Must("$MSG\n")
	})
	open(t, "d", f)
	conn, err := f.Connect(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"1234\n", "5\n", "6789\n", "abcd\n", "e\n"} {
		if err := conn.Write([]*queue.Batch{{Data: []byte(text), Ends: []int{len(text)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if now, one, two := read(t, path), read(t, path+".1"), read(t, path+".2"); now != "e\n" || one != "abcd\n" || two != "5\n6789\n" {
		t.Errorf("now %q, before %q, before that %q", now, one, two)
	}
	if _, err := os.Stat(path + ".3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("more than two old files stay: %v", err)
	}
}

// What could not be sent is sent when the server is there, in order; the next server of the list is tried at once.
func TestNetworkWaitsForServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan []string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			close(got)
			return
		}
		defer conn.Close()
		var lines []string
		for s := bufio.NewScanner(conn); s.Scan(); {
			lines = append(lines, s.Text())
		}
		got <- lines
	}()
	d := open(t, "d", driver("network", func(n *Network) {
		n.Address, n.Port, n.Template = "127.0.0.2", l.Addr().(*net.TCPAddr).Port, template.Must("$MSG\n")
		n.Failover = &Failover{Servers: []string{"127.0.0.1"}}
	}))
	run(t, d, "<13>Oct  1 22:14:15 h a: 1", "<13>Oct  1 22:14:15 h a: 2")
	if lines := <-got; !slices.Equal(lines, []string{"1", "2"}) {
		t.Errorf("got %q", lines)
	}
}

func TestProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	d := open(t, "d", driver("program", func(p *Program) { p.Command, p.Template = "cat > "+path, template.Must("$MSG\n") }))
	run(t, d, "<13>Oct  1 22:14:15 h a: 1", "<13>Oct  1 22:14:15 h a: 2")
	if got := read(t, path); got != "1\n2\n" {
		t.Errorf("the program got %q", got)
	}
}

func TestInitErrors(t *testing.T) {
	for _, test := range []struct {
		driver Driver
		want   string
	}{
		{driver("network", func(*Network) {}), "address: the name or address of a server is required"},
		{driver("network", func(n *Network) { n.Address, n.Transport = "a", "sctp" }), `transport: transport "sctp" is not known, want tcp, udp or tls`},
		{driver("network", func(n *Network) { n.Address, n.Transport, n.Failover = "a", "udp", &Failover{} }), "failover: a udp destination cannot tell that a server failed: use tcp or tls"},
		{driver("network", func(n *Network) { n.Address, n.TLS = "a", &TLS{} }), `tls: only for transport = "tls"`},
		{driver("network", func(n *Network) {
			n.Address, n.Transport, n.TLS = "a", "tls", &TLS{ClientTLS: option.ClientTLS{MinVersion: "1.0"}}
		}), `tls.min_version: version "1.0" is not known, want 1.2 or 1.3`},
		{driver("network", func(n *Network) { n.Address, n.Failover = "a", &Failover{} }), "failover: servers is required: those that follow the primary one"},
		{driver("network", func(n *Network) { n.Address, n.Failover = "a", &Failover{Failback: &Failback{}} }), "failover.failback: there is no server to come back from: servers is empty"},
		{driver("network", func(n *Network) { n.Address, n.Failover = "a", &Failover{Servers: []string{"b", ""}} }), "failover.servers[1]: a server has no name"},
		{driver("network", func(n *Network) { n.Address, n.Failover = "a", &Failover{Servers: []string{"::1", "b:514"}} }), `failover.servers[1]: "b:514" has a port, 514: all servers have that of the destination, and its other options`},
		{driver("network", func(n *Network) {
			n.Address, n.Failover = "a", &Failover{Servers: []string{"b"}, Failback: &Failback{SuccessfulProbesRequired: -1}}
		}), "failover.failback.successful_probes_required: -1 is below the minimum 1"},
		{driver("network", func(n *Network) { n.Address, n.DeadPeer = "a", 0 }), "dead_peer_timeout: 0 is not possible: every server would fail at once"},
		{driver("network", func(n *Network) { n.Address, n.Stall = "a", 0 }), "stall_timeout: 0 is not possible: every server would fail at once"},
		{driver("file", func(f *File) { f.Path, f.Failover = template.Must("/x"), &Failover{Servers: []string{"b"}} }), "failover: only a network, syslog or relp destination with transport tcp or tls has servers to fail over to"},
		{driver("unix_stream", func(u *Unix) { u.Path, u.Failover = "/x", &Failover{Servers: []string{"b"}} }), "failover: only a network, syslog or relp destination with transport tcp or tls has servers to fail over to"},
		{driver("file", func(*File) {}), "path: the path of a file is required"},
		{driver("file", func(f *File) { f.Path, f.Owner = template.Must("/x"), "nobody-of-this-name" }), "owner: user: unknown user nobody-of-this-name"},
		{driver("stdout", func(s *Stdout) { s.Flags = []string{"nonsense"} }), `flags[0]: flag "nonsense" is not known, want no_multi_line, syslog_protocol or threaded`},
		{driver("stdout", func(s *Stdout) { s.LogFIFOSize = 0 }), "log_fifo_size: 0 is below the minimum 1"},
		{driver("stdout", func(s *Stdout) { s.LogFIFOBytes = 1 }), "log_fifo_bytes: 1 is below the minimum 262144"},
		{driver("network", func(n *Network) { n.Address, n.MessageID = "a", "kad@32473" }), "message_id: only RFC 5424 has structured data: use driver syslog"},
		{driver("syslog", func(n *Network) { n.Address, n.MessageID = "a", "kad 1" }), `message_id: "kad 1" is no SD-ID: it has ' ', want one like "kad@32473"`},
		{driver("program", func(*Program) {}), "command: a command line is required"},
		{driver("unix_dgram", func(*Unix) {}), "path: the path of a socket is required"},
	} {
		if err := test.driver.Init(); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}
