// Package stats has what a forwarder tells about itself: a Snapshot of its counters, as JSON and as metrics of Prometheus.
package stats

import "time"

// Schema is the version of a Snapshot as JSON.
const Schema = 1

// A Snapshot is all that is known at one moment.
type Snapshot struct {
	Schema        int           `json:"schema"`
	Time          time.Time     `json:"time"`
	Version       string        `json:"version"`
	Started       time.Time     `json:"started"`
	Configuration Configuration `json:"configuration"`
	Sources       []Source      `json:"sources"`
	Paths         []Path        `json:"log_paths"`
	Destinations  []Destination `json:"destinations"`
	Certificates  []Certificate `json:"certificates"`
	VIPs          []VIP         `json:"vips"`
}

// A Configuration tells what came of reading the file.
type Configuration struct {
	Loaded  time.Time `json:"loaded"`          // when the one that runs was
	Reloads uint64    `json:"reloads"`         // that have succeeded
	Failed  uint64    `json:"failed_reloads"`  // that have not
	Error   string    `json:"error,omitempty"` // of the last reload; empty: it succeeded
}

// A Source is one driver of a source.
type Source struct {
	Name        string   `json:"name"`
	Index       int      `json:"index"` // of the source's drivers, from 0
	Driver      string   `json:"driver"`
	Received    uint64   `json:"received_messages"`        // since the driver was opened
	Truncated   uint64   `json:"truncated_messages"`       // longer than log_msg_size
	ParseErrors uint64   `json:"parse_errors"`             // messages that went on as an error message
	FrameErrors uint64   `json:"frame_errors"`             // connections closed because their frames could not be told apart
	TLSErrors   uint64   `json:"tls_errors"`               // handshakes that failed
	Refused     uint64   `json:"refused_connections"`      // beyond max_connections
	KernelDrops uint64   `json:"kernel_dropped_datagrams"` // that came to a full socket
	Connections int      `json:"connections"`              // that are open
	BlockedBy   []string `json:"blocked_by"`               // destinations that have no room, with flow-control
	Stream      *Stream  `json:"stream,omitempty"`
}

// A Certificate is one of ours.
type Certificate struct {
	User     string    `json:"user"` // "source s 0", "destination d"
	NotAfter time.Time `json:"not_after"`
}

// A VIP is an address that the configuration asks for.
type VIP struct {
	Address string `json:"address"`
	IsHeld  bool   `json:"held"` // by this host
}

// A Path is a log statement, or one embedded in another.
type Path struct {
	Name    string `json:"name"` // "mail", "mail.never"
	Matched uint64 `json:"matched_messages"`
}

// A Destination is one driver of a destination. It counts messages since it was opened.
type Destination struct {
	Name        string            `json:"name"`
	Driver      string            `json:"driver"`
	State       State             `json:"state"`
	Error       string            `json:"error,omitempty"` // the last one
	Server      *Server           `json:"server,omitempty"`
	Stream      *Stream           `json:"stream,omitempty"`
	Routed      uint64            `json:"routed_messages"`  // by log paths
	Sent        uint64            `json:"sent_messages"`    // acknowledged
	Dropped     map[string]uint64 `json:"dropped_messages"` // by reason
	Resent      map[string]uint64 `json:"resent_messages"`  // by reason
	SentBytes   uint64            `json:"sent_bytes"`
	ResentBytes map[string]uint64 `json:"resent_bytes"`    // by reason
	Disk        *Disk             `json:"disk,omitempty"`  // nil: what waits does so in memory
	Queued      int               `json:"queued_messages"` // wait, or are on their way
	Bytes       int64             `json:"queued_bytes"`
	Oldest      time.Time         `json:"oldest,omitzero"` // receipt of the oldest message that waits
	IsOnDisk    bool              `json:"on_disk"`         // what waits outlives the process
	Blocked     float64           `json:"blocked_seconds"` // that sources have waited for room, all together
	Blocks      []string          `json:"blocks"`          // sources that wait

	Batches, Delays Histogram `json:"-"`
}

// A Disk is what a disk buffer has on the disk.
type Disk struct {
	Used     int64 `json:"used_bytes"`
	Capacity int64 `json:"capacity_bytes"`
	Lost     int   `json:"lost_messages"` // by damage
}

// A Stream is that of JetStream to which a destination publishes, or from which a source consumes.
type Stream struct {
	Name     string    `json:"name"`
	Server   string    `json:"server,omitempty"`  // of the connection; empty: there is none
	Cluster  string    `json:"cluster,omitempty"` // empty: it is a single server
	Leader   string    `json:"leader,omitempty"`
	Replicas []Replica `json:"replicas,omitempty"` // beside the leader
	Messages uint64    `json:"messages"`           // that it has
	InFlight uint64    `json:"in_flight_messages"` // published, or consumed, and not acknowledged
	Pending  uint64    `json:"pending_messages"`   // to be consumed
	Lag      float64   `json:"ack_lag_seconds"`    // since the oldest in flight was published
	Cut      uint64    `json:"cut_messages"`       // that were too large: truncated or split
	Error    string    `json:"error,omitempty"`    // why a source consumes nothing

	Duplicates    uint64 `json:"duplicate_messages"` // that came a second time and were known: published again, or delivered again
	LeaderChanges uint64 `json:"leader_changes"`     // that were seen
}

// A Replica is a server that follows the leader.
type Replica struct {
	Name      string `json:"name"`
	IsCurrent bool   `json:"current"`
	Lag       uint64 `json:"lag_operations"`
}

// A State is what a destination does.
type State string

// The states.
const (
	Connected    State = "connected"    // to a server
	Disconnected State = "disconnected" // from all servers
	Working      State = "working"      // its driver has no servers
	Failing      State = "failing"
)

// A Server is what a destination that has servers does with them.
type Server struct {
	Servers      []string  `json:"servers"`
	Current      string    `json:"current"`           // in use, or tried
	Address      string    `json:"address,omitempty"` // of the connection
	Since        time.Time `json:"since,omitzero"`    // of the connection, or of the last one
	IsPinned     bool      `json:"pinned"`            // no other one is used
	Switches     uint64    `json:"switches"`          // connections after the first one
	Failed       time.Time `json:"failed,omitzero"`   // the last time that a server did
	Probes       uint64    `json:"probes"`
	FailedProbes uint64    `json:"failed_probes"`
	GoodProbes   int       `json:"good_probes"`           // of the primary server, one after the other
	ProbeError   string    `json:"probe_error,omitempty"` // of the last probe
	Errors       []string  `json:"errors"`                // of each server, the last one since it worked
}

// IsCurrent tells whether the server i is in use, or tried.
func (s *Server) IsCurrent(i int) bool { return s.Servers[i] == s.Current }
