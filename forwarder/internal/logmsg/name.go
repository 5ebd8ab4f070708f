package logmsg

import (
	"strconv"
	"strings"
)

// A Field is what a name stands for.
type Field uint8

// The fields that every message has; all other names are looked up.
const (
	other        Field = iota
	Host               // HOST
	Text               // MESSAGE, MSG, MSGONLY
	Program            // PROGRAM
	PID                // PID
	MsgID              // MSGID
	HostFrom           // HOST_FROM
	Source             // SOURCE
	LegacyHeader       // LEGACY_MSGHDR
	sdata              // .SDATA.id.name
)

// fullHost is HOST, but all of a chain.
const fullHost = "FULLHOST"

var fields = map[string]Field{
	"HOST": Host, fullHost: Host, "MESSAGE": Text, "MSG": Text, "MSGONLY": Text, "PROGRAM": Program, "PID": PID, "MSGID": MsgID,
	"HOST_FROM": HostFrom, "FULLHOST_FROM": HostFrom, "SOURCE": Source, "LEGACY_MSGHDR": LegacyHeader,
}

// headerNames are those that Names lists, besides pairs.
var headerNames = []Name{
	NameOf("HOST"), NameOf("HOST_FROM"), NameOf("MESSAGE"), NameOf("PROGRAM"), NameOf("PID"), NameOf("MSGID"),
	NameOf("SOURCE"), NameOf("LEGACY_MSGHDR"),
}

// SDataPrefix begins the names of structured data: .SDATA.SD-ID.PARAM-NAME.
const SDataPrefix = ".SDATA."

// A Name is the resolved name of a value. Make it once, with NameOf.
type Name struct {
	field Field
	text  string
}

// NameOf resolves a name.
func NameOf(name string) Name {
	n := Name{field: fields[name], text: name}
	switch n.field {
	case Text:
		n.text = "MESSAGE"
	case HostFrom:
		n.text = "HOST_FROM"
	}
	if strings.HasPrefix(name, SDataPrefix) {
		n.field = sdata
	}
	return n
}

// Matches are the names of what the numbered groups of a pattern matched: "0" is all of it.
var Matches = func() (names [256]Name) {
	for i := range names {
		names[i] = NameOf(strconv.Itoa(i))
	}
	return names
}()

// String is the name as syslog-ng has it.
func (n Name) String() string { return n.text }

// Field says which field of the header n is.
func (n Name) Field() Field { return n.field }
