// Package kafkatest has a cluster of brokers in the test's process: kfake, which speaks the protocol and keeps records in memory. It
// is no Kafka.
package kafkatest

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"kad/pkg/testneed"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Cluster is brokers on loopback.
type Cluster struct {
	*kfake.Cluster
	t       testing.TB
	options []kgo.Opt // of our own clients
}

// Options of a cluster; the zero ones are three brokers with the topic "logs" of two partitions.
type Options struct {
	TLS       *tls.Config
	User      string // with its password "secret", by all mechanisms; empty: brokers do not ask
	NoTopic   bool
	MaxBytes  int // of the brokers' message.max.bytes; 0: the default
	ClientTLS *tls.Config
}

// Start starts a cluster, which ends with the test.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	ports := kfake.Ports(testneed.Port(t), testneed.Port(t), testneed.Port(t)) // nobody gets them when brokers are gone
	options := []kfake.Opt{ports, kfake.ClusterID("lab"), kfake.GroupMinSessionTimeout(10 * time.Millisecond)}
	if !o.NoTopic {
		options = append(options, kfake.SeedTopics(2, "logs"))
	}
	c := &Cluster{t: t}
	if o.TLS != nil {
		options = append(options, kfake.TLS(o.TLS))
		c.options = append(c.options, kgo.DialTLSConfig(o.ClientTLS))
	}
	if o.User != "" {
		options = append(options, kfake.EnableSASL())
		for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
			options = append(options, kfake.Superuser(mechanism, o.User, "secret"))
		}
	}
	if o.MaxBytes > 0 {
		options = append(options, kfake.BrokerConfigs(map[string]string{"message.max.bytes": fmt.Sprint(o.MaxBytes)}))
	}
	var err error
	if c.Cluster, err = kfake.NewCluster(options...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Client makes a client of the test's own.
func (c *Cluster) Client(options ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	client, err := kgo.NewClient(append(append(c.options, kgo.SeedBrokers(c.ListenAddrs()...)), options...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.CloseAllowingRebalance)
	return client
}

// MakeTopic makes a topic of one partition.
func (c *Cluster) MakeTopic(name string) {
	c.t.Helper()
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(c.t.Context(), c.Client())
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].ErrorCode)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// Publish publishes texts to a topic, one after the other.
func (c *Cluster) Publish(topic string, texts ...string) {
	c.t.Helper()
	client := c.Client()
	for _, text := range texts {
		if err := client.ProduceSync(c.t.Context(), &kgo.Record{Topic: topic, Key: []byte(text), Value: []byte(text)}).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Read waits for so many records of a topic, and returns those that there are.
func (c *Cluster) Read(topic string, count int) (list []*kgo.Record) {
	c.t.Helper()
	client := c.Client(kgo.ConsumeTopics(topic))
	for len(list) < count {
		fetches := client.PollFetches(c.t.Context())
		if err := fetches.Err0(); err != nil {
			c.t.Fatalf("%d of %d records of %s: %v", len(list), count, topic, err)
		}
		list = append(list, fetches.Records()...)
	}
	return list
}

// Committed is how many records of a topic a group has behind it.
func (c *Cluster) Committed(group, topic string) (n int64) {
	c.t.Helper()
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Group = group
	of := kmsg.NewOffsetFetchRequestTopic()
	of.Topic, of.Partitions = topic, []int32{0, 1}
	request.Topics = append(request.Topics, of)
	inGroup := kmsg.NewOffsetFetchRequestGroup()
	inGroup.Group = group
	inTopic := kmsg.NewOffsetFetchRequestGroupTopic()
	inTopic.Topic, inTopic.Partitions = topic, []int32{0, 1}
	inGroup.Topics = append(inGroup.Topics, inTopic)
	request.Groups = append(request.Groups, inGroup)
	answer, err := request.RequestWith(c.t.Context(), c.Client())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, g := range answer.Groups {
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				n += max(0, p.Offset)
			}
		}
	}
	return n
}

// Fail has the brokers answer the next requests of a kind with an error, so often; -1: until it is called.
func (c *Cluster) Fail(kind kmsg.Key, err *kerr.Error, count int) (end func()) {
	return c.Fault(kfake.Fault{Keys: []kmsg.Key{kind}, Err: err, Count: count}).Remove
}

// Refuse has the brokers let nobody in, as Kafka says it: kfake closes the connection.
func (c *Cluster) Refuse() {
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		answer.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return answer, nil, true
	})
}
