package letter

import (
	"bytes"
	"errors"
	"fmt"

	"kad/pkg/syslog"
)

// ErrTooLarge is said of a letter that the log never takes.
var ErrTooLarge = errors.New("it is larger than the servers take")

// TooLarge is what becomes of a letter that is too large.
type TooLarge int

// What there is.
const (
	Refuse TooLarge = iota // it is not published
	Truncate
	Split // in parts, each with the head of a syslog message if it is one
)

// TooLargeByName has what the option when_too_large may say.
var TooLargeByName = map[string]TooLarge{"truncate": Truncate, "split": Split, "dead_letter": Refuse}

// Fit makes letters of one whose text may have no more than room bytes: one or more, none if it is refused. room is what is left when
// TruncatedHeader or PartHeader has been added.
func (t TooLarge) Fit(l Letter, room int) (parts []Letter) {
	if t == Refuse || room < 1 {
		return nil
	}
	if t == Truncate {
		return []Letter{l.with(TruncatedHeader, fmt.Sprint(len(l.Text)), l.Text[:room])}
	}
	head := syslogHead(l.Text)
	if len(head) > room/2 { // many parts of little text
		head = nil
	}
	text := l.Text[len(head):]
	room -= len(head)
	count := (len(text) + room - 1) / room
	for i := range count {
		part := append(head[:len(head):len(head)], text[i*room:min(len(text), (i+1)*room)]...)
		parts = append(parts, l.with(PartHeader, fmt.Sprintf("%d/%d", i+1, count), part))
	}
	return parts
}

// with is the letter with one more header and another text.
func (l Letter) with(name, value string, text []byte) Letter {
	l.Headers = append(l.Headers[:len(l.Headers):len(l.Headers)], Header{name, value})
	l.Text = text
	return l
}

// syslogHead is what stands before the text of a syslog message, nothing if it is none.
func syslogHead(b []byte) []byte {
	var m syslog.Message
	if err := (&syslog.Parser{RFC5424: true}).Parse(b, syslog.Time{}, &m); err != nil || !bytes.HasSuffix(b, m.Msg) {
		return nil
	}
	return b[:len(b)-len(m.Msg)]
}
