// Package kafka is the door to Kafka: a Producer publishes letters as records, with an acknowledgement of all replicas in sync for
// each; a Consumer is a member of a group, and commits what is safe.
package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/stats"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Options are what a source and a destination have in common: where the brokers are, and who we are.
type Options struct {
	Brokers        []string        `toml:"brokers"` // "HOST:9092"; others of the cluster are learnt
	ConnectTimeout option.Duration `toml:"connect_timeout"`
	SASL           *SASL           `toml:"sasl"` // nil: brokers do not ask who we are
	option.RenewedTLS
}

// SASL says who we are by a password.
type SASL struct {
	Mechanism    string `toml:"mechanism"` // plain, scram_sha_256, scram_sha_512
	User         string `toml:"user"`
	PasswordFile string `toml:"password_file"` // its first line
}

// Defaults are the options with their defaults.
func Defaults() Options {
	return Options{ConnectTimeout: option.Duration(5 * time.Second), RenewedTLS: option.NewRenewedTLS()}
}

// Init checks the options. Its error is an *option.Error.
func (o *Options) Init() error {
	if len(o.Brokers) == 0 {
		return option.Errorf("brokers", `brokers are required, like ["192.0.2.1:9092"]`)
	}
	for i, b := range o.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			return option.Errorf(fmt.Sprintf("brokers[%d]", i), `%q is not like "192.0.2.1:9092"`, b)
		}
	}
	_, err := o.identity()
	return err
}

// identity is who we are and whom we trust, read from the files.
func (o *Options) identity() (list []kgo.Opt, err error) {
	if o.SASL != nil {
		mechanism, err := o.SASL.load()
		if err != nil {
			return nil, option.In("sasl", err)
		}
		list = append(list, mechanism)
	}
	config, err := o.LoadTLS()
	if config != nil {
		list = append(list, kgo.DialTLSConfig(config))
	}
	return list, err
}

func (s *SASL) load() (kgo.Opt, error) {
	if s.User == "" {
		return nil, option.Errorf("user", "the user is required")
	}
	if _, err := s.password(); err != nil {
		return nil, err
	}
	byScram := func(context.Context) (scram.Auth, error) {
		password, err := s.password()
		return scram.Auth{User: s.User, Pass: password}, err
	}
	switch s.Mechanism {
	case "plain":
		return kgo.SASL(plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.password()
			return plain.Auth{User: s.User, Pass: password}, err
		})), nil
	case "scram_sha_256":
		return kgo.SASL(scram.Sha256(byScram)), nil
	case "scram_sha_512":
		return kgo.SASL(scram.Sha512(byScram)), nil
	}
	return nil, option.Errorf("mechanism", "%q is not known, want plain, scram_sha_256 or scram_sha_512", s.Mechanism)
}

// password reads the password, for each connection.
func (s *SASL) password() (string, error) {
	text, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return "", option.Errorf("password_file", "%w", err)
	}
	password, _, _ := strings.Cut(string(text), "\n")
	if password == "" {
		return "", option.Errorf("password_file", "%s has no password in its first line", s.PasswordFile)
	}
	return password, nil
}

// requestTimeout is how long brokers may take to answer what is asked about topics.
const requestTimeout = 5 * time.Second

// A cluster is connected to, and known as it was when it was looked at last.
type cluster struct {
	*kgo.Client
	topics []string // that have to be there
	known  atomic.Pointer[stats.Stream]
}

// connect connects to a broker and looks at the topics.
func (o *Options) connect(ctx context.Context, name string, topics []string, options ...kgo.Opt) (*cluster, error) {
	identity, err := o.identity()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(append(options, identity...),
		kgo.SeedBrokers(o.Brokers...), kgo.ClientID("forwarder "+name), kgo.DialTimeout(time.Duration(o.ConnectTimeout)),
		kgo.RequestRetries(2), kgo.MetadataMinAge(500*time.Millisecond), kgo.DisableClientMetrics())...)
	if err != nil {
		return nil, err
	}
	c := &cluster{Client: client, topics: topics}
	c.known.Store(&stats.Stream{})
	if err := c.Refresh(ctx); err != nil {
		client.CloseAllowingRebalance()
		if o.SASL != nil && errors.Is(err, io.EOF) {
			err = errors.New("a broker closed the connection while it was asked to let us in: user, password or mechanism may be wrong")
		}
		return nil, fmt.Errorf("%s: %w", strings.Join(o.Brokers, ", "), err)
	}
	return c, nil
}

// Refresh looks at the cluster and the topics.
func (c *cluster) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{} // nil would be all
	for _, topic := range c.topics {
		request.Topics = append(request.Topics, kmsg.MetadataRequestTopic{Topic: &topic})
	}
	answer, err := request.RequestWith(ctx, c.Client)
	if err != nil {
		c.known.Store(&stats.Stream{})
		return err
	}
	c.known.Store(describe(answer))
	for _, topic := range answer.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return explain(*topic.Topic, err)
		}
	}
	return nil
}

// describe says who leads, and which brokers are behind in a partition.
func describe(answer *kmsg.MetadataResponse) *stats.Stream {
	s := &stats.Stream{Cluster: "unnamed"}
	if answer.ClusterID != nil {
		s.Cluster = *answer.ClusterID
	}
	behind := map[int32]bool{}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			for _, replica := range p.Replicas {
				behind[replica] = behind[replica] || !slices.Contains(p.ISR, replica)
			}
		}
	}
	for _, b := range answer.Brokers {
		address := net.JoinHostPort(b.Host, fmt.Sprint(b.Port))
		name := fmt.Sprintf("%d at %s", b.NodeID, address)
		if b.NodeID == answer.ControllerID {
			s.Leader, s.Server = name, address
		} else {
			s.Replicas = append(s.Replicas, stats.Replica{Name: name, IsCurrent: !behind[b.NodeID]})
		}
		s.Server = cmp.Or(s.Server, address)
	}
	return s
}

// explain says what of a topic is wrong.
func explain(topic string, err error) error {
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("topic %q does not exist: make it, or have the brokers make what is asked for", topic)
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("topic %q takes no batch of that size: lower max_message_bytes, or raise max.message.bytes of the topic", topic)
	}
	return fmt.Errorf("topic %q: %w", topic, err)
}
