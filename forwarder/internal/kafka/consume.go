package kafka

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/stats"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ConsumerOptions are those of a source.
type ConsumerOptions struct {
	Topics []string `toml:"topics"`
	Group  string   `toml:"group"`
}

// Init checks the options. Its error is an *option.Error.
func (o *ConsumerOptions) Init() error {
	if len(o.Topics) == 0 {
		return option.Errorf("topics", `topics are required, like ["logs"]`)
	}
	for i, topic := range o.Topics {
		if err := CheckTopic(topic); err != nil {
			return option.Errorf(fmt.Sprintf("topics[%d]", i), "%w", err)
		}
	}
	if o.Group == "" {
		return option.Errorf("group", "the name of the consumer group is required")
	}
	return nil
}

// RefreshInterval is how often the cluster is looked at.
const RefreshInterval = 2 * time.Second

const (
	// revokeWait is how long a rebalance waits for what was read to be safe: what is not then is consumed by another member too.
	revokeWait = 5 * time.Second
	// commitInterval is how often what is safe is committed.
	commitInterval = time.Second
	// fetchBytes is about how much a broker gives at once.
	fetchBytes = 4 << 20
)

// A Consumer is a member of a group.
type Consumer struct {
	*cluster

	commit atomic.Pointer[error] // why nothing is committed; nil: it is

	mu      sync.Mutex // guards what follows
	changed sync.Cond  // fewer reads
	reads   []*Read    // that are not committed, oldest first
	pending map[partition]int64
	leaving bool
}

type partition struct {
	topic  string
	number int32
}

// A Read is what a poll has brought.
type Read struct {
	fetches kgo.Fetches
	last    []*kgo.Record // of each partition
	count   int
	isSafe  bool
}

// Consume joins the group.
func (o *Options) Consume(ctx context.Context, name string, from ConsumerOptions) (*Consumer, error) {
	c := &Consumer{pending: map[partition]int64{}}
	c.changed.L = &c.mu
	var err error
	c.cluster, err = o.connect(ctx, name, from.Topics, kgo.ConsumerGroup(from.Group), kgo.ConsumeTopics(from.Topics...),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(commitInterval), kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes/4),
		kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsRevoked(c.revoke), kgo.OnPartitionsLost(c.lose), kgo.AutoCommitCallback(c.noteCommit))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Poll waits for records, at most max of them, until ctx ends. An error tells what went wrong meanwhile; the next poll may succeed.
func (c *Consumer) Poll(ctx context.Context, max int) (*Read, error) {
	fetches := c.PollRecords(ctx, max)
	r := &Read{fetches: fetches, count: fetches.NumRecords()}
	c.mu.Lock()
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if n := len(p.Records); n > 0 {
			r.last = append(r.last, p.Records[n-1])
			c.pending[partition{p.Topic, p.Partition}] = p.HighWatermark - p.Records[n-1].Offset - 1
		}
	})
	if r.count > 0 {
		c.reads = append(c.reads, r)
	}
	c.mu.Unlock()
	c.AllowRebalance() // which knows of the read now
	for _, e := range fetches.Errors() {
		if ctx.Err() == nil && !errors.Is(e.Err, context.Canceled) {
			return r, explain(e.Topic, e.Err)
		}
	}
	return r, nil
}

// Len is how many records it has.
func (r *Read) Len() int { return r.count }

// Texts are those of the records.
func (r *Read) Texts() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for records := r.fetches.RecordIter(); !records.Done(); {
			if !yield(records.Next().Value) {
				return
			}
		}
	}
}

// noteCommit keeps what was wrong with a commit, unless the next one may succeed.
func (c *Consumer) noteCommit(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
	if answer != nil {
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				if err == nil {
					err = kerr.ErrorForCode(p.ErrorCode)
				}
			}
		}
	}
	switch {
	case err == nil:
		c.commit.Store(nil)
	case kerr.IsRetriable(err), errors.Is(err, kerr.RebalanceInProgress), errors.Is(err, kerr.IllegalGeneration),
		errors.Is(err, kerr.UnknownMemberID), errors.Is(err, context.Canceled):
	default:
		c.commit.Store(&err)
	}
}

// Refresh looks at the cluster and the topics, and at what came of commits.
func (c *Consumer) Refresh(ctx context.Context) error {
	if err := c.cluster.Refresh(ctx); err != nil {
		return err
	}
	if err := c.commit.Load(); err != nil {
		return fmt.Errorf("what is safe cannot be committed: %w", *err)
	}
	return nil
}

// Settle says that a read is safe. It is committed when those before it are safe too.
func (c *Consumer) Settle(r *Read) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.isSafe, r.fetches = true, nil
	n := 0
	for ; n < len(c.reads) && c.reads[n].isSafe; n++ {
		c.MarkCommitRecords(c.reads[n].last...)
	}
	c.reads = c.reads[n:]
	c.changed.Broadcast()
}

// revoke waits until what was read is safe, and commits it: another member goes on behind it.
func (c *Consumer) revoke(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
	c.wait(revokeWait)
	_ = client.CommitMarkedOffsets(ctx) // what is not committed is consumed again
	c.lose(ctx, client, partitions)
}

// wait waits until all reads are safe, for a limited time.
func (c *Consumer) wait(limit time.Duration) {
	expired := false
	timer := time.AfterFunc(limit, func() {
		c.mu.Lock()
		expired = true
		c.mu.Unlock()
		c.changed.Broadcast()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.reads) > 0 && !expired && !c.leaving {
		c.changed.Wait()
	}
}

// lose forgets partitions: they are another member's, and nothing of them is committed any more.
func (c *Consumer) lose(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, numbers := range partitions {
		for _, n := range numbers {
			delete(c.pending, partition{topic, n})
			for _, r := range c.reads {
				r.forget(topic, n)
			}
		}
	}
}

func (r *Read) forget(topic string, number int32) {
	kept := r.last[:0]
	for _, record := range r.last {
		if record.Topic != topic || record.Partition != number {
			kept = append(kept, record)
		}
	}
	r.last = kept
}

// Status is what is known of the cluster, and how many records are to be consumed.
func (c *Consumer) Status() stats.Stream {
	s := *c.known.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.pending {
		s.Pending += uint64(max(0, n))
	}
	for _, r := range c.reads {
		s.InFlight += uint64(r.count)
	}
	return s
}

// Close waits for what was read to be safe, for a limited time, commits what is, and leaves the group.
func (c *Consumer) Close(limit time.Duration) {
	c.wait(limit)
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_ = c.CommitMarkedOffsets(ctx) // what is not committed is consumed again
	c.CloseAllowingRebalance()
}
