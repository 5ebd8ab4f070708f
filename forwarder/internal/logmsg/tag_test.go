package logmsg

import (
	"slices"
	"testing"

	"kad/pkg/syslog"
)

func TestTagsInTheOrderInWhichTheyBecameKnown(t *testing.T) {
	for _, tag := range []string{"order-b", "order-a", ".source.order"} {
		KnowTag(tag)
	}
	var m Message
	m.Reset(&Origin{Tags: []string{".source.order"}}, syslog.Time{})
	for _, tag := range []string{"order-made", "order-a", "order-b", "order-a"} {
		m.SetTag(tag)
	}
	if want := []string{"order-b", "order-a", ".source.order", "order-made"}; !slices.Equal(m.Tags(), want) {
		t.Errorf("got %q, want %q", m.Tags(), want)
	}
	var copied Message
	copied.CopyFrom(&m)
	copied.ClearTag("order-a")
	if !m.HasTag("order-a") || copied.HasTag("order-a") {
		t.Errorf("the original has %q, its copy %q", m.Tags(), copied.Tags())
	}
}
