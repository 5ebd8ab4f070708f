package logmsg

import (
	"slices"
	"sync"
	"sync/atomic"
)

// maxTags is the number of tags whose order is kept; names may be made from messages.
const maxTags = 8192

// The order of the tags in $TAGS is that in which they became known, as in syslog-ng: those that the configuration names,
// then those of the sources, then those that are made from messages.
var (
	tagRanks sync.Map // tag -> int
	tagCount atomic.Int64
)

// KnowTag gives a tag its place in the order of all tags, behind those that are known.
func KnowTag(tag string) { tagRank(tag) }

func tagRank(tag string) int {
	if rank, ok := tagRanks.Load(tag); ok {
		return rank.(int)
	}
	rank := int(tagCount.Add(1))
	if rank > maxTags {
		return maxTags
	}
	known, _ := tagRanks.LoadOrStore(tag, rank)
	return known.(int)
}

// OrderTags sorts tags as a message has them.
func OrderTags(tags []string) {
	slices.SortStableFunc(tags, func(a, b string) int { return tagRank(a) - tagRank(b) })
}

// HasTag tells whether the message has a tag.
func (m *Message) HasTag(tag string) bool { return slices.Contains(m.tags, tag) }

// Tags are the tags in the order in which they became known. The slice must not be changed.
func (m *Message) Tags() []string { return m.tags }

// SetTag adds a tag.
func (m *Message) SetTag(tag string) {
	if m.HasTag(tag) {
		return
	}
	KnowTag(tag)
	m.tags = append(slices.Clip(m.tags), tag)
	OrderTags(m.tags)
}

// ClearTag takes a tag away.
func (m *Message) ClearTag(tag string) {
	if i := slices.Index(m.tags, tag); i >= 0 {
		m.tags = slices.Delete(slices.Clone(m.tags), i, i+1)
	}
}

// ClearTags takes all tags away.
func (m *Message) ClearTags() { m.tags = nil }
