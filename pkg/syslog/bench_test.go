package syslog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var benchmarks = []struct {
	name, text string
	rfc5424    bool
}{
	{"rfc3164/minimal", "<13>a: x", false},
	{"rfc3164/average", "<86>Oct 11 22:14:15 loghost01 sshd[4711]: Accepted publickey for root from 192.0.2.7 port 50122 ssh2: ED25519 SHA256:" + strings.Repeat("k", 130), false},
	{"rfc3164/longest", "<86>Oct 11 22:14:15 loghost01 app[1]: " + strings.Repeat("x", 60000), false},
	{"rfc5424/minimal", "<13>1 - - - - - -", true},
	{"rfc5424/average", `<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 4711 ID47 [exampleSDID@32473 iut="3" eventSource="Application"] ` + strings.Repeat("t", 130), true},
	{"rfc5424/longest", `<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - - - ` + strings.Repeat("t", 60000), true},
}

func BenchmarkParse(b *testing.B) {
	for _, c := range benchmarks {
		b.Run(c.name, func(b *testing.B) {
			p := Parser{RFC5424: c.rfc5424}
			text := []byte(c.text)
			var m Message
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Parse(text, received, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFormat(b *testing.B) {
	for _, c := range benchmarks {
		b.Run(c.name, func(b *testing.B) {
			p := Parser{RFC5424: c.rfc5424}
			var m Message
			if err := p.Parse([]byte(c.text), received, &m); err != nil {
				b.Fatal(err)
			}
			var f Formatter
			out := make([]byte, 0, 1<<16)
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				if c.rfc5424 {
					out = f.AppendRFC5424(out[:0], &m)
				} else {
					out = f.AppendRFC3164(out[:0], &m)
				}
			}
		})
	}
}

// BenchmarkFramer counts a read of 64 KiB as one operation.
func BenchmarkFramer(b *testing.B) {
	line := []byte(benchmarks[1].text)
	for _, c := range []struct {
		name    string
		framing Framing
		frame   []byte
	}{
		{"newline", Newline, append(line, '\n')},
		{"octet-counting", OctetCounting, InsertCount(bytes.Clone(line), 0)},
	} {
		b.Run(c.name, func(b *testing.B) {
			stream := bytes.Repeat(c.frame, 65536/len(c.frame))
			f := Framer{Framing: c.framing}
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				for rest := stream; len(rest) > 0; {
					_, used, err := f.Next(rest)
					if err != nil || used == 0 {
						b.Fatal(used, err)
					}
					rest = rest[used:]
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(stream)/len(c.frame)), "ns/frame")
		})
	}
}

// TestNoAllocations holds the promise of the package comment.
func TestNoAllocations(t *testing.T) {
	out := make([]byte, 0, 1<<17)
	for _, c := range benchmarks {
		p := Parser{RFC5424: c.rfc5424}
		var f Formatter
		var m Message
		frame := InsertCount([]byte(c.text), 0)
		framer := Framer{Framing: OctetCounting}
		if n := testing.AllocsPerRun(100, func() {
			msg, _, err := framer.Next(frame)
			if err != nil || p.Parse(msg, received, &m) != nil {
				t.Fatal("does not parse")
			}
			for param := range Params(m.StructuredData) {
				out = AppendUnescaped(out[:0], param.Value)
			}
			out = f.AppendRFC5424(out[:0], &m)
			out = f.AppendRFC3164(out[:0], &m)
			out = InsertCount(out, 0)
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", c.name, n)
		}
	}
}

// BenchmarkRelay is the whole way of a message, from a stream of lines to the same. No message is like the one before, so that
// the branches in the code are as hard to predict as in earnest.
func BenchmarkRelay(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 268))
	programs := []string{"sshd", "sudo", "nginx", "haproxy", "postfix/smtp", "CRON", "kernel", "systemd"}
	var stream []byte
	const messages = 2048
	for range messages {
		stream = fmt.Appendf(stream, "<%d>Oct 11 22:14:%d host%02d.example.net %s[%d]: %s\n", 8*random.IntN(24)+random.IntN(8), 14+random.IntN(3),
			random.IntN(40), programs[random.IntN(len(programs))], 300+random.IntN(30000), strings.Repeat("accepted ", 5+random.IntN(40)))
	}
	f, p := Framer{KeepEnd: true}, Parser{KeepLine: true}
	var m Message
	out := make([]byte, 0, 2*len(stream))
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		out = out[:0]
		for rest := stream; len(rest) > 0; {
			msg, used, err := f.Next(rest)
			if err != nil || p.Parse(msg, received, &m) != nil {
				b.Fatal("does not parse")
			}
			out = append(out, m.Line()...)
			rest = rest[used:]
		}
	}
	if !bytes.Equal(out, stream) {
		b.Fatal("what came out is not what came in")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
}
