package control

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// A RefusedError is an answer other than 200: its status, and the first line of what it says. Both are printable.
type RefusedError struct{ Status, Text string }

func (e *RefusedError) Error() string { return strings.TrimSuffix(e.Status+": "+e.Text, ": ") }

// Get gets path from d over HTTP/1.0 (RFC 1945) and hands over the lines of the body of a 200. It returns the process that
// has answered. An answer other than 200 is a *RefusedError.
func (d Daemon) Get(ctx context.Context, path string, line func(string) error) (pid int, err error) {
	conn, pid, err := d.Dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := d.exchange(conn, path, line); err != nil {
		return 0, d.Failed(conn, err)
	}
	return pid, nil
}

func (d Daemon) exchange(conn io.ReadWriter, path string, line func(string) error) error {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, d.Name); err != nil {
		return err
	}
	answer := bufio.NewScanner(conn)
	if !answer.Scan() {
		return cmp.Or(answer.Err(), errors.New("closed without an answer"))
	}
	protocol, status, _ := strings.Cut(answer.Text(), " ")
	code, _, _ := strings.Cut(status, " ")
	if _, err := strconv.Atoi(code); err != nil || !strings.HasPrefix(protocol, "HTTP/1.") {
		return fmt.Errorf("%q is not an answer of HTTP", answer.Text())
	}
	for answer.Scan() && answer.Text() != "" {
	}
	if code != "200" {
		answer.Scan()
		return &RefusedError{printable(status), printable(answer.Text())}
	}
	for answer.Scan() {
		if err := line(answer.Text()); err != nil {
			return err
		}
	}
	return answer.Err()
}

// printable returns text with nothing in it that could steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
