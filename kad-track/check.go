package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"syscall"
	"time"

	"kad/pkg/control"
)

// probe asks once whether something holds, and returns soon after ctx ends. With it comes the
// process that it vouches for, so that watch can see it die; 0 when it knows none.
type probe func(ctx context.Context) (pid int, err error)

// check is a probe under the name that it has on the command line, "--tcp 127.0.0.1:601".
type check struct {
	name  string
	probe probe
}

// result is what a check found; err is nil when it passed.
type result struct {
	check
	pid  int
	err  error
	took time.Duration
}

// windDown is the part of the timeout, one in windDown, that checks leave unused: in it what
// hangs is killed and the verdict written.
const windDown = 20

// results runs all checks side by side, until timeout, and yields what each found, in their
// order, as soon as it is known. Breaking off cancels the checks still running.
func results(ctx context.Context, checks []check, timeout time.Duration) iter.Seq[result] {
	return func(yield func(result) bool) {
		ctx, cancel := context.WithTimeoutCause(ctx, timeout-timeout/windDown, late(timeout))
		defer cancel()
		if len(checks) == 1 { // saves a goroutine, and with it a twentieth of the start
			yield(checks[0].run(ctx))
			return
		}
		found := make([]chan result, len(checks))
		for i, c := range checks {
			found[i] = make(chan result, 1)
			go func() { found[i] <- c.run(ctx) }()
		}
		more := true
		for i := range checks {
			r := <-found[i]
			if more && !yield(r) {
				more = false
				cancel()
			}
		}
	}
}

// late is the error of a check that has not passed within that time. It is a type because its
// text is made at each start otherwise.
type late time.Duration

func (t late) Error() string { return fmt.Sprintf("no answer within %v", time.Duration(t)) }

// run probes once and takes the time.
func (c check) run(ctx context.Context) result {
	start := time.Now()
	pid, err := c.probe(ctx)
	if timedOut(err) {
		err = context.Cause(ctx)
	}
	return result{c, pid, err, time.Since(start)}
}

// certain is a failure that is no matter of load or time, such as that of a process that has
// ended: it need not happen twice to be believed.
type certain struct{ error }

func (c certain) Unwrap() error { return c.error }

func isCertain(err error) bool {
	_, ok := errors.AsType[certain](err)
	return ok || errors.Is(err, control.ErrDead)
}

// detached makes of a probe that may hang in the kernel, as on a dead NFS server, one that
// returns soon after ctx ends, and leaves the other behind.
func detached(p probe) probe {
	return func(ctx context.Context) (int, error) {
		done := make(chan result, 1)
		go func() { done <- check{probe: p}.run(ctx) }()
		select {
		case r := <-done:
			return r.pid, r.err
		case <-ctx.Done():
		}
		select {
		case r := <-done: // not hung, and it may say more
			return r.pid, r.err
		case <-time.After(5 * time.Millisecond):
			return 0, context.Cause(ctx)
		}
	}
}

// verdict returns nil when all checks pass, else an error of the first in order that fails.
func verdict(ctx context.Context, checks []check, timeout time.Duration) error {
	for r := range results(ctx, checks, timeout) {
		if r.err != nil {
			return fmt.Errorf("%s: %w", r.name, r.err)
		}
	}
	return nil
}

// dial connects within ctx, at whose end reads and writes fail as well. Its errors leave out
// what the caller knows, the address.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, cause(err)
	}
	context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return conn, nil
}

// cause returns the part of a network error that says what happened.
func cause(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && !dns.Timeout() {
		return fmt.Errorf("lookup of %s: %s", dns.Name, dns.Err)
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// timedOut reports whether err says that the deadline has passed. (A syscall.Errno is no such
// error: EAGAIN calls itself a timeout.)
func timedOut(err error) bool {
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return false
	}
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}
