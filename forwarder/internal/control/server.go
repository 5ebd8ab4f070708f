package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"kad/forwarder/internal/stats"
	"kad/pkg/conf"
)

// An Engine is what is controlled.
type Engine interface {
	Status() stats.Snapshot
	Health() error
	Reload() error
	Reopen()
	Level() slog.Level
	SetLevel(l slog.Level)
	// Failover does a verb, "switch", "pin" or "unpin", and tells what the destination does then.
	Failover(ctx context.Context, verb, destination, server string) (stats.Destination, error)
	Tap(o TapOptions) (*Tap, error)
}

// A notFoundError is about a name that is not known.
type notFoundError string

func (e notFoundError) Error() string { return string(e) }

type badRequestError struct{ error }

// BadRequest is the error of an Engine that is asked for what makes no sense.
func BadRequest(err error) error { return badRequestError{err} }

// NotFound is the error of an Engine that does not know a name: "no destination "x", did you mean y?".
func NotFound(what, name string, known []string) error {
	text := fmt.Sprintf("%s %q", what, name)
	if hint := conf.DidYouMean(name, known); hint != "" {
		text += ", " + hint
	} else if len(known) > 0 {
		text += ", only " + strings.Join(known, ", ")
	}
	return notFoundError(text)
}

// A handler answers, or fails before it has begun to.
type handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP tells an error by its status.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h(w, r)
	if err == nil {
		return
	}
	status := http.StatusConflict
	if _, ok := errors.AsType[notFoundError](err); ok {
		status = http.StatusNotFound
	}
	if _, ok := errors.AsType[badRequestError](err); ok {
		status = http.StatusBadRequest
	}
	http.Error(w, err.Error(), status)
}

// Handler answers what docs/control.md says.
func Handler(e Engine) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/health", health(e))
	mux.Handle("GET /v1/status", handler(func(w http.ResponseWriter, _ *http.Request) error { return write(w, e.Status()) }))
	mux.Handle("GET /v1/metrics", stats.Handler(e.Status))
	mux.Handle("POST /v1/reload", handler(func(http.ResponseWriter, *http.Request) error { return e.Reload() }))
	mux.HandleFunc("POST /v1/reopen", func(http.ResponseWriter, *http.Request) { e.Reopen() })
	mux.Handle("GET /v1/log-level", handler(func(w http.ResponseWriter, _ *http.Request) error {
		return write(w, map[string]any{"schema": stats.Schema, "level": levelName(e.Level())})
	}))
	mux.Handle("PUT /v1/log-level/{level}", handler(func(_ http.ResponseWriter, r *http.Request) error {
		level, ok := Levels[r.PathValue("level")]
		if !ok {
			return NotFound("no level", r.PathValue("level"), levelNames)
		}
		e.SetLevel(level)
		return nil
	}))
	mux.Handle("GET /v1/tap", handler(func(w http.ResponseWriter, r *http.Request) error { return serveTap(e, w, r) }))
	for _, verb := range []string{"switch", "pin", "unpin"} {
		mux.Handle("POST /v1/failover/{destination}/"+verb, handler(func(w http.ResponseWriter, r *http.Request) error {
			d, err := e.Failover(r.Context(), verb, r.PathValue("destination"), r.URL.Query().Get("server"))
			if err != nil {
				return err
			}
			return write(w, d)
		}))
	}
	return mux
}

// Metrics answers at the address for Prometheus.
func Metrics(e Engine) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", stats.Handler(e.Status))
	mux.Handle("GET /healthz", health(e))
	mux.Handle("GET /readyz", health(e))
	return mux
}

// health answers whether messages go on.
func health(e Engine) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := e.Health(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

func write(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone
	return nil
}

// Levels are those of the log.
var Levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warning": slog.LevelWarn, "error": slog.LevelError}

var levelNames = []string{"debug", "info", "warning", "error"}

func levelName(l slog.Level) string {
	for name, level := range Levels {
		if level == l {
			return name
		}
	}
	return l.String()
}
