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
	buf := make([]byte, 0, room)
	due := 0
	for i := range count {
		if len(buf) == 0 {
			due = int(time.Since(start) / time.Microsecond)
		}
		buf = appendMessage(buf, all, number, i, due)
		if i == count-1 || len(buf)+len(all[modelAt(number, i+1)].frame) > room {
			if _, err := conn.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	return nil
}

// room is how many bytes a connection sends at once: less if there are many connections, but always a message.
func (w workload) room() int {
	return max(w.size, maxSize+len(trailer), min(64<<10, 64<<20/w.conns))
}

func appendMessage(buf []byte, all []model, conn, number, due int) []byte {
	m := mark{conn, number, modelAt(conn, number), due}
	buf = append(buf, all[m.model].frame...)
	end := len(buf)
	if buf[end-1] == '\n' {
		end--
	}
	m.put(buf[:end])
	return buf
}

// burst is the time for which messages are sent at once, at a rate.
const burst = 500 * time.Microsecond

// pace sends at the rate of w: each half millisecond what was due in it, on one connection after the other.
func pace(w workload, all []model, conns []net.Conn, count int, start time.Time) error {
	each := w.rate * int(burst) / int(time.Second)
	sent := make([]int, len(conns))
	buf := make([]byte, 0, 64<<10)
	for i := 0; i*each < count*len(conns); i++ {
		conn := i % len(conns)
		begin := time.Duration(i) * burst
		time.Sleep(time.Until(start.Add(begin + burst)))
		n := min(each, count-sent[conn])
		for j := range n {
			due := begin + time.Duration(j)*burst/time.Duration(each)
			buf = appendMessage(buf, all, conn, sent[conn], int(due/time.Microsecond))
			sent[conn]++
			if w.udp || j == n-1 { // each message is a datagram, or all are one write
				if _, err := conns[conn].Write(buf); err != nil {
					return err
				}
				buf = buf[:0]
			}
		}
	}
	return nil
}
