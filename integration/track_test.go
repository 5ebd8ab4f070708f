package integration

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"kad/integration/lab"
)

// forwarderConf has room for 100 messages of a server that is not there.
const forwarderConf = `[options]
control_socket = "/run/forwarder/control.sock"
drain_timeout = "100ms"

[source.s_net]
driver = "network"
ip = "127.0.0.1"
port = 601

[destination.d_dead]
driver = "network"
address = "127.0.0.1"
port = 602
log_fifo_size = 100

[log.all]
source = ["s_net"]
destination = ["d_dead"]
`

// TestTrackForwarder has kad-track look at a forwarder that lives, hangs and dies, at their default paths.
func TestTrackForwarder(t *testing.T) {
	t.Parallel()
	l := lab.New(t, lab.Options{Bin: bin})
	h := l.AddHost("loghost01", "192.168.245.52/24")
	h.WriteFile("/etc/forwarder/forwarder.toml", []byte(forwarderConf), 0o644)
	start := func() {
		h.Start(lab.Forwarder)
		h.AwaitListener("tcp", "127.0.0.1:601")
	}
	track := func(why string, checks ...string) {
		t.Helper()
		want := lab.Result{}
		if why != "" {
			want = lab.Result{Code: 1, Stderr: "kad-track: --" + why + "\n"}
		}
		argv := append([]string{"kad-track", "--forwarder"}, checks...)
		if got := h.Run(argv...); got != want {
			t.Errorf("%q\ngot  %+v\nwant %+v\n%s", argv, got, want, l.State())
		}
	}
	const missing = "forwarder: forwarder does not run, or has its control socket elsewhere than in /run/forwarder/control.sock"
	track(missing)
	start()
	track("")
	track("", "--queue-below", "1", "--dropped-below", "1/1h")

	h.Hang(lab.Forwarder)
	begin := time.Now()
	track("forwarder: connected, but no answer: forwarder is stopped or hangs")
	if took := time.Since(begin); took > 9*time.Second {
		t.Errorf("took %v, want 900 ms at most", took)
	}
	h.Continue(lab.Forwarder)
	track("")

	sendLines(t, h, 500)
	l.Eventually(time.Minute, func() error {
		if got := h.Run("kad-track", "--forwarder", "--dropped-below", "400/1h"); got.Code != 1 {
			return fmt.Errorf("not yet: %+v", got)
		}
		return nil
	})
	track("queue-below 100: forwarder: 100 messages wait for destination d_dead", "--queue-below", "100")
	track("", "--queue-below", "101")
	track("dropped-below 400/1h: forwarder: 400 messages dropped in the last 1h0m0s", "--dropped-below", "400/1h")
	track("", "--dropped-below", "401/1h")

	h.Kill(lab.Forwarder)
	track("forwarder: nobody listens: forwarder has died and left its socket behind")
	start()
	track("", "--queue-below", "1", "--dropped-below", "1/1h")
	h.Stop(lab.Forwarder)
	track(missing)
}

// sendLines sends n messages to the network source of forwarderConf.
func sendLines(t *testing.T, h *lab.Host, n int) {
	t.Helper()
	err := h.Do(func() error {
		conn, err := net.Dial("tcp", "127.0.0.1:601")
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte(strings.Repeat("<46>Nov 22 01:02:03 client test: message\n", n)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
