package source

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/kafka"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/stats"
)

// Kafka consumes topics as a member of a group. What is safe is committed, see logmsg.Receipt.
type Kafka struct {
	Common
	kafka.Options
	kafka.ConsumerOptions
	Window     int `toml:"window"` // records that are not safe
	timeReopen time.Duration
}

// How many records may wait to be safe, and how many are handed over at once.
const kafkaWindow, maxKafkaWindow, kafkaRead = 1 << 13, 1 << 20, 1 << 9

func newKafka(g *option.Globals) Driver {
	k := &Kafka{Common: common(g), Options: kafka.Defaults(), Window: kafkaWindow, timeReopen: time.Duration(g.TimeReopen)}
	k.KeepHostname = true // nobody else knows the sender
	return k
}

// Init checks the options.
func (k *Kafka) Init() error {
	if err := k.Options.Init(); err != nil {
		return err
	}
	if err := k.ConsumerOptions.Init(); err != nil {
		return err
	}
	if k.Window < kafkaRead || k.Window > maxKafkaWindow {
		return option.Errorf("window", "%d is not from %d to %d", k.Window, kafkaRead, maxKafkaWindow)
	}
	err := k.Common.Init()
	k.parser.RFC5424 = true
	return err
}

// Open makes ready; the brokers need not be there yet.
func (k *Kafka) Open(in *Input) (Runner, error) {
	reads := k.Window / kafkaRead
	return &member{Input: in, options: k, room: make(chan struct{}, reads), settled: make(chan *polled, reads)}, nil
}

// A member of a group has three goroutines: one polls and takes records through the log paths, one commits what is safe, one
// looks at the cluster.
type member struct {
	*Input
	options *Kafka
	group   atomic.Pointer[kafka.Consumer] // nil: never connected
	failure failure                        // nil: it works
	room    chan struct{}                  // has an element for each read that is not settled
	settled chan *polled
}

// Polled is one read.
type polled struct {
	*kafka.Read
	receipt logmsg.Receipt
	group   *kafka.Consumer
	lose    context.CancelCauseFunc
}

// errLost is why a member begins anew.
var errLost = errors.New("messages were lost behind the source: they are consumed again")

// Run consumes until ctx ends, then waits a while until what was read is safe.
func (m *member) Run(ctx context.Context) error {
	leaving, leave := context.WithCancel(context.Background())
	var settling sync.WaitGroup
	settling.Go(func() { m.settle(leaving) })
	defer settling.Wait()
	defer leave()
	r := m.newReader()
	defer r.end()
	for ctx.Err() == nil {
		if err := m.consume(ctx, r); err != nil && ctx.Err() == nil {
			m.failure.set(err, m.Logger)
			rest(ctx, m.options.timeReopen)
		}
	}
	return nil
}

// consume connects and consumes until ctx ends, or what was read is lost: that is consumed again, behind what is committed.
func (m *member) consume(ctx context.Context, r *reader) error {
	group, err := m.options.Consume(ctx, m.Name, m.options.ConsumerOptions)
	if err != nil {
		return err
	}
	m.Logger.Info("connected", "brokers", strings.Join(m.options.Brokers, ", "), "group", m.options.Group)
	m.group.Store(group)
	m.failure.clear()
	ctx, lose := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { m.look(ctx, group) })
	for ctx.Err() == nil {
		m.read(ctx, r, group, lose)
	}
	isLost := errors.Is(context.Cause(ctx), errLost)
	lose(nil)
	looking.Wait()
	if isLost {
		group.Close(0)
		return errLost
	}
	group.Close(m.options.leaveTimeout)
	return nil
}

// look looks at the cluster from time to time, until ctx ends.
func (m *member) look(ctx context.Context, group *kafka.Consumer) {
	for {
		select {
		case <-time.After(kafka.RefreshInterval):
		case <-ctx.Done():
			return
		}
		if err := group.Refresh(ctx); err == nil {
			m.failure.clear()
		} else if ctx.Err() == nil {
			m.failure.set(err, m.Logger)
		}
	}
}

// read takes what a poll brings through the log paths, when there is room.
func (m *member) read(ctx context.Context, r *reader, group *kafka.Consumer, lose context.CancelCauseFunc) {
	select {
	case m.room <- struct{}{}:
	case <-ctx.Done():
		return
	}
	read, err := group.Poll(ctx, kafkaRead)
	if err != nil {
		m.failure.set(err, m.Logger)
	}
	if read.Len() == 0 {
		<-m.room
		return
	}
	p := &polled{Read: read, group: group, lose: lose}
	p.receipt.Done = func() { m.settled <- p } // has room for it
	p.receipt.Hold()
	r.receipt = &p.receipt
	r.begin()
	for text := range read.Texts() {
		r.handle(text)
	}
	r.flush()
	p.receipt.Release()
}

// settle has committed what is safe, until we leave.
func (m *member) settle(leaving context.Context) {
	for {
		select {
		case p := <-m.settled:
			if p.receipt.IsLost() {
				p.lose(errLost)
			} else {
				p.group.Settle(p.Read)
			}
			<-m.room
		case <-leaving.Done():
			return
		}
	}
}

// Stream tells what the source does with its topics.
func (m *member) Stream() stats.Stream {
	s := stats.Stream{}
	if group := m.group.Load(); group != nil {
		s = group.Status()
	}
	s.Name, s.Error = strings.Join(m.options.Topics, ", "), m.failure.String()
	return s
}
