package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// dial opens the connections to the forwarder on a port, the silent ones too, and waits for it to listen.
func dial(w workload, config *tls.Config, port int) (conns []net.Conn, err error) {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	deadline := time.Now().Add(20 * time.Second)
	for len(conns) < w.conns+w.idle {
		conn, err := dialOne(w, config, address, port)
		if err != nil {
			if time.Now().After(deadline) {
				return conns, err
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func dialOne(w workload, config *tls.Config, address string, port int) (net.Conn, error) {
	switch {
	case w.tls:
		return tls.Dial("tcp", address, config)
	case w.udp && !listensUDP(port):
		return nil, fmt.Errorf("nobody listens on UDP port %d", port)
	case w.udp:
		return net.Dial("udp", address)
	}
	return net.Dial("tcp", address)
}

// listensUDP tells whether a socket has the port, by proc_pid_net(5): local addresses there end in the port in hexadecimal.
func listensUDP(port int) bool {
	table, err := os.ReadFile("/proc/net/udp")
	return err == nil && bytes.Contains(table, fmt.Appendf(nil, ":%04X 00000000:0000", port))
}

// send sends count messages on each connection.
func send(w workload, all []model, conns []net.Conn, count int, start time.Time) error {
	if w.rate > 0 {
		return pace(w, all, conns[:w.conns], count, start)
	}
	var wg sync.WaitGroup
	errs := make([]error, w.conns)
	for i := range errs {
		wg.Go(func() { errs[i] = flood(all, conns[i], i, count, w.room(), start) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// flood sends as fast as the connection takes it.
func flood(all []model, conn net.Conn, number, count, room int, start time.Time) error {
	next := newStream(all, number, 0)
	buf := make([]byte, 0, room)
	for next.number < count {
		next.trailer.due(int(time.Since(start) / time.Microsecond))
		for buf = buf[:0]; next.number < count && len(buf)+len(next.model().frame) <= room; {
			buf = next.append(buf)
		}
		if _, err := conn.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// room is how many bytes a connection sends at once: less if there are many connections, but always a message.
func (w workload) room() int {
	return max(w.size, maxSize+len(blank), min(64<<10, 64<<20/w.conns))
}

// A stream is what a connection sends, from its next message on.
type stream struct {
	all          []model
	conn, number int
	trailer      trailer
}

func newStream(all []model, conn, number int) *stream {
	return &stream{all, conn, number, trailerOf(mark{conn, number, modelAt(conn, number), 0})}
}

func (s *stream) model() *model { return &s.all[modelAt(s.conn, s.number)] }

// append puts the next message behind buf.
func (s *stream) append(buf []byte) []byte {
	m := s.model()
	begin := len(buf)
	buf = append(buf, m.frame...)
	*(*trailer)(buf[begin+m.end-len(blank):]) = s.trailer
	s.forward(1)
	return buf
}

// forward skips n messages.
func (s *stream) forward(n int) {
	s.number += n
	s.trailer.forward(n, s.model())
}

// burst is the time for which messages are sent at once, at a rate.
const burst = 500 * time.Microsecond

// pace sends at the rate of w: each half millisecond what was due in it, on one connection after the other.
func pace(w workload, all []model, conns []net.Conn, count int, start time.Time) error {
	each := w.rate * int(burst) / int(time.Second)
	var streams []*stream
	for i := range conns {
		streams = append(streams, newStream(all, i, 0))
	}
	buf := make([]byte, 0, 64<<10)
	for i := 0; i*each < count*len(conns); i++ {
		conn := i % len(conns)
		next := streams[conn]
		begin := time.Duration(i) * burst
		time.Sleep(time.Until(start.Add(begin + burst)))
		n := min(each, count-next.number)
		for j := range n {
			due := begin + time.Duration(j)*burst/time.Duration(each)
			next.trailer.due(int(due / time.Microsecond))
			buf = next.append(buf)
			if w.udp { // each message is a datagram
				buf = bytes.TrimSuffix(buf, []byte("\n"))
			} else if j < n-1 { // all are one write
				continue
			}
			if _, err := conns[conn].Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	return nil
}
