package control

import (
	"encoding/json"
	"fmt"
	"net/http"

	"kad/forwarder/internal/stats"
)

// An Engine is what is controlled.
type Engine interface {
	Status() stats.Snapshot
	Reload() error
	Reopen()
}

// Handler answers:
//
//	GET  /v1/health   200 when it works
//	GET  /v1/status   stats.Snapshot as JSON
//	GET  /v1/metrics  the same for Prometheus
//	POST /v1/reload   200 when the configuration as it is now is loaded, else 409 and why not
//	POST /v1/reopen   200 when files are to be opened anew
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
