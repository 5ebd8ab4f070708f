package integration

import (
	"errors"
	"fmt"
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

// BenchmarkNATSLeader kills the leader of the stream again and again, and reports for how long center then gets nothing.
func BenchmarkNATSLeader(b *testing.B) {
	for b.Loop() {
		l := newNATSLab(b, edgeConfig)
		traffic := l.send(natsRate, natsKills*8*time.Second)
		var longest time.Duration
		for i := range natsKills {
			leader := l.awaitHealthy()
			gaps := l.watchGaps()
			leader.Kill(natsServer)
			l.awaitFlow()
			gap := gaps()
			leader.Start(natsServer)
			b.Logf("kill %d, of %s: longest gap %v", i+1, leader.Name, gap.Round(time.Millisecond))
			longest = max(longest, gap)
		}
		tally := traffic.judge(5 * time.Minute)
		b.Logf("%+v", tally)
		b.ReportMetric(longest.Seconds(), "longest-gap-s")
		b.ReportMetric(float64(tally.Lost), "lost")
		b.ReportMetric(float64(tally.Duplicated), "duplicated")
	}
}

// awaitFlow waits until center has gone on for a second, after a failure that it may not have felt yet.
func (l *natsLab) awaitFlow() {
	l.t.Helper()
	sent := func() int {
		s, err := l.status("center")
		if err != nil {
			return 0
		}
		return s.Destinations[0].Sent
	}
	for flowing := 0; flowing < 2; {
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

// BenchmarkNATSThroughput compares edge with a publisher that does nothing else, with the same window and messages of the same
// size, by turns.
func BenchmarkNATSThroughput(b *testing.B) {
	const count, size, window = 50_000, 250, 1024
	config, _, _ := strings.Cut(edgeConfig, "[destination.d.disk_buffer]")
	_, rest, _ := strings.Cut(edgeConfig, "reliable = true\n")
	for b.Loop() {
		l := newNATSLab(b, config+rest)
		l.relay.Stop(center)
		var plain, headed, forwarder []float64
		for round := range 3 {
			plain = append(plain, l.publishPlainly(count, size, window, nil))
			headed = append(headed, l.publishPlainly(count, size, window, headers))
			forwarder = append(forwarder, l.publishByEdge(round, count, size))
			b.Logf("msg/s: plain %.0f, with headers %.0f, forwarder %.0f", plain[round], headed[round], forwarder[round])
		}
		b.ReportMetric(sum(forwarder)/sum(plain), "ratio")
		b.ReportMetric(sum(forwarder)/sum(headed), "ratio-with-headers")
	}
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

// publishByEdge returns the same of edge.
func (l *natsLab) publishByEdge(round, count, size int) (rate float64) {
	l.t.Helper()
	sent := func() int {
		s, err := l.status("edge")
		if err != nil {
			l.t.Fatal(err)
		}
		return s.Destinations[0].Sent
	}
	before := sent()
	p := lab.Program{Name: "send" + strconv.Itoa(round), Argv: []string{"forwarder", "send", "127.0.0.1:5140",
		"--count", strconv.Itoa(count), "--size", strconv.Itoa(size)}}
	start := time.Now()
	l.relay.Start(p)
	l.Eventually(2*time.Minute, func() error {
		if n := sent() - before; n < count {
			return fmt.Errorf("%d of %d are published", n, count)
		}
		return nil
	})
	took := time.Since(start)
	l.Eventually(time.Minute, func() error {
		if _, ok := l.relay.Running(p); ok {
			return errors.New("send is not done")
		}
		return nil
	})
	return float64(count) / took.Seconds()
}
