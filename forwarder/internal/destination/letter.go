package destination

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"kad/forwarder/internal/letter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/template"
)

// The id of a message is this prefix, which no other process shares: this host, its boot, and a name of our own; and a number
// that no other message of the process has, whatever destination it is for.
var messageIDs = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(boot) < 8 {
		boot = []byte("--------")
	}
	host, _ := os.Hostname()
	return fmt.Sprintf("%s-%s-%s-", host, boot[:8], rand.Text()[:8])
})

var messageNumber atomic.Uint64

// appendID appends the id of one more message.
func appendID(dst []byte) []byte {
	return strconv.AppendUint(append(dst, messageIDs()...), messageNumber.Add(1), 10)
}

// appendHeaders appends what a letter says of its message.
func appendHeaders(dst []byte, m *logmsg.Message) []byte {
	dst = letter.AppendHeader(dst, letter.FacilityHeader, m.Priority.Facility().String())
	dst = letter.AppendHeader(dst, letter.SeverityHeader, m.Priority.Severity().String())
	dst = letter.AppendHeader(dst, letter.HostHeader, m.Hostname)
	return letter.AppendHeader(dst, letter.ProgramHeader, m.AppName)
}

// appendLetterText appends the text, without the end of its line.
func appendLetterText(dst []byte, m *logmsg.Message, ctx *template.Context, write appendFunc) []byte {
	start := len(dst)
	dst = write(dst, m, ctx)
	return append(dst[:start], bytes.TrimSuffix(dst[start:], []byte("\n"))...)
}
