package lab

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Traffic is numbered messages from the client of a forwarder pair, on their way into the relays' files.
type Traffic struct {
	pair *Pair
	send Program
}

// Report is what became of all messages.
type Report struct {
	Sent       int
	Received   int // each counted once
	Lost       int
	Duplicated int
	Reordered  int
}

// Send has the client send so many messages a second for a while, over two connections. Its forwarder has to run.
func (p *Pair) Send(rate int, duration time.Duration) *Traffic {
	p.tb.Helper()
	p.Client.AwaitListener("tcp", "127.0.0.1:514")
	t := &Traffic{pair: p, send: Program{"send", []string{"forwarder", "send", "--rate", strconv.Itoa(rate), "--duration", duration.String(),
		"--connections", "2", "--output", "json", "tcp://127.0.0.1:514"}}}
	p.Client.Start(t.send)
	return t
}

// Over tells whether all is sent.
func (t *Traffic) Over() bool {
	_, running := t.pair.Client.Running(t.send)
	return !running
}

// Report waits for the end, until the client's forwarder has delivered everything, and counts.
func (t *Traffic) Report() (r Report) {
	p := t.pair
	p.tb.Helper()
	p.Eventually(2*time.Minute, func() error {
		if !t.Over() {
			return fmt.Errorf("the client still sends")
		}
		return nil
	})
	t.decode(p.Client.Log(t.send), &struct {
		Sent *int `json:"sent"`
	}{&r.Sent})
	p.Eventually(time.Minute, t.delivered)
	args := []string{"forwarder", "send", "--output", "json"}
	for _, h := range p.Relays() {
		file := "/tmp/" + h.Name
		p.Client.WriteFile(file, []byte(h.Run("sh", "-c", "cat /var/log/forwarder/hosts/*.log").Stdout), 0o600)
		args = append(args, "--sink", "file://"+file)
	}
	t.decode(p.Client.Run(args...).Stdout, &struct {
		Received   *int `json:"received"`
		Duplicated *int `json:"duplicated"`
		Reordered  *int `json:"reordered"`
	}{&r.Received, &r.Duplicated, &r.Reordered})
	r.Lost = r.Sent - r.Received
	return r
}

// delivered tells what the client's forwarder still has.
func (t *Traffic) delivered() error {
	var status struct {
		Destinations []struct {
			Name   string `json:"name"`
			Queued int    `json:"queued_messages"`
		} `json:"destinations"`
	}
	t.decode(t.pair.Client.Run("forwarder", "status", "--output", "json").Stdout, &status)
	for _, d := range status.Destinations {
		if d.Queued > 0 {
			return fmt.Errorf("%d messages wait for %s", d.Queued, d.Name)
		}
	}
	return nil
}

// decode reads the JSON in a program's output, a line.
func (t *Traffic) decode(out string, v any) {
	t.pair.tb.Helper()
	_, text, _ := strings.Cut("\n"+out, "\n{")
	if err := json.NewDecoder(strings.NewReader("{" + text)).Decode(v); err != nil {
		t.pair.tb.Fatalf("lab: %v in\n%s", err, out)
	}
}
