package filter

import (
	"fmt"
	"strconv"
	"sync"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
)

// maxBuckets is how many keys a limit knows. When there are more, those whose buckets are full again are forgotten, and if
// there are none, all: nothing that comes in may use up the memory.
const maxBuckets = 100_000

// A limit lets so many messages of each key through in a second.
type limit struct {
	rate    int64
	key     *template.Template // nil: all messages have the same
	mu      sync.Mutex         // guards buckets
	buckets map[string]*bucket
}

// A bucket has a token for each message that may pass.
type bucket struct {
	tokens int64
	filled int64 // when tokens were last put in, microseconds
}

// rateLimit is rate_limit(template("$HOST") rate(100)): at most 100 messages a second of each host match.
func rateLimit(p *parser, n *node) error {
	l := &limit{buckets: map[string]*bucket{}}
	for !p.is(tokenSign, ")") {
		if p.is(tokenSign, ",") {
			if err := p.advance(); err != nil {
				return err
			}
		}
		name := option.Flag(p.tok.text)
		if p.tok.kind != tokenWord || name != "template" && name != "rate" {
			return p.unexpected("template or rate")
		}
		if err := p.advance(); err != nil {
			return err
		}
		if err := p.expect("("); err != nil {
			return err
		}
		if err := p.one("a value", func(text string) (err error) {
			if name == "template" {
				l.key, err = p.template(text)
				return err
			}
			if l.rate, err = strconv.ParseInt(text, 10, 32); err != nil || l.rate < 1 {
				return fmt.Errorf("rate %q is not a number of messages a second", text)
			}
			return nil
		}); err != nil {
			return err
		}
		if err := p.expect(")"); err != nil {
			return err
		}
	}
	if l.rate == 0 {
		return fmt.Errorf("rate_limit() has no rate()")
	}
	p.expr.varies = true
	n.test = l.pass
	return nil
}

// pass takes a token for m, if there is one.
func (l *limit) pass(m *logmsg.Message) bool {
	key := []byte(nil)
	if l.key != nil {
		b := buffers.Get().(*buffer)
		defer buffers.Put(b)
		b.left = l.key.Append(b.left[:0], m, nil)
		key = b.left
	}
	now := m.Received.Sec*1_000_000 + int64(m.Received.Usec)
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[string(key)]
	if b == nil {
		l.makeRoom(now)
		b = &bucket{tokens: l.rate, filled: now}
		l.buckets[string(key)] = b
	}
	l.fill(b, now)
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}

// fill puts in what has come since it was done last, up to the tokens of one second.
func (l *limit) fill(b *bucket, now int64) {
	passed := min(max(now-b.filled, 0), 1_000_000)
	if n := passed * l.rate / 1_000_000; n > 0 {
		b.tokens, b.filled = min(l.rate, b.tokens+n), now
	}
}

func (l *limit) makeRoom(now int64) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for key, b := range l.buckets {
		if l.fill(b, now); b.tokens == l.rate {
			delete(l.buckets, key)
		}
	}
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}
