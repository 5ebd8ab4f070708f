package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A report is what a command has measured, as Markdown. It is printed as it comes.
type report struct {
	bytes.Buffer
	page string // Markdown in which the report has its place, between two comments; empty: none
}

func (r *report) Write(b []byte) (int, error) {
	r.Buffer.Write(b) // never fails
	return os.Stdout.Write(b)
}

// environment tells when and where it was measured, and with what.
func (r *report) environment(peers []peer, rounds int) {
	fmt.Fprintf(r, "Measured on %s: %d x %s, %s, Linux %s, %s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(),
		field("/proc/cpuinfo", "model name"), field("/etc/os-release", "PRETTY_NAME"), firstLine("/proc/sys/kernel/osrelease"), runtime.Version())
	for _, p := range peers {
		if p.version != nil {
			fmt.Fprintf(r, ", %s", versionOf(p.version))
		}
	}
	if rounds == 1 {
		fmt.Fprintln(r, "; one round.")
	} else {
		fmt.Fprintf(r, "; medians of %d rounds.\n", rounds)
	}
}

// field is the value of a line `name: value` or `name="value"`.
func field(file, name string) string {
	text, _ := os.ReadFile(file) // nothing: it says nothing about this machine
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.Trim(strings.TrimSpace(rest), `:=" `)
		}
	}
	return "unknown"
}

func firstLine(file string) string {
	text, _ := os.ReadFile(file) // the same
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// versionOf is the first line that a command prints, up to what it adds in parentheses about its build.
func versionOf(argv []string) string {
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(string(out), "\n")
	line, _, _ = strings.Cut(line, " (aka")
	return strings.Join(strings.Fields(line), " ")
}

// chart writes a drawing beside the page and shows it in the report.
func (r *report) chart(name, what string, svg []byte) error {
	if r.page == "" {
		return nil
	}
	fmt.Fprintf(r, "\n![%s](%s)\n", what, name)
	return os.WriteFile(filepath.Join(filepath.Dir(r.page), name), svg, 0o644)
}

// save puts the report into its page, between <!-- NAME --> and <!-- end of NAME -->.
func (r *report) save(name string) error {
	if r.page == "" {
		return nil
	}
	page, err := os.ReadFile(r.page)
	if err != nil {
		return err
	}
	page, err = replaceSection(page, name, r.Bytes())
	if err != nil {
		return fmt.Errorf("%s: %w", r.page, err)
	}
	return os.WriteFile(r.page, page, 0o644)
}

func replaceSection(page []byte, name string, section []byte) ([]byte, error) {
	before, rest, found := bytes.Cut(page, []byte("<!-- "+name+" -->\n"))
	_, after, closed := bytes.Cut(rest, []byte("<!-- end of "+name+" -->\n"))
	if !found || !closed {
		return nil, fmt.Errorf("no lines <!-- %s --> and <!-- end of %s -->", name, name)
	}
	return fmt.Appendf(nil, "%s<!-- %s -->\n%s\n<!-- end of %s -->\n%s", before, name, bytes.TrimSpace(section), name, after), nil
}

func heading(out io.Writer, format string, a ...any) {
	fmt.Fprintf(out, "\n### %s\n\n", fmt.Sprintf(format, a...))
}
