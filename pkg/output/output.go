// Package output holds on to what a program says, however much that is.
package output

import "errors"

// Head is a writer that keeps the first Max bytes of what is written. What comes after them it counts and
// forgets; or with Refuse, refuses: then the program has nobody to write to.
type Head struct {
	Max    int
	Refuse bool

	kept []byte
	lost int
}

var errFull = errors.New("too much output")

// Write fails only where it refuses.
func (h *Head) Write(p []byte) (int, error) {
	room := min(len(p), h.Max-len(h.kept))
	h.kept = append(h.kept, p[:room]...)
	h.lost += len(p) - room
	if h.Refuse && room < len(p) {
		return room, errFull
	}
	return len(p), nil
}

// Bytes returns what is kept.
func (h *Head) Bytes() []byte { return h.kept }

// Lost returns how many bytes more were written or refused.
func (h *Head) Lost() int { return h.lost }
