package rewrite

import (
	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
)

// Matches makes $1, $2, ... of the items of a list, or unsets them all.
type Matches struct {
	Common
	Template *template.Template `toml:"template"` // the list, of set_matches

	unset bool
}

// Init readies the rewrite.
func (r *Matches) Init() error {
	if r.unset && r.Template != nil {
		return option.Errorf("template", "unset_matches has none")
	}
	if r.unset {
		return nil
	}
	return required("template", r.Template)
}

// Process changes m.
func (r *Matches) Process(m *logmsg.Message) bool {
	if !r.applies(m) {
		return true
	}
	var items [][]byte
	if !r.unset {
		items = template.ListItems(r.Template.Append(nil, m, nil))
	}
	filter.StoreItems(m, items)
	return true
}
