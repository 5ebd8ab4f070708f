package control

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// TapOptions say what a tap shows.
type TapOptions struct {
	Point    string // "source.s_net", "log.auth", "destination.d_central"
	Filter   string // an expression or the name of a filter; empty: all messages
	Template string // of what is shown; empty: what a destination would send, else a line
	Rate     int    // messages a second; more are dropped
}

// A Tap shows what passes a point.
type Tap struct {
	Lines   <-chan string
	Dropped func() uint64 // messages that passed and are not shown
	Close   func()
}

// A TapLine is a line of the answer: a message, or how many are not shown so far.
type TapLine struct {
	Message *string `json:"message,omitempty"`
	Dropped uint64  `json:"dropped,omitempty"`
}

// maxRate is the most that a tap shows in a second.
const maxRate = 10_000

// tapInterval is how often the number of dropped messages is told, when it grows.
const tapInterval = time.Second

// serveTap shows messages until the client goes.
func serveTap(e Engine, w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	o := TapOptions{Point: q.Get("point"), Filter: q.Get("filter"), Template: q.Get("template"), Rate: 100}
	if text := q.Get("rate"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxRate {
			return BadRequest(fmt.Errorf("rate: %q is not a number from 1 to %d", text, maxRate))
		}
		o.Rate = n
	}
	t, err := e.Tap(o)
	if err != nil {
		return err
	}
	defer t.Close()
	w.Header().Set("Content-Type", "application/jsonl")
	flush := http.NewResponseController(w)
	_ = flush.Flush() // else the client has gone, as below
	tick := time.NewTicker(tapInterval)
	defer tick.Stop()
	told := uint64(0)
	for out := json.NewEncoder(w); ; {
		var line TapLine
		select {
		case text := <-t.Lines:
			line.Message = &text
		case <-tick.C:
			if line.Dropped = t.Dropped(); line.Dropped == told {
				continue
			}
			told = line.Dropped
		case <-r.Context().Done():
			return nil
		}
		if out.Encode(line) != nil || len(t.Lines) == 0 && flush.Flush() != nil {
			return nil
		}
	}
}

// ReadTap calls f for each line of the answer until it ends, or f returns false.
func ReadTap(body io.Reader, f func(TapLine) bool) error {
	for in := json.NewDecoder(body); ; {
		var line TapLine
		if err := in.Decode(&line); err != nil {
			return err
		}
		if !f(line) {
			return nil
		}
	}
}
