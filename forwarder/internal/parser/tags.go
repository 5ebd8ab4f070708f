package parser

import (
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/template"
)

// Tags makes a tag of each item of a list.
type Tags struct {
	Common
}

// Init readies the parser.
func (t *Tags) Init() error { return nil }

// Process parses m. All texts fit.
func (t *Tags) Process(m *logmsg.Message) bool {
	for _, tag := range template.ListItems(t.input(m)) {
		m.SetTag(string(tag))
	}
	return true
}
