package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// What a message has before its number, and how long that is.
const (
	mark   = "kad:"
	digits = 8
)

var filler = strings.Repeat("x", 150)

func appendMessage(to []byte, n int) []byte {
	return fmt.Appendf(to, "<13>Nov 22 10:00:00 h p: %s%0*d %s", mark, digits, n, filler)
}

// A feed sends messages until it is stopped.
type feed struct {
	conn    net.Conn
	stopped atomic.Bool
	ended   chan struct{}
	sent    int // with RELP: that were answered
	err     error
}

func (t *trial) feed() (*feed, error) {
	conn, err := dial(portIn)
	if err != nil {
		return nil, err
	}
	f := &feed{conn: conn, ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		if t.source == "relp" {
			f.err = f.relp(t.rate)
		} else {
			f.err = f.lines(t.rate)
		}
	}()
	return f, nil
}

// stop returns how many messages have to arrive.
func (f *feed) stop() (sent int, err error) {
	f.stopped.Store(true)
	if err := f.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return 0, err
	}
	<-f.ended
	return f.sent, f.err
}

// pace calls write with the number of messages that are due, until the feed is stopped. What the relay does not take in time
// is not caught up with.
func (f *feed) pace(rate int, write func(n int) error) error {
	for last := time.Now(); !f.stopped.Load(); {
		time.Sleep(time.Millisecond)
		now := time.Now()
		if err := write(int(min(now.Sub(last), 10*time.Millisecond).Seconds() * float64(rate))); err != nil {
			return err
		}
		last = now
	}
	return nil
}

func (f *feed) lines(rate int) error {
	var b []byte
	return f.pace(rate, func(n int) error {
		b = b[:0]
		for range n {
			b = append(appendMessage(b, f.sent), '\n')
			f.sent++
		}
		_, err := f.conn.Write(b)
		return err
	})
}

// relp sends by RELP with a window of 1000, until the relay is gone. What it has answered by then counts.
func (f *feed) relp(rate int) error {
	if _, err := f.conn.Write(appendFrame(nil, 1, "open", "relp_version=1\nrelp_software=feed\ncommands=syslog")); err != nil {
		return err
	}
	answers := bufio.NewReader(f.conn)
	if _, err := readFrame(answers); err != nil {
		return err
	}
	room := make(chan struct{}, 1000)
	go func() {
		next := 0
		_ = f.pace(rate, func(n int) error { // its error is that the relay is gone
			var b, text []byte
			for range n {
				room <- struct{}{}
				text = appendMessage(text[:0], next)
				b = appendFrame(b, next+2, "syslog", string(text))
				next++
			}
			_, err := f.conn.Write(b)
			return err
		})
	}()
	for {
		a, err := readFrame(answers)
		if err != nil {
			return nil
		}
		if a.number != f.sent+2 || !strings.HasPrefix(string(a.data), "200") {
			return fmt.Errorf("answer %d %q, want one to %d", a.number, a.data, f.sent+2)
		}
		f.sent++
		<-room
	}
}
