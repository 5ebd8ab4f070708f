package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"kad/pkg/cli"
	"kad/pkg/keepalived"
)

// The history is a file of JSON lines in the state directory, "history", and when that has
// grown to maxHistory its predecessor, "history.1".
const maxHistory = 1 << 20

// What became of an event, or of a hook.
const (
	verdictDone      = "done"
	verdictFailed    = "failed"
	verdictSkipped   = "skipped"
	verdictOvertaken = "overtaken"
)

// entry is one line of the history.
type entry struct {
	Time     time.Time            `json:"time"`
	Kind     keepalived.EventKind `json:"kind"`
	Name     string               `json:"name"`
	State    keepalived.State     `json:"state"`
	Previous keepalived.State     `json:"previous_state,omitempty"`
	Priority *int                 `json:"priority,omitempty"`
	VIPs     []netip.Addr         `json:"vips,omitempty"`
	Mode     string               `json:"mode"`
	Verdict  string               `json:"verdict"`
	Hooks    []result             `json:"hooks,omitempty"`
}

// result is what became of one hook.
type result struct {
	Hook         string  `json:"hook"`
	Kind         string  `json:"kind"`
	Verdict      string  `json:"verdict"`
	Error        string  `json:"error,omitempty"`
	Milliseconds float64 `json:"ms"`
}

// remember adds an event to the history.
func (n *notifier) remember(c *change, verdict string, results []result) error {
	e := entry{c.Time, c.Kind, c.Name, c.State, c.Previous, nil, c.vips(), n.mode, verdict, results}
	if c.Priority >= 0 {
		e.Priority = &c.Priority
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := n.store.appendHistory(append(line, '\n')); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

func (s store) history() string { return filepath.Join(s.dir, "history") }

// appendHistory appends a line. One that the disk has no room for is taken back.
func (s store) appendHistory(line []byte) error {
	f, err := s.lockHistory()
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size > 0 && size+int64(len(line)) > maxHistory {
		if err := os.Rename(f.Name(), f.Name()+".1"); err != nil {
			return err
		}
		return s.appendHistory(line)
	}
	if err != nil {
		return err
	}
	if _, err := f.Write(line); err != nil {
		return errors.Join(err, f.Truncate(size))
	}
	return nil
}

// lockHistory opens the history and locks it. It is opened again when it has been renamed meanwhile.
func (s store) lockHistory() (*os.File, error) {
	for {
		f, err := os.OpenFile(s.history(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
		opened, err := f.Stat()
		named, err2 := os.Stat(s.history())
		if err == nil && err2 == nil && os.SameFile(opened, named) {
			return f, nil
		}
		f.Close()
	}
}

// readHistory calls each with every entry that keep wants, the oldest first. Lines that are no entries are
// left out.
func (s store) readHistory(each func(entry) error) error {
	for _, name := range []string{s.history() + ".1", s.history()} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, maxHistory)
		for lines.Scan() {
			var e entry
			if json.Unmarshal(lines.Bytes(), &e) != nil || e.Name == "" {
				continue
			}
			if err := each(e); err != nil {
				return err
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func historyVerb() *cli.Command {
	return &cli.Command{
		Name: "history", Usage: "print what has happened, the oldest event first", ArgsUsage: "[INSTANCE]",
		Flags: []cli.Flag{
			cli.OutputFlag("table", "json"),
			&cli.IntFlag{Name: "last", Aliases: []string{"n"}, Value: 50, Usage: "print the last `N` events, 0 for all"},
		},
		Action: showHistory,
	}
}

func showHistory(c *cli.Context) error {
	if c.NArg() > 1 {
		return cli.Usagef("unexpected argument %q", c.Args().Get(1))
	}
	if c.Int("last") < 0 {
		return cli.Usagef("--last %d: want 0 or more", c.Int("last"))
	}
	n, err := newNotifier(c, "")
	if err != nil {
		return err
	}
	entries := []entry{}
	err = n.store.readHistory(func(e entry) error {
		if c.NArg() == 0 || e.Name == c.Args().First() {
			entries = append(entries, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if last := c.Int("last"); last > 0 && len(entries) > last {
		entries = entries[len(entries)-last:]
	}
	if c.String("output") == "json" {
		out := json.NewEncoder(c.App.Writer)
		out.SetIndent("", "  ")
		return out.Encode(struct {
			Schema int     `json:"schema"`
			Events []entry `json:"events"`
		}{1, entries})
	}
	return writeHistory(c.App.Writer, entries)
}

func writeHistory(w io.Writer, entries []entry) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TIME\tKIND\tNAME\tFROM\tTO\tPRI\tBY\tHOOKS")
	for _, e := range entries {
		priority := "-"
		if e.Priority != nil {
			priority = fmt.Sprint(*e.Priority)
		}
		from := string(e.Previous)
		if from == "" {
			from = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Time.Local().Format("2006-01-02 15:04:05.000"),
			e.Kind, printable(e.Name), from, e.State, priority, e.Mode, e.hookText())
	}
	return table.Flush()
}

// hookText is what became of the hooks, in one line.
func (e entry) hookText() string {
	if e.Verdict == verdictOvertaken {
		return "overtaken"
	}
	var words []string
	for _, r := range e.Hooks {
		word := r.Hook + "=" + r.Verdict
		if r.Verdict == verdictDone {
			word = fmt.Sprintf("%s=%.0fms", r.Hook, r.Milliseconds)
		}
		if r.Error != "" {
			word += " (" + strings.ReplaceAll(r.Error, "\n", "; ") + ")"
		}
		words = append(words, word)
	}
	if words == nil {
		return "-"
	}
	return strings.Join(words, ", ")
}
