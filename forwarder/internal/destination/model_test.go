package destination

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"kad/forwarder/internal/queue"
)

// A chain is a disk queue, the window of a connection and a server, for a model: one message follows the other.
type chain struct {
	t        *testing.T
	r        *rand.Rand
	options  *queue.Options
	queue    *queue.Disk
	window   window
	pending  []item
	appended int
	wire     []int // what was written to the connection
	acked    int64 // bytes of it
	got      []int // what servers have read
}

const modelSize = 10 // bytes of a message

// TestChainModel has messages appended, sent, acknowledged and sent again to the next server at random, and the process stopped
// and killed. Every message comes, none before one that follows it has come.
func TestChainModel(t *testing.T) {
	for seed := range uint64(20) {
		for _, reliable := range []bool{true, false} {
			t.Run(fmt.Sprintf("reliable %v, seed %d", reliable, seed), func(t *testing.T) {
				c := &chain{t: t, r: rand.New(rand.NewPCG(seed, 2)), options: &queue.Options{Dir: t.TempDir(), Reliable: reliable, FrontCacheSize: 20}}
				if err := c.options.Init(); err != nil {
					t.Fatal(err)
				}
				c.open()
				for range 150 {
					c.step()
				}
				for c.send() {
					c.acknowledge(c.window.written - c.acked)
				}
				c.acknowledge(c.window.written - c.acked)
				c.got = append(c.got, c.wire...)
				c.check()
			})
		}
	}
}

func (c *chain) open() {
	c.t.Helper()
	q, err := queue.Open("d", c.options, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	q.Drain() // so that Next does not wait for more
	c.queue, c.window, c.pending, c.wire, c.acked = q, window{}, nil, nil, 0
	c.t.Cleanup(func() { q.Close() })
}

func (c *chain) step() {
	switch n := c.r.IntN(20); {
	case n < 6:
		b := queue.Get(0)
		for range 1 + c.r.IntN(10) {
			b.Data = fmt.Appendf(b.Data, "%0*d", modelSize, c.appended)
			b.Ends = append(b.Ends, len(b.Data))
			c.appended++
		}
		if dropped := c.queue.Append(b); dropped > 0 {
			c.t.Fatalf("%d messages are dropped", dropped)
		}
	case n < 12:
		c.send()
	case n < 17:
		c.acknowledge(c.r.Int64N(c.window.written - c.acked + 1))
	case n < 18:
		c.change()
	case n < 19:
		c.leave()
		if err := c.queue.Close(); err != nil {
			c.t.Fatal(err)
		}
		c.open()
	case c.options.Reliable:
		c.crash()
	}
}

// send writes what is next, and tells whether there was anything.
func (c *chain) send() bool {
	if len(c.pending) == 0 {
		for _, b := range c.queue.Next(20 * modelSize) {
			c.pending = append(c.pending, item{Batch: b, queued: true})
		}
	}
	if len(c.pending) == 0 {
		return false
	}
	for _, i := range c.pending {
		c.window.add(i)
		for text := range slices.Chunk(i.bytes(), modelSize) {
			n, err := strconv.Atoi(string(text))
			if err != nil {
				c.t.Fatal(err)
			}
			c.wire = append(c.wire, n)
		}
	}
	c.pending = nil
	return true
}

const modelWindow = 10 * modelSize // what a server may leave unread

func (c *chain) acknowledge(bytes int64) {
	c.acked += bytes
	batches, _ := c.window.acknowledge(c.acked, modelWindow)
	c.hold()
	c.queue.Ack(batches)
	c.window.keep()
}

func (c *chain) hold() {
	oldest := c.window.oldest()
	if oldest == nil && len(c.pending) > 0 {
		oldest = c.pending[0].Batch
	}
	c.queue.Hold(oldest)
}

// change goes to the next server. The one before has read all that it has acknowledged, but for a window.
func (c *chain) change() {
	unread := c.die()
	items, _, _ := c.window.replay(unread)
	c.pending = append(items, c.pending...)
	c.wire, c.acked = nil, 0
	c.hold()
}

// die ends the server. It tells how many bytes of those that were acknowledged it has not read.
func (c *chain) die() (unread int64) {
	unread = c.r.Int64N(min(c.acked, modelWindow) + 1)
	c.got = append(c.got, c.wire[:(c.acked-unread)/modelSize]...)
	return unread
}

// leave closes the connection, and the server dies too: what it had to read is in a reliable disk buffer. Else it lives: it reads
// what it has acknowledged, or more, and all that the queue has given away.
func (c *chain) leave() {
	if c.options.Reliable {
		c.die()
		return
	}
	if len(c.pending) > 0 {
		c.send()
	}
	least := c.acked
	for _, i := range c.window.items {
		if !i.queued {
			least = max(least, i.end)
		}
	}
	read := int(least / modelSize)
	c.got = append(c.got, c.wire[:read+c.r.IntN(len(c.wire)-read+1)]...)
}

// crash goes on with the directory as it is now.
func (c *chain) crash() {
	c.leave()
	dir := filepath.Join(c.t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(c.options.Dir)); err != nil {
		c.t.Fatal(err)
	}
	c.options.Dir = dir
	c.open()
}

func (c *chain) check() {
	c.t.Helper()
	if n := c.queue.Len(); n > 0 {
		c.t.Errorf("%d messages stay in the queue", n)
	}
	seen := -1
	for i, n := range c.got {
		if n > seen+1 {
			c.t.Fatalf("at %d message %d comes after %d", i, n, seen)
		}
		seen = max(seen, n)
	}
	if seen != c.appended-1 {
		c.t.Fatalf("%d of %d messages came", seen+1, c.appended)
	}
}
