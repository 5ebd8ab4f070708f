package destination

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// lastID numbers the messages of this process, whatever destination they are for: a receiver must not take two for one.
var lastID atomic.Uint64

// A messageID makes an SD-ELEMENT (RFC 5424, section 6.3.1) of each message: [SD-ID id="HOST-START-NUMBER"]. What is sent
// again has the same, so that a receiver can tell.
type messageID struct{ begin []byte }

// newMessageID checks the SD-ID.
func newMessageID(id string) (*messageID, error) {
	if len(id) > 32 {
		return nil, fmt.Errorf("%q is longer than the 32 characters of an SD-ID", id)
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == '=' || c == ']' || c == '"' {
			return nil, fmt.Errorf(`%q is no SD-ID: it has %q, want one like "kad@32473"`, id, c)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return &messageID{fmt.Appendf(nil, `[%s id="%s-%s-`, id, host, strconv.FormatInt(time.Now().UnixNano(), 36))}, nil
}

// append appends structured data with the element, unless a forwarder before has added one.
func (m *messageID) append(dst, data []byte) []byte {
	name := m.begin[:bytes.IndexByte(m.begin, ' ')+1]
	if !bytes.Equal(data, []byte("-")) {
		dst = append(dst, data...)
	}
	if bytes.Contains(data, name) {
		return dst
	}
	dst = strconv.AppendUint(append(dst, m.begin...), lastID.Add(1), 10)
	return append(dst, `"]`...)
}
