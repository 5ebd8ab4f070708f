package queue

import (
	"cmp"
	"path/filepath"

	"kad/forwarder/internal/option"
)

// Options are the [destination.NAME.disk_buffer] of the configuration. Init gives what is zero its default.
type Options struct {
	Dir            string          `toml:"dir"`              // in which the queue has a directory of its destination's name
	Reliable       bool            `toml:"reliable"`         // what is taken is synced; else the memory comes first
	Capacity       option.Size     `toml:"capacity_bytes"`   // of all segments; default 1 GiB
	FrontCacheSize int             `toml:"front_cache_size"` // messages that stay in memory, to be sent without reading; default 10000
	WhenFull       string          `toml:"when_full"`        // drop_newest (default), drop_oldest, block
	SyncInterval   option.Duration `toml:"sync_interval"`    // how long a sync waits for more; 0: only for the one before it
	SyncBytes      option.Size     `toml:"sync_bytes"`       // that end the wait; default 1 MiB
	SyncMessages   int             `toml:"sync_messages"`    // that end the wait; default 10000

	frontBytes int64 // of messages that stay in memory

	name string // of the queue
	dir  string // its own
	open func(name string, flag int) (file, error)
}

// DefaultDir is where queues are.
const DefaultDir = "/var/lib/forwarder/queue"

// MinCapacity is the smallest capacity_bytes.
const MinCapacity = 1 << 20

// Init checks the options. Its error is an *option.Error.
func (o *Options) Init() error {
	o.Dir = cmp.Or(o.Dir, DefaultDir)
	o.Capacity = cmp.Or(o.Capacity, 1<<30)
	o.FrontCacheSize = cmp.Or(o.FrontCacheSize, 10000)
	o.WhenFull = cmp.Or(o.WhenFull, "drop_newest")
	o.SyncBytes = cmp.Or(o.SyncBytes, 1<<20)
	o.SyncMessages = cmp.Or(o.SyncMessages, 10000)
	o.frontBytes = cmp.Or(o.frontBytes, 64<<20)
	switch {
	case !filepath.IsAbs(o.Dir):
		return option.Errorf("dir", "%q is not an absolute path", o.Dir)
	case o.Capacity < MinCapacity:
		return option.Errorf("capacity_bytes", "%d is below the minimum %d", o.Capacity, MinCapacity)
	case o.FrontCacheSize < 1:
		return option.Errorf("front_cache_size", "%d is below the minimum 1", o.FrontCacheSize)
	case o.WhenFull != "drop_newest" && o.WhenFull != "drop_oldest" && o.WhenFull != "block":
		return option.Errorf("when_full", "%q is not known, want drop_newest, drop_oldest or block", o.WhenFull)
	case o.SyncMessages < 1:
		return option.Errorf("sync_messages", "%d is below the minimum 1", o.SyncMessages)
	}
	return nil
}

// SetFrontBytes bounds the messages that stay in memory, besides front_cache_size; without it they have 64 MiB.
func (o *Options) SetFrontBytes(n int64) { o.frontBytes = n }

// segmentSize is the size after which a segment is not appended to: so that a full queue can forget a part of what it has.
func (o *Options) segmentSize() int64 { return min(64<<20, int64(o.Capacity)/8) }
