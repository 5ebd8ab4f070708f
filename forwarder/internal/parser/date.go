package parser

import (
	"fmt"
	"strings"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/pkg/syslog"
)

// Date sets a time of the message from a text, by strptime(3)'s formats. A text that fits none is refused.
type Date struct {
	Common
	Format    []string    `toml:"format"`     // the first that fits counts
	Zone      option.Zone `toml:"time_zone"`  // of texts that name none; none: the local zone
	TimeStamp string      `toml:"time_stamp"` // stamp or recvd
	Value     string      `toml:"value"`      // the name of the text, instead of template
	Flags     []string    `toml:"flags"`

	name logmsg.Name
}

// Init readies the parser.
func (d *Date) Init() error {
	if _, err := flagSet(d.Flags, "guess_timezone"); err != nil {
		return err
	}
	if len(d.Format) == 0 {
		return option.Errorf("format", "a list of formats is required")
	}
	for i, f := range d.Format {
		for j := 0; j < len(f); j++ {
			if f[j] != '%' {
				continue
			}
			if j++; j == len(f) || strings.IndexByte(timeVerbs, f[j]) < 0 {
				return option.Errorf(fmt.Sprintf("format[%d]", i), "%q has a %% without one of %s behind it", f, timeVerbs)
			}
		}
	}
	if d.TimeStamp != "stamp" && d.TimeStamp != "recvd" {
		return option.Errorf("time_stamp", "%q is neither stamp nor recvd", d.TimeStamp)
	}
	d.name = logmsg.NameOf(d.Value)
	return nil
}

// Process parses m.
func (d *Date) Process(m *logmsg.Message) bool {
	text := string(d.input(m))
	if d.Value != "" {
		text = string(m.Value(d.name))
	}
	loc := d.Zone.Location
	if loc == nil {
		loc = time.Local
	}
	for _, format := range d.Format {
		t, ok := strptime(text, format, loc, m.Received.Time())
		if !ok {
			continue
		}
		if d.TimeStamp == "recvd" {
			m.Received = syslog.TimeOf(t)
		} else {
			m.Timestamp, m.Stamped = syslog.TimeOf(t), true
		}
		return true
	}
	return false
}
