package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAskForwarder(t *testing.T) {
	listen := func() *net.UnixListener {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "control.sock")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	serve := func(h http.HandlerFunc) string {
		l := listen()
		server := &http.Server{Handler: h}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
		return l.Addr().String()
	}
	dead := listen()
	dead.SetUnlinkOnClose(false)
	dead.Close()
	for _, c := range []struct{ name, socket, want string }{
		{"ok", serve(func(http.ResponseWriter, *http.Request) {}), `{"health":"ok"}`},
		{"fails", serve(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "source s hangs", http.StatusServiceUnavailable)
		}),
			`{"health":"fails","error":"source s hangs"}`},
		{"no answer", listen().Addr().String(), `{"health":"no answer","error":"connected, but no answer: forwarder is stopped or hangs"}`},
		{"dead", dead.Addr().String(), `{"health":"dead","error":"nobody listens: forwarder has died and left its socket behind"}`},
		{"none", t.TempDir() + "/none", `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			timeout := time.Minute
			if c.name == "no answer" {
				timeout = 2 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			if got, _ := json.Marshal(askForwarder(ctx, c.socket)); string(got) != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// withForwarder is what kad-status -o json prints for a capture on a host with a forwarder, as a script.
func withForwarder(t *testing.T, capture string, f forwarderView) string {
	t.Helper()
	h := capturedView(t, capture)
	h.Forwarder = &f
	return jsonScript(t, h)
}

// capturedView is the view of a host that a capture was taken of.
func capturedView(t *testing.T, capture string) *hostView {
	t.Helper()
	stdout, stderr, code := runTool(t, append(saved(t, "testdata/captures/"+capture), "-o", "json")...)
	if code != 0 {
		t.Fatal(stderr)
	}
	var h hostView
	if err := json.Unmarshal([]byte(stdout), &h); err != nil {
		t.Fatal(err)
	}
	return &h
}

func TestForwarderInWideTable(t *testing.T) {
	h := capturedView(t, "2.2.7/a-normal-loghost01")
	h.Forwarder = &forwarderView{Health: forwarderNoAnswer, Error: "connected, but no answer: forwarder is stopped or hangs"}
	var got, table strings.Builder
	if err := h.write(&table, options{format: "table"}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToLower(table.String()), "forwarder") {
		t.Errorf("the table of the specification has changed:\n%s", table.String())
	}
	if err := h.write(&got, options{format: "wide"}); err != nil {
		t.Fatal(err)
	}
	for _, line := range h.lines() {
		fmt.Fprintln(&got, line)
	}
	h.writeCheck(&got)
	golden(t, "testdata/forwarder-wide.txt", got.String())

	got.Reset()
	if err := h.writePrometheus(&got); err != nil || !strings.Contains(got.String(), "\nkad_forwarder_healthy 0\n") {
		t.Errorf("%v, got\n%s", err, got.String())
	}
}

func TestForwarderInCluster(t *testing.T) {
	const normal1, normal2 = "2.2.7/a-normal-loghost01", "2.2.7/a-normal-loghost02"
	ok := forwarderView{Health: forwarderOK}
	var got strings.Builder
	for _, c := range []struct{ name, one, two string }{
		{"both", withForwarder(t, normal1, ok), withForwarder(t, normal2, ok)},
		{"one fails", withForwarder(t, normal1, ok), withForwarder(t, normal2, forwarderView{forwarderFails, "source s hangs"})},
		{"one has none", withForwarder(t, normal1, ok), sawView(t, normal2)},
		{"one is unreachable", withForwarder(t, normal1, ok), "echo gone >&2; exit 255"},
	} {
		rsh := fakeHosts(t, map[string]string{"loghost01": c.one, "loghost02": c.two})
		for _, args := range [][]string{nil, {"--check"}} {
			stdout, stderr, code := runTool(t, append(args, "--rsh", rsh, "loghost01", "loghost02")...)
			fmt.Fprintf(&got, "# %s %v; exit code %d\n%s%s", c.name, args, code, stdout, stderr)
		}
	}
	golden(t, "testdata/forwarder-cluster.txt", got.String())
}
