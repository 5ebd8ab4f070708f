package stats

import (
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// A metric is a name with what it means, and how its values are found in a snapshot.
type metric struct {
	name, help string
	labels     []string
	kind       kind
	values     func(s *Snapshot, give func(value any, labels ...string))
}

// metrics are all that a forwarder has of its own, in the order of the page.
var metrics = sync.OnceValue(func() (list []*metric) {
	add := func(name, help string, kind kind, labels []string, values func(s *Snapshot, give func(value any, labels ...string))) {
		list = append(list, &metric{name, help, labels, kind, values})
	}
	source := func(name, help string, kind kind, value func(s *Source) any) {
		add(name, help, kind, []string{"source", "driver"}, func(s *Snapshot, give func(value any, labels ...string)) {
			for i := range s.Sources {
				give(value(&s.Sources[i]), s.Sources[i].Name, strconv.Itoa(s.Sources[i].Index))
			}
		})
	}
	destination := func(name, help string, kind kind, value func(s *Snapshot, d *Destination) any) {
		add(name, help, kind, []string{"destination"}, func(s *Snapshot, give func(value any, labels ...string)) {
			for i := range s.Destinations {
				give(value(s, &s.Destinations[i]), s.Destinations[i].Name)
			}
		})
	}
	reasons := func(name, help string, counts func(d *Destination) map[string]uint64) {
		add(name, help, counter, []string{"destination", "reason"}, func(s *Snapshot, give func(value any, labels ...string)) {
			for i := range s.Destinations {
				by := counts(&s.Destinations[i])
				for _, reason := range slices.Sorted(maps.Keys(by)) {
					give(by[reason], s.Destinations[i].Name, reason)
				}
			}
		})
	}
	server := func(name, help string, kind kind, labels []string, values func(d *Destination, give func(value any, labels ...string))) {
		add(name, help, kind, append([]string{"destination"}, labels...), func(s *Snapshot, give func(value any, labels ...string)) {
			for i := range s.Destinations {
				if d := &s.Destinations[i]; d.Server != nil {
					values(d, func(value any, labels ...string) { give(value, append([]string{d.Name}, labels...)...) })
				}
			}
		})
	}
	stream := func(name, help string, kind kind, value func(s *Stream) any) {
		add(name, help, kind, []string{"user"}, func(s *Snapshot, give func(value any, labels ...string)) {
			for i := range s.Sources {
				if from := &s.Sources[i]; from.Stream != nil {
					give(value(from.Stream), "source "+from.Name+" "+strconv.Itoa(from.Index))
				}
			}
			for i := range s.Destinations {
				if to := &s.Destinations[i]; to.Stream != nil {
					give(value(to.Stream), "destination "+to.Name)
				}
			}
		})
	}
	source("forwarder_received_messages_total", "Messages that a source has received.", counter, func(s *Source) any { return s.Received })
	source("forwarder_truncated_messages_total", "Messages longer than log_msg_size.", counter, func(s *Source) any { return s.Truncated })
	source("forwarder_parse_errors_total", "Messages that could not be parsed and went on as an error message.", counter, func(s *Source) any { return s.ParseErrors })
	source("forwarder_frame_errors_total", "Connections that were closed because their frames could not be told apart.", counter, func(s *Source) any { return s.FrameErrors })
	source("forwarder_tls_errors_total", "TLS handshakes of clients that failed.", counter, func(s *Source) any { return s.TLSErrors })
	source("forwarder_refused_connections_total", "Connections beyond max_connections.", counter, func(s *Source) any { return s.Refused })
	source("forwarder_kernel_dropped_datagrams_total", "Datagrams that the kernel dropped because the socket was full.", counter, func(s *Source) any { return s.KernelDrops })
	source("forwarder_connections", "Connections of clients that are open.", gauge, func(s *Source) any { return s.Connections })
	add("forwarder_source_blocked", "1 where a source waits for a destination to have room (flow_control).", gauge, []string{"source", "driver", "destination"},
		func(s *Snapshot, give func(value any, labels ...string)) {
			for _, source := range s.Sources {
				for _, d := range source.BlockedBy {
					give(1, source.Name, strconv.Itoa(source.Index), d)
				}
			}
		})
	add("forwarder_matched_messages_total", "Messages that a log path has processed.", counter, []string{"log_path"},
		func(s *Snapshot, give func(value any, labels ...string)) {
			for _, p := range s.Paths {
				give(p.Matched, p.Name)
			}
		})
	destination("forwarder_routed_messages_total", "Messages that log paths have led to a destination.", counter, func(_ *Snapshot, d *Destination) any { return d.Routed })
	destination("forwarder_sent_messages_total", "Messages that a destination has sent and that were acknowledged.", counter, func(_ *Snapshot, d *Destination) any { return d.Sent })
	reasons("forwarder_dropped_messages_total", "Messages that will not be sent.", func(d *Destination) map[string]uint64 { return d.Dropped })
	reasons("forwarder_resent_messages_total", "Messages that were sent again after a connection was lost.", func(d *Destination) map[string]uint64 { return d.Resent })
	destination("forwarder_queue_messages", "Messages that wait in the queue of a destination, or are on their way.", gauge, func(_ *Snapshot, d *Destination) any { return d.Queued })
	destination("forwarder_queue_bytes", "Bytes of them; of a disk buffer, of its segments and of what is in memory alone.", gauge, func(_ *Snapshot, d *Destination) any { return d.Bytes })
	destination("forwarder_queue_oldest_seconds", "Time since the oldest of them was received; 0 if there is none.", gauge, func(s *Snapshot, d *Destination) any {
		if d.Oldest.IsZero() {
			return 0
		}
		return max(0, s.Time.Sub(d.Oldest).Seconds())
	})
	destination("forwarder_blocked_seconds_total", "Time that sources have waited for a destination to have room, all together.", counter, func(_ *Snapshot, d *Destination) any { return d.Blocked })
	destination("forwarder_batch_messages", "Messages that a read of a source brings to a destination at once.", histogram, func(_ *Snapshot, d *Destination) any { return &d.Batches })
	destination("forwarder_delivery_seconds", "Time from the receipt of a message to its acknowledgement.", histogram, func(_ *Snapshot, d *Destination) any { return &d.Delays })
	destination("forwarder_destination_up", "1 if a destination is connected to a server, or its driver works.", gauge, func(_ *Snapshot, d *Destination) any {
		return truth(d.State == Connected || d.State == Working)
	})
	server("forwarder_server_in_use", "1 for the server that a destination is connected to, 0 for its other servers.", gauge, []string{"server"}, func(d *Destination, give func(value any, labels ...string)) {
		given := map[string]bool{}
		for i, name := range d.Server.Servers {
			if !given[name] {
				give(truth(d.State == Connected && d.Server.IsCurrent(i)), name)
			}
			given[name] = true
		}
	})
	server("forwarder_server_switches_total", "Connections of a destination after its first one.", counter, nil, func(d *Destination, give func(value any, labels ...string)) { give(d.Server.Switches) })
	server("forwarder_server_pinned", "1 while a destination uses no server but one.", gauge, nil, func(d *Destination, give func(value any, labels ...string)) { give(truth(d.Server.IsPinned)) })
	server("forwarder_probes_total", "Probes of the primary server.", counter, []string{"result"}, func(d *Destination, give func(value any, labels ...string)) {
		give(d.Server.Probes-d.Server.FailedProbes, "success")
		give(d.Server.FailedProbes, "failure")
	})
	stream("forwarder_stream_up", "1 while a source or destination of nats or kafka is connected to a server.", gauge, func(s *Stream) any { return truth(s.Server != "") })
	stream("forwarder_stream_messages", "Messages that the stream has; of Kafka 0, it is not known.", gauge, func(s *Stream) any { return s.Messages })
	stream("forwarder_stream_in_flight_messages", "Messages that were published, or consumed, and are not acknowledged.", gauge, func(s *Stream) any { return s.InFlight })
	stream("forwarder_stream_pending_messages", "Messages that are to be consumed.", gauge, func(s *Stream) any { return s.Pending })
	stream("forwarder_stream_ack_lag_seconds", "Time since the oldest in flight was published; 0 if there is none.", gauge, func(s *Stream) any { return s.Lag })
	stream("forwarder_stream_duplicates_total", "Messages that were published or delivered again, and known.", counter, func(s *Stream) any { return s.Duplicates })
	stream("forwarder_stream_cut_messages_total", "Messages that were too large, and truncated or split.", counter, func(s *Stream) any { return s.Cut })
	stream("forwarder_stream_leader_changes_total", "Changes of the stream's leader that were seen.", counter, func(s *Stream) any { return s.LeaderChanges })
	add("forwarder_certificate_expiry_timestamp_seconds", "When a certificate of ours ends.", gauge, []string{"user"}, func(s *Snapshot, give func(value any, labels ...string)) {
		for _, c := range s.Certificates {
			give(c.NotAfter.Unix(), c.User)
		}
	})
	add("forwarder_vip_held", "1 while this host holds an address that vip_held() or a source with freebind asks for.", gauge, []string{"address"}, func(s *Snapshot, give func(value any, labels ...string)) {
		for _, v := range s.VIPs {
			give(truth(v.IsHeld), v.Address)
		}
	})
	add("forwarder_reloads_total", "Reloads of the configuration.", counter, []string{"result"}, func(s *Snapshot, give func(value any, labels ...string)) {
		give(s.Configuration.Reloads, "success")
		give(s.Configuration.Failed, "failure")
	})
	add("forwarder_last_reload_successful", "0 when the last reload failed, and the configuration before it goes on.", gauge, nil, func(s *Snapshot, give func(value any, labels ...string)) {
		give(truth(s.Configuration.Error == ""))
	})
	add("forwarder_configuration_timestamp_seconds", "When the configuration that runs was loaded.", gauge, nil, func(s *Snapshot, give func(value any, labels ...string)) {
		give(s.Configuration.Loaded.Unix())
	})
	add("forwarder_build_info", "Always 1.", gauge, []string{"version", "goversion"}, func(s *Snapshot, give func(value any, labels ...string)) {
		give(1, s.Version, runtime.Version())
	})
	return list
})

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Handler answers with the metrics, and those of the process.
func Handler(take func() Snapshot) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s, out := take(), exposition(nil)
		for _, m := range metrics() {
			begun := false
			m.values(&s, func(value any, values ...string) {
				if !begun {
					out, begun = out.family(m.name, m.help, m.kind), true
				}
				out = out.value(m.name, value, labels(m.labels, values))
			})
		}
		out = out.process().runtime()
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(out) // who has gone does not miss them
	})
}
