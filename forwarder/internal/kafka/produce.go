package kafka

import (
	"context"
	"math"

	"kad/forwarder/internal/letter"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/stats"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers of a letter that are Kafka's.
const (
	KeyHeader = "Kafka-Key" // becomes the key of the record
	IDHeader  = "Syslog-Id" // the same for what is published again
)

// ProducerOptions are those of a destination.
type ProducerOptions struct {
	MaxMessageBytes option.Size `toml:"max_message_bytes"` // max.message.bytes of the topics: of a batch of records, so of one at most
}

// minMessageBytes leaves room for the heads of what is split; maxMessageBytes is the driver's.
const minMessageBytes, maxMessageBytes = 4 << 10, 1 << 30

// DefaultProducer has the brokers' default.
func DefaultProducer() ProducerOptions { return ProducerOptions{MaxMessageBytes: 1_000_012} }

// Init checks the options. Its error is an *option.Error.
func (o *ProducerOptions) Init() error {
	if o.MaxMessageBytes < minMessageBytes || o.MaxMessageBytes > maxMessageBytes {
		return option.Errorf("max_message_bytes", "%d is not from %d to %d", o.MaxMessageBytes, minMessageBytes, maxMessageBytes)
	}
	return nil
}

// A Producer publishes.
type Producer struct {
	*cluster
	options ProducerOptions
}

// Produce connects to the brokers. Topics are those that are known to be published to. How many records may be without an
// acknowledgement is for the caller to say: the driver takes all.
func (o *Options) Produce(ctx context.Context, name string, topics []string, p ProducerOptions) (*Producer, error) {
	c, err := o.connect(ctx, name, topics, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MaxBufferedRecords(math.MaxInt32),
		kgo.ProducerBatchMaxBytes(int32(p.MaxMessageBytes)), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		return nil, err
	}
	return &Producer{c, p}, nil
}

// Run is 1: the driver makes batches of records.
func (p *Producer) Run([][]byte) int { return 1 }

// overhead is at most what a batch of one record and its numbers take.
const overhead = 128

// headerOverhead is at most what the lengths of a header take, or one more header.
const headerOverhead = 12

// Publish publishes a letter as a record, or as several if it is too large.
func (p *Producer) Publish(letters [][]byte, tooLarge letter.TooLarge) (a letter.Ack) {
	l, err := letter.Parse(letters[0])
	if err != nil {
		return letter.Ack{Err: err}
	}
	room := int(p.options.MaxMessageBytes) - overhead - l.Head - headerOverhead*len(l.Headers)
	list := []letter.Letter{l}
	if len(l.Text) > room {
		list = tooLarge.Fit(l, room-len(letter.TruncatedHeader)-2*headerOverhead)
		a.Cut = min(1, len(list))
	}
	if len(list) == 0 {
		a.Refused = letters[:1]
	}
	for _, l := range list {
		a.Futures = append(a.Futures, p.publish(l))
	}
	return a
}

// A future is settled by the driver.
type future struct {
	done chan struct{}
	err  error // after done
}

// Wait waits until all replicas in sync have the record.
func (f *future) Wait(ctx context.Context) (known bool, err error) {
	select {
	case <-f.done:
		return false, f.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (p *Producer) publish(l letter.Letter) *future {
	r := &kgo.Record{Topic: l.Address, Value: l.Text, Headers: make([]kgo.RecordHeader, 0, len(l.Headers))}
	for _, h := range l.Headers {
		if h.Name == KeyHeader {
			r.Key = []byte(h.Value)
			continue
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: []byte(h.Value)})
	}
	f := &future{done: make(chan struct{})}
	p.Client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		if err != nil {
			f.err = explain(r.Topic, err)
		}
		close(f.done)
	})
	return f
}

// Explain has no more to say: the driver's errors have been explained.
func (p *Producer) Explain(_ context.Context, err error) error { return err }

// Status is what is known of the cluster since it was looked at last.
func (p *Producer) Status() stats.Stream { return *p.known.Load() }

// Close gives up what is not acknowledged.
func (p *Producer) Close() { p.Client.Close() }
