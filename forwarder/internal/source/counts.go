package source

import (
	"sync/atomic"
	"time"
)

// Counts is what has happened at an input since it was opened.
type Counts struct {
	Received    uint64 // messages
	Truncated   uint64 // messages longer than log_msg_size, which were cut or split
	ParseErrors uint64 // messages that went on as "Error processing log message"
	FrameErrors uint64 // connections closed because their frames could not be told apart
	TLSErrors   uint64 // handshakes that failed
	Refused     uint64 // connections beyond max_connections
	KernelDrops uint64 // datagrams that came to a full socket
	Connections int    // that are open
}

// counts are those of one batch, from begin to flush.
type counts struct{ received, truncated, parseErrors uint64 }

// A tally is what one reader counts. The reader alone writes it, so that no two readers share a cache line.
type tally struct{ received, truncated, parseErrors atomic.Uint64 }

func (c *Counts) add(t *tally) {
	c.Received += t.received.Load()
	c.Truncated += t.truncated.Load()
	c.ParseErrors += t.parseErrors.Load()
}

// Counts are those of now.
func (in *Input) Counts() Counts {
	c := in.readers.counts()
	c.FrameErrors, c.TLSErrors, c.Refused = in.frameErrors.Load(), in.tlsErrors.Load(), in.refused.Load()
	c.Connections = int(in.connections.Load())
	for _, d := range in.drops {
		c.KernelDrops += d.count()
	}
	return c
}

// An onset is for logging what may happen again and again: once, when it begins.
type onset struct{ last atomic.Int64 }

// pause is how long something must not have happened to begin anew.
const pause = time.Minute

func (o *onset) begins(now time.Time) bool {
	before := o.last.Swap(now.UnixNano())
	return before == 0 || now.UnixNano()-before > int64(pause)
}

// tell logs a warning if it begins now. Counts has how often it happens.
func (in *Input) tell(o *onset, text string, args ...any) {
	if o.begins(time.Now()) {
		in.Logger.Warn(text, args...)
	}
}
