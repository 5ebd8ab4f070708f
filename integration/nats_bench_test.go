package integration

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"kad/integration/lab"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	natsKills = 10
	natsRate  = 20000 // messages a second
)

// batched is edgeConfig with batches of messages.
var batched = strings.Replace(edgeConfig, "subject = ", "batch_messages = 1000\nsubject = ", 1)

// BenchmarkNATSLeader kills the leader of the stream again and again, and reports for how long center then gets nothing.
func BenchmarkNATSLeader(b *testing.B) {
	b.Run("one by one", func(b *testing.B) { killLeaders(b, edgeConfig) })
	b.Run("batches", func(b *testing.B) { killLeaders(b, batched) })
}

func killLeaders(b *testing.B, config string) {
	for b.Loop() {
		l := newNATSLab(b, config)
		traffic := l.send(natsRate, natsKills*15*time.Second)
		var longest time.Duration
		for i := range natsKills {
			leader := l.awaitHealthy()
			gaps := l.watchGaps()
			leader.Kill(natsServer)
			traffic.awaitFlow()
			gap := gaps()
			leader.Start(natsServer)
			b.Logf("kill %d, of %s: longest gap %v", i+1, leader.Name, gap.Round(time.Millisecond))
			longest = max(longest, gap)
		}
		tally := traffic.judge(10 * time.Minute)
		b.Logf("%+v; load %s", tally, load())
		b.ReportMetric(float64(tally.Received)/tally.Seconds, "msg/s")
		b.ReportMetric(longest.Seconds(), "longest-gap-s")
		b.ReportMetric(float64(tally.Lost), "lost")
		b.ReportMetric(float64(tally.Duplicated), "duplicated")
	}
}

// awaitFlow waits until center has gone on for a second, after a failure that it may not have felt yet.
func (tr *traffic) awaitFlow() {
	tr.l.t.Helper()
	sent := func() int {
		s, err := tr.l.status("center")
		if err != nil {
			return 0
		}
		return s.Destinations[0].Sent
	}
	for flowing := 0; flowing < 2; {
		if _, ok := tr.l.relay.Running(tr.program); !ok {
			tr.l.t.Fatal("send has ended before all leaders were killed")
		}
		before := sent()
		time.Sleep(time.Second)
		if flowing++; sent() == before {
			flowing = 0
		}
	}
}

// watchGaps looks how many messages center has sent, and returns what ends that and tells for how long it were no more.
func (l *natsLab) watchGaps() (end func() time.Duration) {
	stop, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		sent, since, longest := 0, time.Now(), time.Duration(0)
		for {
			select {
			case <-stop:
				result <- longest
				return
			case <-time.After(20 * time.Millisecond):
			}
			if s, err := l.status("center"); err == nil && s.Destinations[0].Sent != sent {
				sent, since = s.Destinations[0].Sent, time.Now()
			}
			longest = max(longest, time.Since(since))
		}
	}()
	return func() time.Duration { close(stop); return <-result }
}

// load is the machine's, of the last one, five and fifteen minutes.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// BenchmarkNATSThroughput compares edge, one by one and in batches, with a publisher that does nothing else, with the same
// window and messages of the same size, by turns. Each of them has the whole machine but for the servers.
func BenchmarkNATSThroughput(b *testing.B) {
	const count, size, window = 50_000, 250, 1024
	for b.Loop() {
		l := newNATSLab(b, inMemory(edgeConfig))
		l.relay.Stop(center)
		rates := map[string][]float64{}
		for range 3 {
			text := "msg/s:"
			note := func(what string, rate float64) {
				rates[what] = append(rates[what], rate)
				text += fmt.Sprintf(" %s %.0f", what, rate)
			}
			note("plain", l.publishPlainly(count, size, window, nil))
			note("with-headers", l.publishPlainly(count, size, window, headers))
			note("forwarder", l.publishByEdge(inMemory(edgeConfig), count, size))
			note("batches", l.publishByEdge(inMemory(batched), 4*count, size))
			b.Logf("%s; load %s", text, load())
		}
		for _, who := range []string{"forwarder", "batches"} {
			b.ReportMetric(sum(rates[who])/sum(rates["plain"]), who+"-ratio")
			b.ReportMetric(sum(rates[who])/sum(rates["with-headers"]), who+"-ratio-with-headers")
		}
	}
}

// inMemory is a configuration of edge without its disk buffer.
func inMemory(config string) string {
	config, rest, _ := strings.Cut(config, "[destination.d.disk_buffer]")
	_, rest, _ = strings.Cut(rest, "reliable = true\n")
	return config + rest
}

func sum(list []float64) (s float64) {
	for _, v := range list {
		s += v
	}
	return s
}

// headers are like those of edge.
func headers(n int) nats.Header {
	return nats.Header{
		"Nats-Msg-Id": {"relay-1f2e3d4c-ABCDEFGH-" + strconv.FormatInt(time.Now().UnixNano()+int64(n), 10)}, "Nats-Expected-Stream": {"LOGS"},
		"Syslog-Facility": {"auth"}, "Syslog-Severity": {"info"}, "Syslog-Host": {"web1.example.com"}, "Syslog-Program": {"sshd"},
	}
}

// publishPlainly returns how many messages a second the stream acknowledges; headers, if there are any, makes those of a message.
func (l *natsLab) publishPlainly(count, size, window int, headers func(n int) nats.Header) (rate float64) {
	l.t.Helper()
	var conn *nats.Conn
	err := l.relay.Do(func() (err error) {
		conn, err = nats.Connect("nats://192.168.245.11:4222,nats://192.168.245.12:4222,nats://192.168.245.13:4222")
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(window))
	if err != nil {
		l.t.Fatal(err)
	}
	text := make([]byte, size)
	start := time.Now()
	for n := range count {
		m := &nats.Msg{Subject: "logs.plain", Data: text}
		if headers != nil {
			m.Header = headers(n)
		}
		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			l.t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	return float64(count) / time.Since(start).Seconds()
}

// publishByEdge returns the same of edge with a configuration.
func (l *natsLab) publishByEdge(config string, count, size int) (rate float64) {
	l.t.Helper()
	l.relay.Stop(edge)
	l.relay.WriteFile("/run/edge.toml", []byte(config), 0o644)
	l.relay.Start(edge)
	l.awaitHealthy()
	sent := func() int {
		s, err := l.status("edge")
		if err != nil {
			l.t.Fatal(err)
		}
		return s.Destinations[0].Sent
	}
	l.relay.Start(lab.Program{Name: "send", Argv: []string{"forwarder", "send", "127.0.0.1:5140",
		"--count", strconv.Itoa(count), "--size", strconv.Itoa(size)}})
	start := time.Now()
	for first := start; ; time.Sleep(5 * time.Millisecond) {
		switch n := sent(); {
		case n == 0 && time.Since(first) < time.Minute:
			start = time.Now() // send begins
		case n >= count:
			return float64(count) / time.Since(start).Seconds()
		case time.Since(first) > 3*time.Minute:
			l.t.Fatalf("%d of %d are published", n, count)
		}
	}
}
