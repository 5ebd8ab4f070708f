package destination

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/letter"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
	"kad/forwarder/internal/stats"
)

// refreshInterval is how often the log is looked at, for the status. What is wrong with it then is said when there has been no
// acknowledgement for lagLimit: till then what publications find counts.
const refreshInterval, lagLimit = 2 * time.Second, 5 * time.Second

// Publishing are the options of destinations that publish to a log which other servers keep.
type Publishing struct {
	Window         int    `toml:"window"`         // publications without an acknowledgement
	WhenTooLarge   string `toml:"when_too_large"` // truncate, split, dead_letter
	DeadLetterFile string `toml:"dead_letter_file"`

	tooLarge letter.TooLarge
}

func publishing() Publishing { return Publishing{Window: 1024, WhenTooLarge: "truncate"} }

// publishing are the options, and how a publisher finds its drivers.
func (o *Publishing) publishing() *Publishing { return o }

func (o *Publishing) init() error {
	if o.Window < 1 || o.Window > maxWindow {
		return option.Errorf("window", "%d is not from 1 to %d", o.Window, maxWindow)
	}
	action, ok := letter.TooLargeByName[o.WhenTooLarge]
	o.tooLarge = action
	switch {
	case !ok:
		return option.Errorf("when_too_large", "%q is not known, want truncate, split or dead_letter", o.WhenTooLarge)
	case o.DeadLetterFile == "" && action == letter.Refuse:
		return option.Errorf("dead_letter_file", `required for when_too_large = "dead_letter"`)
	}
	return nil
}

// bury keeps a letter that the log never takes.
func (o *Publishing) bury(text []byte) error {
	f, err := os.OpenFile(o.DeadLetterFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text[:len(text):len(text)], "\n\n"...))
	return errors.Join(err, f.Sync(), f.Close())
}

// A publishingDriver is the driver of a destination that publishes.
type publishingDriver interface {
	Driver
	publishing() *Publishing
	logName() string
	// dial connects to the log. wait is what the client leaves between attempts, later on.
	dial(ctx context.Context, name string, wait time.Duration, logger *slog.Logger) (logClient, error)
}

// A logClient is connected, and connects anew by itself.
type logClient interface {
	// Run is how many of the first letters are published together, at least one.
	Run(letters [][]byte) int
	// Publish publishes the letters of a Run.
	Publish(letters [][]byte, tooLarge letter.TooLarge) letter.Ack
	// Refresh looks at the log, for Status.
	Refresh(ctx context.Context) error
	Status() stats.Stream
	// Explain says more of an error of an Ack, where more is known.
	Explain(ctx context.Context, err error) error
	Close()
}

// A publisher empties the queue of a destination into a log. One goroutine publishes, as far as the window has room,
// another one waits for the acknowledgements, in order, and publishes again what got none.
type publisher struct {
	*Destination
	driver  publishingDriver
	options *Publishing
	client  atomic.Pointer[logClient] // nil: never connected

	published, settled, resent, cut, known atomic.Uint64
	oldest                                 atomic.Pointer[time.Time] // when the oldest in flight was published; nil: there is none

	lost int // of messages whose batch is not acknowledged: in the dead letter file
}

// A flight is letters that are published together, between that and the acknowledgement.
type flight struct {
	letters [][]byte
	ack     letter.Ack
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
	wait := time.Duration(p.driver.Settings().TimeReopen)
	client, err := p.driver.dial(ctx, p.Name, wait, p.logger)
	for ; err != nil; client, err = p.driver.dial(ctx, p.Name, wait, p.logger) {
		if ctx.Err() != nil {
			return
		}
		p.fails(err)
		p.pause(ctx)
	}
	defer client.Close()
	p.client.Store(&client)
	p.works()
	close(connected)
	for ctx.Err() == nil {
		select {
		case <-time.After(refreshInterval):
			if err := client.Refresh(ctx); err != nil && p.lag() > lagLimit && ctx.Err() == nil {
				p.fails(err)
			}
		case <-ctx.Done():
		}
	}
}

func (p *publisher) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(p.driver.Settings().TimeReopen)):
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
			n := (*p.client.Load()).Run(letters)
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
	f.ack = (*p.client.Load()).Publish(f.letters, p.options.tooLarge)
	if n := f.ack.Cut; n > 0 && p.cut.Add(uint64(n)) == uint64(n) {
		p.logger.Warn("a message is larger than the servers take", "when_too_large", p.options.WhenTooLarge)
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
		p.fails((*p.client.Load()).Explain(ctx, err))
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
	s = &stats.Stream{}
	if c := p.client.Load(); c != nil {
		*s = (*c).Status()
	}
	s.Name = p.driver.logName()
	s.InFlight, s.Cut, s.Duplicates = p.published.Load()-p.settled.Load(), p.cut.Load(), p.known.Load()
	s.Lag = p.lag().Seconds()
	return s, p.resent.Load()
}

// lag is for how long the oldest in flight has had no acknowledgement.
func (p *publisher) lag() time.Duration {
	if at := p.oldest.Load(); at != nil {
		return time.Since(*at)
	}
	return 0
}
