package parser

import (
	"fmt"

	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/match"
	"kad/forwarder/internal/option"
)

// Regexp makes values of the named groups of the first pattern that matches; $0, $1, ... are what its groups matched.
type Regexp struct {
	Common
	Patterns []string `toml:"patterns"`
	Prefix   string   `toml:"prefix"` // of the names
	Flags    []string `toml:"flags"`

	matchers []*match.Matcher
}

// Init readies the parser.
func (r *Regexp) Init() error {
	if len(r.Patterns) == 0 {
		return option.Errorf("patterns", "a list of regular expressions is required")
	}
	for i, p := range r.Patterns {
		m, err := match.Compile(p, match.Options{Flags: r.Flags})
		if err != nil {
			return option.Errorf(fmt.Sprintf("patterns[%d]", i), "%w", err)
		}
		r.matchers = append(r.matchers, m)
	}
	return nil
}

// Process parses m.
func (r *Regexp) Process(m *logmsg.Message) bool {
	text := r.input(m)
	for _, p := range r.matchers {
		if loc := p.Find(text); loc != nil {
			filter.StoreGroups(p, m, text, loc, r.Prefix)
			filter.StoreNumbers(m, text, loc)
			return true
		}
	}
	return false
}
