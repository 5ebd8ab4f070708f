// Package control is the control socket of a forwarder that runs, and its client: HTTP over a unix socket.
//
//	GET  /v1/health   200 when it works
//	GET  /v1/status   stats.Snapshot as JSON
//	GET  /v1/metrics  the same for Prometheus
//	POST /v1/reload   200 when the configuration as it is now is loaded, else 409 and why not
//	POST /v1/reopen   200 when files are to be opened anew
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kad/forwarder/internal/stats"
)

// DefaultSocket is where the unit has it.
const DefaultSocket = "/run/forwarder/control.sock"

// An Engine is what is controlled.
type Engine interface {
	Status() stats.Snapshot
	Reload() error
	Reopen()
}

// Listen binds the socket, for its owner and group.
func Listen(path string) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close() // it was only to see whether somebody listens
		return nil, fmt.Errorf("%s is in use by another process", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Serve answers until ctx ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Handler answers what stands in the comment of the package.
func Handler(e Engine) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, _ *http.Request) {
		e.Status() // who does not answer this does not work
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(e.Status()) // the client has gone
	})
	mux.Handle("GET /v1/metrics", stats.Handler(e.Status))
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, _ *http.Request) {
		if err := e.Reload(); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	mux.HandleFunc("POST /v1/reopen", func(http.ResponseWriter, *http.Request) { e.Reopen() })
	return mux
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 16 << 20

// Ask makes a request to the forwarder at a socket, and returns the body of its answer.
func Ask(ctx context.Context, socket, method, path string) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	request, err := http.NewRequestWithContext(ctx, method, "http://forwarder"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, errors.Unwrap(err) // without the address, which is not one
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(body)))
	}
	return body, err
}
