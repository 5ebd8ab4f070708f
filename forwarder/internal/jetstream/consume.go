package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"kad/forwarder/internal/option"
	"kad/pkg/syslog"

	"github.com/nats-io/nats.go/jetstream"
)

// ConsumerOptions describe a durable pull consumer, which is made if there is none of its name.
type ConsumerOptions struct {
	Consumer string          `toml:"consumer"`
	Filter   string          `toml:"filter_subject"` // empty: all that the stream has
	Window   int             `toml:"window"`         // messages that wait for our acknowledgement
	AckWait  option.Duration `toml:"ack_wait"`       // after which a message is delivered again
}

// A Delivery is a message that was consumed.
type Delivery struct {
	Sequence uint64 // in the stream
	Stored   int64  // when it came into the stream; nanoseconds since 1970
	message  jetstream.Msg
}

// Size is that of its text.
func (d Delivery) Size() int { return len(d.message.Data()) }

// Texts are those of the letters that it was published for. What is no batch, though it says so, is a text from there on.
func (d Delivery) Texts() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest := d.message.Data()
		if d.message.Headers().Get(BatchHeader) == "" {
			yield(rest)
			return
		}
		framer := syslog.Framer{Framing: syslog.OctetCounting, MaxSize: max(1, len(rest))}
		for len(rest) > 0 {
			text, used, err := framer.Next(rest)
			rest = rest[used:]
			if err != nil || text == nil {
				text, rest = rest, nil
			}
			if len(text) > 0 && !yield(text) {
				return
			}
		}
	}
}

// Ack says that it is safe. If that gets lost the message is delivered again.
func (d Delivery) Ack() { _ = d.message.Ack() }

// Nak asks for it to be delivered again.
func (d Delivery) Nak() { _ = d.message.Nak() }

// Hold asks for another ack_wait.
func (d Delivery) Hold() { _ = d.message.InProgress() }

// heartbeat is how often a server that has nothing says so: after two of them we ask anew.
const heartbeat = time.Second

// refreshInterval is how often a consumer is looked at.
const refreshInterval = 2 * time.Second

// Consume gives messages to take, on one goroutine, until ctx ends. An error tells why it has to begin anew.
func (c *Client) Consume(ctx context.Context, o *ConsumerOptions, take func(Delivery)) error {
	if err := c.Refresh(ctx); err != nil {
		return err
	}
	consumer, err := c.find(ctx, o)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	end := func(err error) {
		select {
		case ended <- err:
		default: // it ends already
		}
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			end(err)
			return
		}
		take(Delivery{meta.Sequence.Stream, meta.Timestamp.UnixNano(), m})
	}, jetstream.PullMaxMessages(o.Window), jetstream.PullExpiry(10*time.Second), jetstream.PullHeartbeat(heartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrBadRequest) {
				end(fmt.Errorf("consumer %q: %w", o.Consumer, err))
			}
		}))
	if err != nil {
		return fmt.Errorf("consumer %q: %w", o.Consumer, err)
	}
	defer consuming.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-time.After(refreshInterval):
		}
		_ = c.Refresh(ctx) // for the status
		info, err := consumer.Info(ctx)
		if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("consumer %q: %w", o.Consumer, err)
		}
		if err == nil {
			c.consumer.Store(info)
		}
	}
}

// find finds the consumer, or makes it: from where we know that it was, or from the beginning.
func (c *Client) find(ctx context.Context, o *ConsumerOptions) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream := c.options.Stream
	consumer, err := c.js.Consumer(ctx, stream, o.Consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		config := jetstream.ConsumerConfig{
			Durable: o.Consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Duration(o.AckWait),
			MaxAckPending: o.Window, FilterSubject: o.Filter,
		}
		if before := c.consumer.Load(); before != nil && c.consumed.Equal(c.stream.Load().Created) {
			config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, before.AckFloor.Stream+1
		}
		consumer, err = c.js.CreateConsumer(ctx, stream, config)
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %q: %w", o.Consumer, err)
	}
	info := consumer.CachedInfo()
	if p := info.Config.AckPolicy; p != jetstream.AckExplicitPolicy {
		return nil, fmt.Errorf("consumer %q has the acknowledgement policy %s, want explicit", o.Consumer, p)
	}
	c.consumer.Store(info)
	c.consumed = c.stream.Load().Created
	return consumer, nil
}
