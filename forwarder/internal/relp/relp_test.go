package relp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// frames reads a stream to its end, and has each frame as text.
func frames(from io.Reader, maxData int) (list []string, err error) {
	for r := NewReader(from, maxData); ; {
		f, ok, err := r.Next()
		if err != nil {
			return list, err
		}
		if ok {
			list = append(list, fmt.Sprintf("%d %s %q %d", f.Txnr, f.Command, f.Data, f.Cut))
			continue
		}
		if err := r.Fill(); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return list, err
		}
	}
}

func TestReader(t *testing.T) {
	for _, test := range []struct {
		name, stream, want, err string
	}{
		{"command", "1 open 3 a=b\n", `1 open "a=b" 0`, ""},
		{"without data", "2 close 0\n", `2 close "" 0`, ""},
		{"hint", "0 serverclose 0\n", `0 serverclose "" 0`, ""},
		{"newline in the data", "999999999 syslog 3 a\nb\n", `999999999 syslog "a\nb" 0`, ""},
		{"two", "1 rsp 6 200 OK\n2 rsp 6 200 OK\n", `1 rsp "200 OK" 0,2 rsp "200 OK" 0`, ""},
		{"longest data", "1 syslog 20 " + strings.Repeat("x", 20) + "\n", `1 syslog "` + strings.Repeat("x", 20) + `" 0`, ""},
		{"too long data is cut", "1 syslog 25 " + strings.Repeat("x", 25) + "\n2 close 0\n", `1 syslog "` + strings.Repeat("x", 20) + `" 5,2 close "" 0`, ""},
		{"part of a frame", "1 syslog 25 xxx", "", ""},
		{"no number", "x", "", `relp: byte 0 is 'x', want a number of 1 to 9 digits`},
		{"long number", "1234567890 open", "", `relp: byte 9 is '0', want a blank after the transaction number`},
		{"no command", "1  3 abc\n", "", `relp: byte 2 is ' ', want a command of 1 to 32 letters`},
		{"long command", "1 " + strings.Repeat("a", 33), "", `relp: byte 34 is 'a', want a command of 1 to 32 letters`},
		{"no length", "1 open x", "", `relp: byte 7 is 'x', want a number of 1 to 9 digits`},
		{"long length", "1 open 1000000000 x", "", `relp: byte 16 is '0', want a blank before the data`},
		{"data longer than it says", "1 close 0\n2 syslog 1 ab\n", `1 close "" 0`, `relp: byte 22 is 'b', want a newline at the end of the data`},
		{"blank behind no data", "1 close 0 \n", "", `relp: byte 9 is ' ', want a newline at the end of the data`},
		{"cut data longer than it says", "1 syslog 25 " + strings.Repeat("x", 26) + "\n", "", `relp: byte 37 is 'x', want a newline at the end of the data`},
	} {
		t.Run(test.name, func(t *testing.T) {
			for how, from := range map[string]io.Reader{"at once": strings.NewReader(test.stream), "bytes": iotest.OneByteReader(strings.NewReader(test.stream))} {
				got, err := frames(from, 20)
				if list := strings.Join(got, ","); list != test.want {
					t.Errorf("%s: got %s, want %s", how, list, test.want)
				}
				if text := fmt.Sprint(err); text != test.err && (err != nil || test.err != "") {
					t.Errorf("%s: error %v, want %s", how, err, test.err)
				}
			}
		})
	}
}

// However a stream is read, it has the same frames; and what a frame is written as is read as that frame.
func FuzzReader(f *testing.F) {
	f.Add([]byte("1 open 14 relp_version=0\n2 syslog 3 abc\n3 close 0\n0 serverclose 0\n"))
	f.Add([]byte("1 syslog 40 0123456789012345678901234567890123456789\n2 close 0\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, wholeErr := frames(bytes.NewReader(stream), 20)
		parts, partsErr := frames(iotest.OneByteReader(bytes.NewReader(stream)), 20)
		if fmt.Sprint(whole, wholeErr) != fmt.Sprint(parts, partsErr) {
			t.Fatalf("at once %q %v, by bytes %q %v", whole, wholeErr, parts, partsErr)
		}
		if bad := (*SyntaxError)(nil); wholeErr != nil && (!errors.As(wholeErr, &bad) || bad.Offset >= int64(len(stream)) || stream[bad.Offset] != bad.Found) {
			t.Fatalf("error %v is not about a byte of %q", wholeErr, stream)
		}
		r := NewReader(bytes.NewReader(stream), 20)
		_ = r.Fill() // the end
		for {
			one, ok, err := r.Next()
			if !ok || err != nil {
				return
			}
			again, err := frames(bytes.NewReader(Append(nil, one.Txnr, string(one.Command), one.Data)), 20)
			if want := fmt.Sprintf("%d %s %q 0", one.Txnr, one.Command, one.Data); err != nil || len(again) != 1 || again[0] != want {
				t.Fatalf("written and read: %q %v, want %s", again, err, want)
			}
		}
	})
}

func TestSession(t *testing.T) {
	for _, test := range []struct {
		name, stream, want, err string
	}{
		{"all", "1 open 14 relp_version=0\n2 syslog 1 a\n0 hint 0\n3 close 0\n", "opened 1 200 OK relp_version=0, message 2 a, closed 3 ", ""},
		{"version 1", "1 open 14 relp_version=1\n", "opened 1 200 OK relp_version=1, ", ""},
		{"later version", "1 open 14 relp_version=7\n", "opened 1 200 OK relp_version=1, ", ""},
		{"no version", "1 open 5 a=b\nc\n", "", "relp: the client does not say relp_version"},
		{"bad version", "1 open 14 relp_version=x\n", "", `relp: relp_version "x" is not a number`},
		{"no open", "1 syslog 1 a\n", "", `relp: command "syslog", want one open, at the begin`},
		{"two opens", "1 open 14 relp_version=0\n2 open 14 relp_version=0\n", "opened 1 200 OK relp_version=0, ", `relp: command "open", want one open, at the begin`},
		{"number left out", "1 open 14 relp_version=0\n3 syslog 1 a\n", "opened 1 200 OK relp_version=0, ", "relp: transaction 3 comes after 1, want 2"},
		{"number again", "1 open 14 relp_version=0\n1 syslog 1 a\n", "opened 1 200 OK relp_version=0, ", "relp: transaction 1 comes after 1, want 2"},
		{"other command", "1 open 14 relp_version=0\n2 starttls 0\n", "opened 1 200 OK relp_version=0, ", `relp: command "starttls" is not known, want syslog or close`},
		{"after the end", "1 open 14 relp_version=0\n2 close 0\n3 syslog 1 a\n", "opened 1 200 OK relp_version=0, closed 2 ", `relp: command "syslog" after close`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &Session{Reader: NewReader(strings.NewReader(test.stream), 100)}
			if err := s.Fill(); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for {
				e, f, err := s.Next()
				if err != nil && err.Error() != test.err || err == nil && e == None && test.err != "" {
					t.Fatalf("error %v, want %s", err, test.err)
				}
				if e == None {
					break
				}
				data := strings.Join(strings.Split(string(f.Data), "\n")[:min(2, 1+strings.Count(string(f.Data), "\n"))], " ")
				fmt.Fprintf(&got, "%s %d %s", map[Event]string{Opened: "opened", Message: "message", Closed: "closed"}[e], f.Txnr, data)
				if e != Closed {
					got.WriteString(", ")
				}
			}
			if got.String() != test.want {
				t.Errorf("got  %s\nwant %s", got.String(), test.want)
			}
		})
	}
}

func frame(txnr int, command, data string) Frame {
	return Frame{Txnr: txnr, Command: []byte(command), Data: []byte(data)}
}

func TestClientOpened(t *testing.T) {
	for _, test := range []struct {
		name string
		f    Frame
		err  string
	}{
		{"librelp", frame(1, "rsp", "200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog"), ""},
		{"without commands", frame(1, "rsp", "200 OK\nrelp_version=1"), ""},
		{"refused", frame(1, "rsp", "500 no more"), `relp: the server answers "500 no more", want 200`},
		{"no version", frame(1, "rsp", "200 OK"), "relp: the server does not say relp_version"},
		{"other commands", frame(1, "rsp", "200 OK\nrelp_version=1\ncommands=eventlog"), `relp: the server offers the commands "eventlog", want syslog`},
		{"other number", frame(2, "rsp", "200 OK"), `relp: the server begins with "rsp" of transaction 2, want its answer to open`},
		{"no answer", frame(0, "serverclose", ""), `relp: the server begins with "serverclose" of transaction 0, want its answer to open`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewClient(1)
			c.AppendOpen(nil)
			err := c.Opened(test.f)
			if text := fmt.Sprint(err); text != test.err && (err != nil || test.err != "") {
				t.Errorf("error %v, want %s", err, test.err)
			}
		})
	}
}

// Three messages of 1, 2 and 3 bytes are sent as 2, 3 and 4, and answered in all sorts of ways.
func TestClientAnswered(t *testing.T) {
	ok := func(txnr int) Frame { return frame(txnr, "rsp", "200 OK") }
	for _, test := range []struct {
		name    string
		answers []Frame
		want    []int
		err     string
	}{
		{"in order", []Frame{ok(2), ok(3), ok(4)}, []int{1, 2, 3}, ""},
		{"out of order", []Frame{ok(4), ok(3), ok(2)}, []int{0, 0, 6}, ""},
		{"refused", []Frame{ok(2), frame(3, "rsp", "500 disk full")}, []int{1}, `relp: the server answers "500 disk full", want 200`},
		{"nothing said", []Frame{frame(2, "rsp", "")}, nil, `relp: the server answers "", want 200`},
		{"twice", []Frame{ok(2), ok(2)}, []int{1}, "relp: the server answers transaction 2, which waits for no answer"},
		{"twice, out of order", []Frame{ok(3), ok(3)}, []int{0}, "relp: the server answers transaction 3, which waits for no answer"},
		{"not sent", []Frame{ok(5)}, nil, "relp: the server answers transaction 5, which waits for no answer"},
		{"hint as an answer", []Frame{ok(0)}, nil, "relp: the server answers transaction 0, which waits for no answer"},
		{"server ends", []Frame{ok(2), frame(0, "serverclose", "")}, []int{1}, ErrServerClose.Error()},
		{"server commands", []Frame{frame(5, "syslog", "x")}, nil, `relp: the server sends "syslog", want its answers`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewClient(3)
			c.AppendOpen(nil)
			for _, m := range []string{"a", "bb", "ccc"} {
				c.AppendMessage(nil, []byte(m))
			}
			if c.Room() != 0 {
				t.Fatalf("room for %d in a full window", c.Room())
			}
			var got []int
			var err error
			for _, f := range test.answers {
				var n int
				if n, err = c.Answered(f); err != nil {
					break
				}
				got = append(got, n)
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if text := fmt.Sprint(err); text != test.err && (err != nil || test.err != "") {
				t.Errorf("error %v, want %s", err, test.err)
			}
		})
	}
}

// Answers in any order come to the same, also where the numbers begin anew.
func TestClientWraps(t *testing.T) {
	const window = 16
	c := NewClient(window)
	c.last = MaxNumber - 40
	waiting := map[int]bool{}
	sent, answered := 0, 0
	for range 1000 {
		for c.Room() > 0 && rand.IntN(4) > 0 {
			c.AppendMessage(nil, []byte("x"))
			waiting[c.last] = true
			sent++
		}
		for txnr := range waiting {
			n, err := c.Answered(frame(txnr, "rsp", "200 OK"))
			if err != nil {
				t.Fatal(err)
			}
			delete(waiting, txnr)
			if answered += n; answered > sent-len(waiting) {
				t.Fatalf("%d answered of %d, %d wait", answered, sent, len(waiting))
			}
			if rand.IntN(4) == 0 {
				break
			}
		}
	}
	if len(waiting) == 0 && answered != sent {
		t.Fatalf("%d answered of %d", answered, sent)
	}
}

// A client and a session understand each other.
func TestBothSides(t *testing.T) {
	c := NewClient(10)
	stream := c.AppendOpen(nil)
	stream = c.AppendMessage(stream, []byte("one"))
	stream = c.AppendMessage(stream, nil)
	stream = c.AppendClose(stream)
	s := &Session{Reader: NewReader(bytes.NewReader(stream), 100)}
	if err := s.Fill(); err != nil {
		t.Fatal(err)
	}
	var answers []byte
	for {
		e, f, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e == None {
			break
		}
		if e == Opened {
			answers = AppendResponse(answers, f.Txnr, f.Data)
		} else {
			answers = AppendOK(answers, f.Txnr)
		}
	}
	r := NewReader(bytes.NewReader(AppendServerClose(answers)), 1000)
	if err := r.Fill(); err != nil {
		t.Fatal(err)
	}
	opened, _, err := r.Next()
	if err != nil || c.Opened(opened) != nil {
		t.Fatal(err, c.Opened(opened))
	}
	total := 0
	for {
		f, ok, err := r.Next()
		if err != nil || !ok {
			t.Fatalf("%v after %d bytes, want serverclose", err, total)
		}
		n, err := c.Answered(f)
		total += n
		if errors.Is(err, ErrServerClose) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if total != 3 || c.Room() != 10 {
		t.Errorf("%d bytes answered, room %d, want 3 and 10", total, c.Room())
	}
}

func BenchmarkSession(b *testing.B) {
	c := NewClient(1)
	stream := c.AppendOpen(nil)
	message := bytes.Repeat([]byte("x"), 250)
	for range 200 {
		stream = c.AppendMessage(stream, message)
		c.count = 0
	}
	b.ReportAllocs()
	for b.Loop() {
		s := &Session{Reader: &Reader{maxData: 8192, buf: stream, end: len(stream)}}
		for e := Opened; e != None; {
			var err error
			if e, _, err = s.Next(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200, "ns/message")
}
