package loadgen

import (
	"crypto/tls"
	"log/slog"
	"net"
	"testing"
	"time"

	"kad/forwarder/internal/relp"
)

// A relpServer counts messages in a tally and answers the first ones of each connection; then it does what end says.
type relpServer struct {
	tally  *Tally
	answer int // messages; below zero: all
	end    func(net.Conn)
}

func (s relpServer) start(t *testing.T, transport string, files TLS) Address {
	t.Helper()
	a := Address{"tcp", "127.0.0.1:0"}
	if transport == "relps" {
		a.Transport = "tls"
	}
	l, err := listenStream(a, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return Address{transport, l.Addr().String()}
}

func (s relpServer) serve(conn net.Conn) {
	defer conn.Close()
	session := relp.Session{Reader: relp.NewReader(conn, 1<<16)}
	for answered := 0; session.Fill() == nil; {
		var out []byte
		for event := relp.Event(-1); event != relp.None; {
			var f relp.Frame
			var err error
			switch event, f, err = session.Next(); event {
			case relp.Opened:
				out = relp.AppendResponse(out, f.Txnr, f.Data)
			case relp.Message:
				if answered == s.answer {
					_, _ = conn.Write(out)
					s.end(conn)
					return
				}
				batch := s.tally.begin(0)
				batch.add(f.Data)
				s.tally.mu.Unlock()
				out = relp.AppendOK(out, f.Txnr)
				answered++
			case relp.Closed:
				_, _ = conn.Write(relp.AppendOK(out, f.Txnr))
				return
			}
			if err != nil {
				return
			}
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// What a server has not answered when it fails goes to the next one: nothing is lost, and nothing comes twice that was not taken.
func TestRELP(t *testing.T) {
	reset := func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }
	for _, test := range []struct {
		name      string
		transport string
		first     int // messages that the first server answers
		end       func(net.Conn)
		timeout   time.Duration
	}{
		{"all is well", "relp", -1, nil, 5 * time.Second},
		{"TLS", "relps", -1, nil, 5 * time.Second},
		{"the server closes", "relp", 777, func(net.Conn) {}, 5 * time.Second},
		{"it closes TLS", "relps", 777, func(conn net.Conn) { reset(conn.(*tls.Conn).NetConn()) }, 5 * time.Second},
		{"it resets", "relp", 777, reset, 5 * time.Second},
		{"it answers no more", "relp", 777, func(net.Conn) { time.Sleep(2 * time.Second) }, 500 * time.Millisecond},
		{"it ends the session", "relp", 777, func(conn net.Conn) { _, _ = conn.Write(relp.AppendServerClose(nil)) }, 5 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			files := TLS{}
			if test.transport == "relps" {
				files = certificate(t)
			}
			tally := NewTally(0)
			o := options(relpServer{tally, test.first, test.end}.start(t, test.transport, files), relpServer{tally: tally, answer: -1}.start(t, test.transport, files))
			o.Timeout, o.TLS = test.timeout, files
			sent := exchangeWith(t, o, tally)
			got := tally.Judge()
			if sent.Sent != o.Count || sent.Unsent != 0 || got.Received != o.Count || got.Lost+got.Reordered+got.Foreign != 0 || sent.Answers == nil {
				t.Errorf("%+v %+v", sent, got)
			}
			if wantFailure := test.first >= 0; wantFailure != (sent.Reconnects > 0) || wantFailure != (sent.Resent > 0) || got.Duplicated > int64(o.Connections)*relpWindow {
				t.Errorf("%+v %+v", sent, got)
			}
		})
	}
}

// exchangeWith sends to servers that count in a tally.
func exchangeWith(t *testing.T, o Options, tally *Tally) Sent {
	t.Helper()
	sender, err := NewSender(o, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	sender.Run(t.Context())
	sender.Tell(tally)
	return sender.Result()
}
