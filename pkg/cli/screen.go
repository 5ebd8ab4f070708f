package cli

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A Screen shows texts, each in the place of the one before: on a terminal it overwrites that, elsewhere it writes one after
// the other with an empty line between them.
type Screen struct {
	w        io.Writer
	terminal bool
	last     string
}

// NewScreen makes a screen of w.
func NewScreen(w io.Writer) *Screen {
	f, ok := w.(*os.File)
	return &Screen{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// Show shows text, whole lines, unless it is there already.
func (s *Screen) Show(text string) error {
	if text == s.last {
		return nil
	}
	gap := ""
	if s.last != "" {
		gap = "\n"
	}
	s.last = text
	if s.terminal {
		// Home, each line cleared to its end, the rest of the screen cleared.
		text, gap = strings.ReplaceAll(text, "\n", "\x1b[K\n")+"\x1b[J", "\x1b[H\x1b[2J"
	}
	_, err := io.WriteString(s.w, gap+text)
	return err
}
