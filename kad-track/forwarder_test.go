package main

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// startForwarder serves the forwarder's control protocol on a unix socket, with the server that
// the forwarder has it from.
func startForwarder(t *testing.T, handle http.HandlerFunc) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handle}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return socket
}

func TestForwarder(t *testing.T) {
	tests := []struct {
		name   string
		handle http.HandlerFunc
		why    string
	}{
		{"ready", func(w http.ResponseWriter, r *http.Request) {
			if r.Method != "GET" || r.URL.Path != "/v1/health" {
				t.Errorf("got %s %s", r.Method, r.URL)
			}
			w.Write([]byte(`{"schema":1,"status":"ready"}` + "\n"))
		}, ""},
		{"starting", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "source s_net: port 514 is taken", http.StatusServiceUnavailable)
		}, "503 Service Unavailable: source s_net: port 514 is taken"},
		{"no body", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "500 Internal Server Error"},
		{"hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			"connected, but no answer: forwarder is stopped or hangs"},
		{"hangs in the body", func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "connected, but no answer: forwarder is stopped or hangs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			expect(t, tt.why, "--timeout", soon, "--forwarder="+startForwarder(t, tt.handle))
		})
	}
	t.Run("not HTTP", func(t *testing.T) {
		socket := serve(t, func(conn net.Conn) {
			conn.Read(make([]byte, 1000))
			conn.Write([]byte("OK\n.\n"))
		})
		expect(t, `"OK" is not an answer of HTTP`, "--forwarder="+socket)
	})
	t.Run("closes", func(t *testing.T) {
		socket := serve(t, func(conn net.Conn) { conn.Read(make([]byte, 1000)) })
		expect(t, "closed without an answer", "--forwarder="+socket)
	})
	t.Run("missing", func(t *testing.T) {
		expect(t, "forwarder does not run, or has its control socket elsewhere than in /none", "--forwarder=/none")
	})
}

func TestForwarderCounters(t *testing.T) {
	metrics := `# HELP forwarder_queue_messages Messages that wait.
# TYPE forwarder_queue_messages gauge
forwarder_queue_messages{destination="d_central"} 1.5e+06
forwarder_queue_messages{destination="d_file"} 0
forwarder_dropped_messages_total{destination="d_file",reason="queue_full"} 7
forwarder_received_messages_total{source="s_net"} 1e+09
go_goroutines 12
`
	socket := startForwarder(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/metrics" {
			w.Write([]byte(metrics))
		}
	})
	flag := "--forwarder=" + socket
	expect(t, "", flag, "--queue-below", "1500001")
	expect(t, "forwarder="+socket+": 1500000 messages wait for destination d_central", flag, "--queue-below", "1500000")

	state := t.TempDir()
	expect(t, "", flag, "--dropped-below", "1/1m", "--state-dir", state)
	metrics = strings.Replace(metrics, "} 7\n", "} 10\n", 1)
	expect(t, "forwarder="+socket+": 3 messages dropped in the last 1m0s", flag, "--dropped-below", "3/1m", "--state-dir", state)
	expect(t, "", flag, "--dropped-below", "4/1m", "--state-dir", state)

	metrics = "forwarder_queue_messages{destination=\"d\"} many\n"
	expect(t, `metric forwarder_queue_messages: "many" is not a count`, flag, "--queue-below", "1")
}
