package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// An UnreachableError says that no forwarder answers.
type UnreachableError struct {
	Socket string
	Err    error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no forwarder answers at %s: %v", e.Socket, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// A RefusedError is an answer other than 200: its status of HTTP, and what it says.
type RefusedError struct {
	Status int
	Text   string
}

func (e *RefusedError) Error() string { return e.Text }

// maxAnswer is how much of an answer is read.
const maxAnswer = 16 << 20

// Ask makes a request to the forwarder at a socket, and returns the body of its answer. Its error is an *UnreachableError or
// a *RefusedError.
func Ask(ctx context.Context, socket, method, path string) ([]byte, error) {
	body, err := Open(ctx, socket, method, path)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return nil, &UnreachableError{socket, err}
	}
	return b, nil
}

// Open is Ask for an answer that comes bit by bit.
func Open(ctx context.Context, socket, method, path string) (io.ReadCloser, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	request, err := http.NewRequestWithContext(ctx, method, "http://forwarder"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, &UnreachableError{socket, cause(err)}
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // what came of it is better than nothing
		return nil, &RefusedError{answer.StatusCode, strings.TrimSpace(string(text))}
	}
	return answer.Body, nil
}

// cause is err without the address, which is not one, and without the socket.
func cause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return errors.Unwrap(err)
}
