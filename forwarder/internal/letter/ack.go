package letter

import "context"

// An Ack comes when a log has letters that were published together, or with why not.
type Ack struct {
	Refused [][]byte // letters that the log never takes
	Cut     int      // letters that were too large, and truncated or split
	Known   int      // messages that the log had already, after Wait
	Err     error    // of a message that could not be published
	Futures []Future // of its messages
}

// A Future is settled when the log has a message.
type Future interface {
	// Wait waits for it. An error is that of the message, or of ctx. It tells whether the log had it already.
	Wait(ctx context.Context) (known bool, err error)
}

// Add adds the acknowledgement of more messages.
func (a *Ack) Add(more Ack) {
	a.Refused = append(a.Refused, more.Refused...)
	a.Cut += more.Cut
	a.Futures = append(a.Futures, more.Futures...)
	if a.Err == nil {
		a.Err = more.Err
	}
}

// Wait waits until the log has all that it takes. An error is that of a message, or of ctx.
func (a *Ack) Wait(ctx context.Context) error {
	if a.Err != nil {
		return a.Err
	}
	for _, f := range a.Futures {
		known, err := f.Wait(ctx)
		if err != nil {
			return err
		}
		if known {
			a.Known++
		}
	}
	return nil
}
