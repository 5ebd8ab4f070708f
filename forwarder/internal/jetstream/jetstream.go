// Package jetstream is the door to NATS JetStream: a Client has a connection to a cluster and knows one stream of it. It
// publishes letters with an acknowledgement for each message, which may be a batch of them, and consumes likewise.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/stats"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options are what a source and a destination have in common: where the stream is, and who we are.
type Options struct {
	Servers         []string        `toml:"servers"` // "nats://HOST:4222" or "tls://HOST:4222"; others of the cluster are learnt
	Stream          string          `toml:"stream"`
	CredentialsFile string          `toml:"credentials_file"` // a JWT and its seed, as nsc writes them
	NKeyFile        string          `toml:"nkey_file"`        // a seed
	ConnectTimeout  option.Duration `toml:"connect_timeout"`
	option.RenewedTLS
	CreateStream *CreateStream `toml:"create_stream"` // nil: a stream that does not exist is an error
}

// CreateStream describes a stream that is made if there is none of its name. One that exists is used as it is.
type CreateStream struct {
	Subjects        []string        `toml:"subjects"`
	Replicas        int             `toml:"replicas"`
	MaxBytes        option.Size     `toml:"max_bytes"` // 0: no limit, as for max_age
	MaxAge          option.Duration `toml:"max_age"`
	Discard         string          `toml:"discard"`          // of a full stream: old, new
	DuplicateWindow option.Duration `toml:"duplicate_window"` // in which a message that is sent again is known
}

// MinVersion is the oldest server whose API is spoken.
const MinVersion = "2.9.0"

// requestTimeout is how long a server may take to answer what is asked about a stream, and to read what is written.
const requestTimeout = 5 * time.Second

// Defaults are the options with their defaults.
func Defaults() Options {
	return Options{ConnectTimeout: option.Duration(5 * time.Second), RenewedTLS: option.NewRenewedTLS()}
}

// Init checks the options. Its error is an *option.Error.
func (o *Options) Init() error {
	if len(o.Servers) == 0 {
		return option.Errorf("servers", `servers are required, like ["nats://192.0.2.1:4222"]`)
	}
	for i, s := range o.Servers {
		key := fmt.Sprintf("servers[%d]", i)
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls":
			return option.Errorf(key, `a server is not like "nats://192.0.2.1:4222" or "tls://192.0.2.1:4222"`)
		case u.User != nil:
			return option.Errorf(key, "no user and password here, where each may read them: use credentials_file or nkey_file")
		}
	}
	if o.Stream == "" || strings.ContainsAny(o.Stream, " .*>/\\\t\r\n") {
		return option.Errorf("stream", "the name of a stream is required, without blanks and any of . * > / \\")
	}
	if o.CredentialsFile != "" && o.NKeyFile != "" {
		return option.Errorf("nkey_file", "credentials_file says already who we are")
	}
	if c := o.CreateStream; c != nil {
		if err := c.init(); err != nil {
			return option.In("create_stream", err)
		}
	}
	_, err := o.identity()
	return err
}

func (c *CreateStream) init() error {
	if len(c.Subjects) == 0 {
		return option.Errorf("subjects", `the subjects of the stream are required, like ["logs.>"]`)
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		return option.Errorf("replicas", "%d is not from 1 to 5", c.Replicas)
	}
	if c.DuplicateWindow == 0 {
		c.DuplicateWindow = option.Duration(2 * time.Minute)
	}
	if c.Discard != "" && c.Discard != "old" && c.Discard != "new" {
		return option.Errorf("discard", "%q is not known, want old or new", c.Discard)
	}
	return nil
}

func (c *CreateStream) config(name string) jetstream.StreamConfig {
	s := jetstream.StreamConfig{
		Name: name, Subjects: c.Subjects, Replicas: c.Replicas, MaxBytes: -1, MaxAge: time.Duration(c.MaxAge),
		Duplicates: time.Duration(c.DuplicateWindow), Storage: jetstream.FileStorage,
	}
	if c.MaxBytes > 0 {
		s.MaxBytes = int64(c.MaxBytes)
	}
	if s.MaxAge > 0 { // the server's rule
		s.Duplicates = min(s.Duplicates, s.MaxAge)
	}
	if c.Discard == "new" {
		s.Discard = jetstream.DiscardNew
	}
	return s
}

// identity is who we are and whom we trust, read from the files.
func (o *Options) identity() (list []nats.Option, err error) {
	if o.CredentialsFile != "" {
		list = append(list, nats.UserCredentials(o.CredentialsFile))
	}
	if o.NKeyFile != "" {
		key, err := nats.NkeyOptionFromSeed(o.NKeyFile)
		if err != nil {
			return nil, option.Errorf("nkey_file", "%s has no seed: %w", o.NKeyFile, err)
		}
		list = append(list, key)
	}
	config, err := o.LoadTLS()
	if config != nil {
		list = append(list, nats.Secure(config))
	}
	return list, err
}

// A Client has a connection, which goes to another server when one fails, and knows its stream.
type Client struct {
	options *Options
	conn    *nats.Conn
	js      jetstream.JetStream
	stream  atomic.Pointer[jetstream.StreamInfo]
	// consumer is as it was when we looked at it last; nil: we do not consume.
	consumer atomic.Pointer[jetstream.ConsumerInfo]
	consumed time.Time              // when the stream was made whose consumer that is
	refused  atomic.Pointer[string] // what the server said last that it does not let us do

	leader        atomic.Pointer[string] // that was seen last; nil: none
	leaderChanges atomic.Uint64
}

// Connect connects to one of the servers and looks at the stream. wait is between attempts, later on.
func (o *Options) Connect(ctx context.Context, name string, wait time.Duration, logger *slog.Logger) (*Client, error) {
	identity, err := o.identity()
	if err != nil {
		return nil, err
	}
	c := &Client{options: o}
	c.conn, err = nats.Connect(strings.Join(o.Servers, ","), append(identity,
		nats.Name("forwarder "+name), nats.Timeout(time.Duration(o.ConnectTimeout)),
		nats.MaxReconnects(-1), nats.ReconnectWait(wait), nats.ReconnectJitter(wait/4, wait/4), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1), // what is not sent is sent again anyway
		nats.PingInterval(3*time.Second), nats.MaxPingsOutstanding(2),
		// A write that waits keeps the pings from being missed; nats.go lets it wait for a minute.
		nats.FlusherTimeout(requestTimeout), nats.ReconnectOnFlusherError(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				logger.Warn("connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(n *nats.Conn) { logger.Info("connected", "server", n.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.deny(err, logger) }))...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(o.Servers, ", "), err)
	}
	if err = c.open(ctx); err != nil {
		c.conn.Close()
		return nil, err
	}
	logger.Info("connected", "server", c.conn.ConnectedUrlRedacted(), "stream", o.Stream, "leader", c.Status().Leader)
	return c, nil
}

// deny keeps what the server refuses: what it refuses to take it does not answer.
func (c *Client) deny(err error, logger *slog.Logger) {
	text := err.Error()
	if before := c.refused.Swap(&text); before == nil || *before != text {
		logger.Warn("server refuses", "error", err)
	}
}

func (c *Client) open(ctx context.Context) error {
	if v := c.conn.ConnectedServerVersion(); olderThan(v, MinVersion) {
		return fmt.Errorf("server %s has version %s, want at least %s", c.conn.ConnectedUrlRedacted(), v, MinVersion)
	}
	js, err := jetstream.New(c.conn, jetstream.WithPublishAsyncMaxPending(math.MaxInt32), jetstream.WithPublishAsyncTimeout(requestTimeout))
	if err != nil {
		return err
	}
	c.js = js
	return c.Refresh(ctx)
}

// olderThan compares versions like "2.9.10", "2.11.0-RC.1".
func olderThan(version, limit string) bool {
	var a, b [3]int
	_, _ = fmt.Sscanf(version, "%d.%d.%d", &a[0], &a[1], &a[2]) // what is no number is 0
	_, _ = fmt.Sscanf(limit, "%d.%d.%d", &b[0], &b[1], &b[2])
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// Refresh looks at the stream, and makes it if there is none and the options say so.
func (c *Client) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	o := c.options
	s, err := c.js.Stream(ctx, o.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if o.CreateStream == nil {
			return fmt.Errorf("stream %q does not exist: make it, or give create_stream", o.Stream)
		}
		s, err = c.js.CreateStream(ctx, o.CreateStream.config(o.Stream))
	}
	if err != nil {
		return fmt.Errorf("stream %q: %w", o.Stream, err)
	}
	info := s.CachedInfo()
	c.stream.Store(info)
	if info.Cluster != nil && info.Cluster.Leader != "" {
		if before := c.leader.Swap(&info.Cluster.Leader); before != nil && *before != info.Cluster.Leader {
			c.leaderChanges.Add(1)
		}
	}
	return nil
}

// Close ends the connection, when what was said has left.
func (c *Client) Close() {
	_ = c.conn.FlushTimeout(requestTimeout) // acknowledgements that get lost are given again
	c.conn.Close()
}

// Status is what is known of the stream since it was looked at last.
func (c *Client) Status() stats.Stream {
	s := stats.Stream{LeaderChanges: c.leaderChanges.Load()}
	if c.conn.IsConnected() {
		s.Server = c.conn.ConnectedUrlRedacted()
	}
	info := c.stream.Load()
	s.Messages = info.State.Msgs
	if info.Cluster != nil {
		s.Cluster, s.Leader = info.Cluster.Name, info.Cluster.Leader
		for _, r := range info.Cluster.Replicas {
			s.Replicas = append(s.Replicas, stats.Replica{Name: r.Name, IsCurrent: r.Current && !r.Offline, Lag: r.Lag})
		}
	}
	if info := c.consumer.Load(); info != nil {
		s.Pending = info.NumPending
	}
	return s
}
