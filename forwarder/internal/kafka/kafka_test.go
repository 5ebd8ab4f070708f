package kafka

import (
	"reflect"
	"strings"
	"testing"

	"kad/forwarder/internal/stats"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestCheckTopic(t *testing.T) {
	for _, test := range []struct{ topic, want string }{
		{"logs.web-1_x", ""},
		{"", `"" is no name of a topic: it is not . or .., and has 1 to 249 characters`},
		{"..", `".." is no name of a topic: it is not . or .., and has 1 to 249 characters`},
		{"a/b", `"a/b" has '/': a topic has letters, digits, dots, underlines and dashes`},
	} {
		got := ""
		if err := CheckTopic(test.topic); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q: got %s, want %s", test.topic, got, test.want)
		}
	}
}

// Whatever a topic is made of, it is legal, and one that is legal stays.
func FuzzMakeTopic(f *testing.F) {
	for _, topic := range []string{"", ".", "..", "logs", "a b", "ü", strings.Repeat("x", 300)} {
		f.Add(topic)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		got := string(MakeTopic([]byte("head"+topic), 4))
		made, ok := strings.CutPrefix(got, "head")
		if err := CheckTopic(made); !ok || err != nil {
			t.Errorf("%q became %q: %v", topic, got, err)
		}
		if CheckTopic(topic) == nil && made != topic {
			t.Errorf("%q became %q", topic, made)
		}
	})
}

// A broker that is not in sync with a partition of which it has a replica is behind.
func TestDescribe(t *testing.T) {
	answer := &kmsg.MetadataResponse{
		ControllerID: 2,
		Brokers:      []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "a", Port: 9092}, {NodeID: 2, Host: "b", Port: 9092}, {NodeID: 3, Host: "::1", Port: 9}},
		Topics: []kmsg.MetadataResponseTopic{{Partitions: []kmsg.MetadataResponseTopicPartition{
			{Replicas: []int32{1, 2}, ISR: []int32{1, 2}}, {Replicas: []int32{2, 3}, ISR: []int32{2}}, {Replicas: []int32{3, 1}, ISR: []int32{3, 1}},
		}}},
	}
	got, want := describe(answer), &stats.Stream{
		Cluster: "unnamed", Leader: "2 at b:9092", Server: "b:9092",
		Replicas: []stats.Replica{{Name: "1 at a:9092", IsCurrent: true}, {Name: "3 at [::1]:9"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	answer.ControllerID = -1
	if got := describe(answer); got.Leader != "" || got.Server != "a:9092" || len(got.Replicas) != 3 {
		t.Errorf("without a controller: got %+v", got)
	}
}
