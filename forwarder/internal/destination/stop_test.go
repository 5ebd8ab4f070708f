package destination

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
	"kad/pkg/testneed"
)

// A destination that nothing waits for ends at once, also when its server is down.
func TestNothingToDrain(t *testing.T) {
	d := open(t, "d", driver("network", func(n *Network) {
		n.Address, n.Port, n.TimeReopen = "127.0.0.1", testneed.Port(t), option.Duration(time.Hour)
	}))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(t.Context(), slog.New(slog.DiscardHandler)) }()
	waitFor(t, "attempt to connect", func() bool { st, _ := d.Status(); return st.Reason != "" })
	d.Drain()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits for a server, though it has nothing to send")
	}
}

// Somebody who never reads cannot keep a destination from its end.
func TestNobodyReads(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	stream, err := net.Listen("unix", path("stream"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Close() }) // after the tests in parallel
	datagrams, err := net.ListenPacket("unixgram", path("dgram"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { datagrams.Close() })
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := syscall.Open(path("pipe"), syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(pipe) })
	for name, driver := range map[string]Driver{
		"unix_stream":                     driver("unix_stream", func(u *Unix) { u.Path = path("stream") }),
		"unix_dgram":                      driver("unix_dgram", func(u *Unix) { u.Path = path("dgram") }),
		"pipe":                            driver("pipe", func(p *Pipe) { p.Path = path("pipe") }),
		"program":                         driver("program", func(p *Program) { p.Command = "exec sleep 1000" }),
		"program that ignores SIGTERM":    driver("program", func(p *Program) { p.Command = "trap '' TERM; while :; do sleep 0.1; done" }),
		"program that stays without work": driver("program", func(p *Program) { p.Command = "cat >/dev/null; exec sleep 1000" }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, "d", driver)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = d.Run(ctx, slog.New(slog.NewTextHandler(io.Discard, nil))) // a program that was killed is an error
			}()
			b := queue.Get(0)
			for range 1000 {
				b.Data = append(b.Data, make([]byte, 1000)...)
				b.Ends = append(b.Ends, len(b.Data))
			}
			d.queue.Append(b)
			d.Drain()
			select {
			case <-ended:
				t.Fatal("it has ended by itself")
			case <-time.After(200 * time.Millisecond): // all are in Write or Close by now; if one is not, it ends as well
			}
			cancel()
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Error("it has not ended")
			}
		})
	}
}
