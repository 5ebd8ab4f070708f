package destination

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/jetstream"
	"kad/forwarder/internal/letter"
	"kad/forwarder/internal/queue"
	"kad/forwarder/internal/stats"
)

// refreshInterval is how often the stream is looked at, for the status.
const refreshInterval = 2 * time.Second

// A publisher empties the queue of a destination into a stream. One goroutine publishes, as far as the window has room,
// another one waits for the acknowledgements, in order, and publishes again what got none.
type publisher struct {
	*Destination
	options *NATS
	client  atomic.Pointer[jetstream.Client] // nil: never connected

	published, settled, resent, cut, known atomic.Uint64
	oldest                                 atomic.Pointer[time.Time] // when the oldest in flight was published; nil: there is none

	lost int // of messages whose batch is not acknowledged: in the dead letter file
}

// A flight is letters that are published together, between that and the acknowledgement.
type flight struct {
	letters [][]byte
	ack     jetstream.Ack
	at      time.Time
	batch   *queue.Batch // whose last letters they are, else nil
}

// run publishes until the queue is drained and all is acknowledged, or ctx ends.
func (p *publisher) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	connected := make(chan struct{})
	// Half of the window waits here, the other half is what settle has taken.
	flights := make(chan flight, p.options.Window/2)
	var client, settled sync.WaitGroup
	client.Go(func() { p.connect(ctx, connected) })
	settled.Go(func() { p.settle(ctx, flights) })
	for batches := p.queue.Next(maxWrite); len(batches) > 0; batches = p.queue.Next(maxWrite) {
		select {
		case <-connected:
		case <-ctx.Done():
		}
		if ctx.Err() != nil || !p.publishBatches(ctx, batches, flights) {
			break
		}
	}
	close(flights)
	settled.Wait()
	cancel()
	client.Wait()
}

// connect tries until it succeeds, then looks at the stream from time to time, until ctx ends.
func (p *publisher) connect(ctx context.Context, connected chan<- struct{}) {
	client, err := p.options.Options.Connect(ctx, p.Name, time.Duration(p.options.TimeReopen), p.logger)
	for ; err != nil; client, err = p.options.Options.Connect(ctx, p.Name, time.Duration(p.options.TimeReopen), p.logger) {
		if ctx.Err() != nil {
			return
		}
		p.fails(err)
		p.pause(ctx)
	}
	defer client.Close()
	p.client.Store(client)
	p.works()
	close(connected)
	for ctx.Err() == nil {
		select {
		case <-time.After(refreshInterval):
			_ = client.Refresh(ctx) // what publications find counts
		case <-ctx.Done():
		}
	}
}

func (p *publisher) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(p.options.TimeReopen)):
	}
}

// fails logs the first error, and each that differs.
func (p *publisher) fails(err error) {
	text := err.Error()
	if before := p.failure.Swap(&text); before == nil || *before != text {
		p.logger.Warn("destination failed, it is tried again", "error", err)
	}
}

func (p *publisher) works() {
	if p.failure.Swap(nil) != nil {
		p.logger.Info("destination works again")
	}
}

// publishBatches publishes the letters of batches. It does not when ctx ends.
func (p *publisher) publishBatches(ctx context.Context, batches []*queue.Batch, flights chan<- flight) bool {
	for _, b := range batches {
		letters := (&item{Batch: b}).appendMessages(make([][]byte, 0, len(b.Ends)))
		for len(letters) > 0 {
			n := jetstream.Run(letters)
			f := flight{letters: letters[:n]}
			if letters = letters[n:]; len(letters) == 0 {
				f.batch = b
			}
			p.publish(&f)
			p.published.Add(uint64(n))
			select {
			case flights <- f:
			case <-ctx.Done():
				return false
			}
		}
	}
	return true
}

func (p *publisher) publish(f *flight) {
	f.at = time.Now()
	f.ack = p.client.Load().Publish(f.letters, p.options.tooLarge)
	if n := f.ack.Cut; n > 0 && p.cut.Add(uint64(n)) == uint64(n) {
		p.logger.Warn("a message is larger than the stream takes", "when_too_large", p.options.WhenTooLarge)
	}
}

// settle acknowledges in the queue what the stream has acknowledged, until there are no more flights or ctx ends.
func (p *publisher) settle(ctx context.Context, flights <-chan flight) {
	var list []flight
	for f := range flights {
		list = append(list[:0], f)
		for len(flights) > 0 && len(list) < cap(flights) {
			list = append(list, <-flights)
		}
		oldest := list[0].at
		p.oldest.Store(&oldest)
		if !p.confirm(ctx, list) {
			return
		}
		p.oldest.Store(nil)
		for _, f := range list {
			p.settled.Add(uint64(len(f.letters)))
			if f.batch != nil {
				p.acknowledge([]*queue.Batch{f.batch}, p.lost)
				p.lost = 0
			}
		}
	}
}

// confirm waits until the stream has all messages of the list, publishing again what fails. It is not so when ctx ends.
func (p *publisher) confirm(ctx context.Context, list []flight) bool {
	for again := false; ; again = true {
		failed, err := p.wait(ctx, list)
		if ctx.Err() != nil {
			return false
		}
		if len(failed) == 0 {
			p.works()
			return true
		}
		p.fails(p.client.Load().Explain(ctx, err))
		if again && len(failed) == len(list) {
			p.pause(ctx)
		}
		for i := range failed {
			p.resent.Add(uint64(len(failed[i].letters)))
			p.publish(&failed[i])
		}
		list = failed
	}
}

// wait returns the flights that failed, and why the first one did.
func (p *publisher) wait(ctx context.Context, list []flight) (failed []flight, reason error) {
	for i := range list {
		f := &list[i]
		err := f.ack.Wait(ctx)
		p.known.Add(uint64(f.ack.Known))
		for len(f.ack.Refused) > 0 && err == nil {
			if err = p.bury(f.ack.Refused[0]); err == nil {
				f.ack.Refused = f.ack.Refused[1:]
			}
		}
		if err == nil {
			continue
		}
		if failed = append(failed, *f); reason == nil {
			reason = err
		}
	}
	return failed, reason
}

// bury puts a letter where those lie that the stream never takes.
func (p *publisher) bury(text []byte) error {
	if p.options.DeadLetterFile == "" {
		return letter.ErrTooLarge // even its head is: it waits for a larger limit
	}
	if err := p.options.bury(text); err != nil {
		return err
	}
	p.lost++
	p.drops.addReason(buried, 1)
	return nil
}

// Stream tells what a destination does with its stream, nil if it has none, and how many messages it has published again.
func (d *Destination) Stream() (s *stats.Stream, resent uint64) {
	p := d.publisher
	if p == nil {
		return nil, 0
	}
	s = &stats.Stream{Name: p.options.Stream}
	if c := p.client.Load(); c != nil {
		*s = c.Status()
	}
	s.InFlight, s.Cut, s.Duplicates = p.published.Load()-p.settled.Load(), p.cut.Load(), p.known.Load()
	if at := p.oldest.Load(); at != nil {
		s.Lag = time.Since(*at).Seconds()
	}
	return s, p.resent.Load()
}
