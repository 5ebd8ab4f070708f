package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"kad/forwarder/internal/config"
	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/stats"
)

// A hanger is a step, and a sink, that do not come to an end before they are released.
type hanger struct{ entered, released chan struct{} }

func newHanger() *hanger { return &hanger{make(chan struct{}, 100), make(chan struct{})} }

func (h *hanger) hang() {
	h.entered <- struct{}{}
	<-h.released
}

func (h *hanger) Process(*logmsg.Message) bool { h.hang(); return true }
func (h *hanger) Modifies() bool               { return false }
func (h *hanger) NewBatch() logpath.Batch      { return h }
func (h *hanger) Add(*logmsg.Message, bool)    {}
func (h *hanger) Flush(*logmsg.Receipt)        { h.hang() }

// A systemd listens to what it is told.
type systemdSocket struct{ *net.UnixConn }

func listenAsSystemd(t *testing.T) systemdSocket {
	t.Helper()
	path := t.TempDir() + "/notify"
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "60000000")
	t.Setenv("WATCHDOG_PID", "")
	return systemdSocket{c}
}

// heard is what has been told so far.
func (s systemdSocket) heard(t *testing.T) (list []string) {
	t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		buf := make([]byte, 4096)
		for n, err := unix.Read(int(fd), buf); err == nil; n, err = unix.Read(int(fd), buf) {
			list = append(list, string(buf[:n]))
		}
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// Systemd's watchdog is not fed while a reader hangs in a log path, but while it waits for a destination.
func TestWatchdog(t *testing.T) {
	systemd := listenAsSystemd(t)
	socket := t.TempDir() + "/socket"
	d, err := New(func() (*config.Config, error) {
		return config.Parse("f.toml", fmt.Appendf(nil, "[source.s]\ndriver = \"unix_dgram\"\npath = %q\n", socket))
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	step, sink := newHanger(), newHanger()
	program := logpath.Compile(&logpath.Graph{
		Sources: []logpath.Source{{Name: "s", Channels: [][]logpath.Element{nil}}},
		Paths:   []*logpath.Statement{{Sources: []string{"s"}, Elements: []logpath.Element{&logpath.Work{Step: step}, &logpath.Send{Sink: sink}}}},
	})
	in := d.sources[config.SourceText("s", 0)].input
	in.SetRoute(program, program.Entry("s", 0))
	d.start()
	d.watch = d.newWatch()
	defer d.watch.ticker.Stop()
	looks := func(when string, hanging []string, fed int) {
		t.Helper()
		for range 2 {
			d.look()
		}
		heard := systemd.heard(t)
		n := 0
		for _, h := range heard {
			if h == "WATCHDOG=1" {
				n++
			}
		}
		if !slices.Equal(d.watch.hanging, hanging) || n != fed {
			t.Errorf("%s: %q hang, fed %d times, want %q and %d; heard %q", when, d.watch.hanging, n, hanging, fed, heard)
		}
	}
	looks("at the start", nil, 2)
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "<13>Oct 11 22:14:15 app: hello")
	<-step.entered
	looks("in a step", []string{"source s"}, 1)
	close(step.released)
	<-sink.entered
	looks("in a sink", nil, 2)
	close(sink.released)
	if err := d.stop(); err != nil {
		t.Error(err)
	}
}

// A destination with servers whose goroutine does not answer hangs.
func TestHangingDestination(t *testing.T) {
	c, err := config.Parse("f.toml", []byte("[destination.d]\ndriver = \"network\"\naddress = \"192.0.2.1\"\n[destination.f]\ndriver = \"file\"\npath = \"/dev/null\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	hangs := func(d *destination.Destination) bool {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := &sending{Destination: d, ctx: ctx} // nothing runs it
		if s.hangs() {
			t.Errorf("%s hangs before it was asked", d)
		}
		if d.Name == "f" {
			<-s.answered
		}
		return s.hangs()
	}
	if !hangs(c.Destinations[0]) {
		t.Error("a goroutine that does not run answers")
	}
	if hangs(c.Destinations[1]) {
		t.Error("a file has no goroutine that could answer")
	}
}

func TestEssence(t *testing.T) {
	got := essence(stats.Snapshot{Sources: make([]stats.Source, 2), Destinations: []stats.Destination{
		{Name: "d_central", State: stats.Connected, Server: &stats.Server{Servers: []string{"primary", "failover1"}, Current: "failover1"}, Queued: 3},
		{Name: "d_quiet", State: stats.Connected, Server: &stats.Server{Servers: []string{"primary"}, Current: "primary"}},
		{Name: "d_file", State: stats.Failing, Queued: 4},
	}})
	if want := "2 sources, 3 destinations; d_central: failover1 in use; d_file: failing; 7 queued"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
