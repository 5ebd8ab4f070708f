package destination

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"kad/forwarder/internal/kafka"
	"kad/forwarder/internal/letter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
)

// Kafka publishes records. A message is sent when all replicas in sync have it.
type Kafka struct {
	Common
	kafka.Options
	kafka.ProducerOptions
	Publishing
	Topic *template.Template `toml:"topic"`
	Key   *template.Template `toml:"key"` // nil: records have none, and go to any partition
}

func newKafka(g *option.Globals) Driver {
	return &Kafka{Common: common(g), Options: kafka.Defaults(), ProducerOptions: kafka.DefaultProducer(), Publishing: publishing()}
}

// Init checks the options.
func (k *Kafka) Init() error {
	for _, check := range []func() error{k.Options.Init, k.ProducerOptions.Init, k.checkTopic, k.Publishing.init} {
		if err := check(); err != nil {
			return err
		}
	}
	return k.Common.Init()
}

// checkTopic checks a topic that does not depend on messages; what does is made legal.
func (k *Kafka) checkTopic() error {
	if k.Topic == nil || k.Topic.String() == "" {
		return option.Errorf("topic", `the topic is required, like "logs" or "logs.$HOST"`)
	}
	if topic, ok := k.Topic.Literal(); ok {
		if err := kafka.CheckTopic(topic); err != nil {
			return option.Errorf("topic", "%w", err)
		}
	}
	return nil
}

// Format says how a message waits: its topic, key and headers, and its text, which is RFC 5424 or what the template has.
func (k *Kafka) Format() Format {
	c := k.Common
	c.syslogProtocol = c.syslogProtocol || c.Template == nil
	write := c.text(true)
	var buf []byte
	return Format{Append: func(dst []byte, m *logmsg.Message, ctx *template.Context) []byte {
		start := len(dst)
		dst = kafka.MakeTopic(k.Topic.Append(dst, m, ctx), start)
		buf = appendID(buf[:0])
		dst = letter.AppendHeader(dst, kafka.IDHeader, buf)
		if k.Key != nil {
			buf = k.Key.Append(buf[:0], m, ctx)
			dst = letter.AppendHeader(dst, kafka.KeyHeader, buf)
		}
		dst = letter.AppendEnd(appendHeaders(dst, m))
		return appendLetterText(dst, m, ctx, write)
	}}
}

// Connect is not used: a publisher connects.
func (k *Kafka) Connect(context.Context, *slog.Logger) (Conn, error) {
	return nil, errors.ErrUnsupported
}

func (k *Kafka) logName() string { return k.Topic.String() }

func (k *Kafka) dial(ctx context.Context, name string, _ time.Duration, _ *slog.Logger) (logClient, error) {
	var topics []string
	if topic, ok := k.Topic.Literal(); ok {
		topics = append(topics, topic)
	}
	return k.Options.Produce(ctx, name, topics, k.ProducerOptions)
}
