package filter

import (
	"fmt"
	"strings"
	"testing"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

// received is a message of a host, received so many milliseconds after the first.
func received(host string, ms int64) *logmsg.Message {
	m := &logmsg.Message{}
	m.Reset(&logmsg.Origin{}, syslog.Time{Sec: 1000 + ms/1000, Usec: int32(ms % 1000 * 1000)})
	m.Hostname = []byte(host)
	return m
}

func TestRateLimit(t *testing.T) {
	e, err := Parse(`rate-limit(template("$HOST") rate(2))`)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Resolve(&Env{Template: func(t *template.Template) error { return t.Resolve(&template.Env{}) }}); err != nil {
		t.Fatal(err)
	}
	if !e.Varies() {
		t.Error("the expression does not vary")
	}
	for i, test := range []struct {
		host string
		ms   int64
		want bool
	}{
		{"a", 0, true}, {"a", 0, true}, {"a", 0, false}, {"b", 0, true}, {"a", 400, false}, {"a", 500, true}, {"a", 500, false},
		{"a", 60_000, true}, {"a", 60_000, true}, {"a", 60_000, false}, {"a", 59_000, false}, // the clock was set back
	} {
		if got := e.Match(received(test.host, test.ms)); got != test.want {
			t.Errorf("message %d: %v, want %v", i, got, test.want)
		}
	}
	for text, want := range map[string]string{
		`rate_limit()`: "has no rate()", `rate_limit(rate(0))`: `rate "0" is not a number`, `throttle(rate(x))`: `rate "x" is not a number`,
		`rate_limit("$HOST" rate(1))`: "stands where template or rate",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// TestRateLimitMemory: any number of keys uses up a bounded memory.
func TestRateLimitMemory(t *testing.T) {
	l := &limit{rate: 1, key: template.Must("$HOST"), buckets: map[string]*bucket{}}
	for i := range maxBuckets + 10 {
		l.pass(received(fmt.Sprint(i), 0))
	}
	if len(l.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(l.buckets))
	}
}
