package main

import (
	"bytes"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A recorder is a connection that keeps what is written, and when.
type recorder struct {
	net.Conn
	writes flow
	at     []time.Time
}

func (r *recorder) Write(b []byte) (int, error) {
	r.writes = append(r.writes, bytes.Clone(b))
	r.at = append(r.at, time.Now())
	return len(b), nil
}

// All connections send their messages, each once and in order, and no write is more than there is room for.
func TestSend(t *testing.T) {
	const count = 2100
	for _, w := range []workload{
		{name: "lines", conns: 1, destinations: 1},
		{name: "counted", conns: 3, destinations: 1, counted: true},
		{name: "long", conns: 2, destinations: 1, size: 1024},
		{name: "at a rate", conns: 3, destinations: 1, rate: 100_000},
	} {
		synctest.Test(t, func(t *testing.T) {
			all := newModels(w)
			var conns []net.Conn
			for range w.conns {
				conns = append(conns, &recorder{})
			}
			if err := send(w, all, conns, count, time.Now()); err != nil {
				t.Fatal(err)
			}
			var sent flow
			for _, conn := range conns {
				for _, b := range conn.(*recorder).writes {
					if sent = append(sent, b); len(b) > w.room() {
						t.Errorf("%s: %d bytes at once, want at most %d", w.name, len(b), w.room())
					}
				}
			}
			if got, want := checked(t, w, all, count, []flow{sent}, rand.New(rand.NewPCG(1, 1))); got != (faults{}) || want != got {
				t.Errorf("%s: %+v, plainly %+v", w.name, got, want)
			}
		})
	}
}

// At a rate, messages are due in even steps, and sent within the burst in which they were due.
func TestDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := workload{conns: 2, destinations: 1, rate: 20_000}
		conns := []net.Conn{&recorder{}, &recorder{}}
		start := time.Now()
		if err := send(w, newModels(w), conns, 1000, start); err != nil {
			t.Fatal(err)
		}
		const step = 50 * time.Microsecond
		for i, conn := range conns {
			due := time.Duration(i) * burst
			r := conn.(*recorder)
			for j, b := range r.writes {
				for _, text := range frames(b, false) {
					m, ok := markOf(text)
					if got := time.Duration(m.due) * time.Microsecond; !ok || got != due {
						t.Fatalf("connection %d: number %d was due at %v, want %v", i, m.number, got, due)
					}
					if late := r.at[j].Sub(start) - due; late <= 0 || late > burst {
						t.Fatalf("connection %d: number %d is sent %v after it was due", i, m.number, late)
					}
					if due += step; due%burst == 0 {
						due += burst // the other connection's
					}
				}
			}
		}
	})
}
