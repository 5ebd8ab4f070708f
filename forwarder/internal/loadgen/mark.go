package loadgen

import (
	"bytes"
	"time"
)

// A Mark says which message it stands in.
type Mark struct {
	Run         uint32    // of the sender, at random
	Connection  int       // from 0
	Connections int       // of the run
	Number      int64     // of the message on its connection, from 0
	Total       int64     // messages of the connection; 0: not known yet. The last one always says it
	Sent        time.Time // or when it was due, if there is a rate
}

// markForm is what a mark looks like. Each field has its place, so that one can be filled in and read without a search.
const markForm = " run=00000000 connection=00000/00000 number=000000000000/000000000000 sent=0000000000000000000"

// Where the fields of a mark are.
const (
	runAt        = len(" run=")
	connectionAt = runAt + 8 + len(" connection=")
	ofAt         = connectionAt + 5 + len("/")
	numberAt     = ofAt + 5 + len(" number=")
	totalAt      = numberAt + 12 + len("/")
	sentAt       = totalAt + 12 + len(" sent=")
	markSize     = sentAt + 19
)

// What fits into the fields.
const (
	maxConnections = 10000
	maxNumber      = 1e12 - 1
)

// put writes the mark over one.
func (m *Mark) put(b []byte) {
	hexDigits(b[runAt:runAt+8], m.Run)
	digits(b[connectionAt:connectionAt+5], int64(m.Connection))
	digits(b[ofAt:ofAt+5], int64(m.Connections))
	digits(b[totalAt:totalAt+12], m.Total)
	putNumber(b, m.Number, m.Sent.UnixNano())
}

// putNumber writes what differs between two messages of a connection.
func putNumber(b []byte, number, sent int64) {
	digits(b[numberAt:numberAt+12], number)
	digits(b[sentAt:sentAt+19], sent)
}

// FindMark looks for a mark in a message: at its end, else anywhere.
func FindMark(message []byte) (m Mark, ok bool) {
	if at := len(message) - markSize; at >= 0 {
		if m, ok = parseMark(message[at:]); ok {
			return m, true
		}
	}
	for {
		at := bytes.Index(message, []byte(markForm[:runAt]))
		if at < 0 || len(message)-at < markSize {
			return Mark{}, false
		}
		if m, ok = parseMark(message[at : at+markSize]); ok {
			return m, true
		}
		message = message[at+1:]
	}
}

func parseMark(b []byte) (m Mark, ok bool) {
	if string(b[:runAt]) != markForm[:runAt] || string(b[connectionAt-2:connectionAt]) != "n=" || b[ofAt-1] != '/' ||
		string(b[numberAt-2:numberAt]) != "r=" || b[totalAt-1] != '/' || string(b[sentAt-2:sentAt]) != "t=" {
		return Mark{}, false
	}
	run, ok := hexNumber(b[runAt : runAt+8])
	connection, connections := number(b[connectionAt:connectionAt+5]), number(b[ofAt:ofAt+5])
	n, total, sent := number(b[numberAt:numberAt+12]), number(b[totalAt:totalAt+12]), number(b[sentAt:sentAt+19])
	if !ok || n < 0 || total < 0 || sent < 0 || connection < 0 || connection >= connections || connections > maxConnections {
		return Mark{}, false
	}
	return Mark{run, int(connection), int(connections), n, total, time.Unix(0, sent)}, true
}

func digits(to []byte, n int64) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

func hexDigits(to []byte, n uint32) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = "0123456789abcdef"[n&15]
		n >>= 4
	}
}

// number is what b says, all of it digits; below zero: it is none.
func number(b []byte) (n int64) {
	for _, c := range b {
		if c -= '0'; c > 9 {
			return -1
		}
		n = n*10 + int64(c)
	}
	return n
}

func hexNumber(b []byte) (n uint32, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		n = n<<4 | uint32(c)
	}
	return n, true
}
