package integration

import (
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"kad/integration/lab"
)

// journal is what a host's journald would have got.
type journal struct {
	mu      sync.Mutex
	entries []map[string]string
}

// listenJournal listens where journald does.
func listenJournal(t *testing.T, h *lab.Host) *journal {
	t.Helper()
	var conn *net.UnixConn
	err := h.Do(func() (err error) {
		const socket = "/run/systemd/journal/socket"
		if err := os.MkdirAll("/run/systemd/journal", 0o755); err != nil {
			return err
		}
		conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	j := &journal{}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			entry := map[string]string{}
			for line := range strings.Lines(string(buf[:n])) {
				k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				entry[k] = v
			}
			j.mu.Lock()
			j.entries = append(j.entries, entry)
			j.mu.Unlock()
		}
	}()
	return j
}

// transitionID is the MESSAGE_ID of kad-notify's events.
const transitionID = "6f1d2c8e6b3f4c0a9f58b1f1c0d3a7e4"

// transitions returns the states that each instance has gone through, "BACKUP MASTER". One that is told
// again, as by sync, counts once.
func (j *journal) transitions() map[string]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	states := map[string]string{}
	for _, e := range j.entries {
		if before := states[e["INSTANCE"]]; e["MESSAGE_ID"] == transitionID && !strings.HasSuffix(before, e["STATE"]) {
			states[e["INSTANCE"]] = strings.TrimSpace(before + " " + e["STATE"])
		}
	}
	return states
}

func (j *journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = nil
}

// has reports whether an entry has all these fields.
func (j *journal) has(fields map[string]string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.entries, func(e map[string]string) bool {
		for k, v := range fields {
			if e[k] != v {
				return false
			}
		}
		return true
	})
}
