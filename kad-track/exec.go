package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"kad/pkg/output"
)

// checkExec returns a probe that runs a command and passes when it exits with 0. The words of
// the command are parted by blanks, quotes and backslashes keep them together; no shell.
func checkExec(command string, _ setting) (probe, error) {
	argv, err := splitWords(command)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) { return 0, runCommand(ctx, argv) }, nil
}

// runCommand runs argv in a process group of its own, and kills what is left of the group when
// the command has ended, ctx has, or kad-track is told to end.
func runCommand(ctx context.Context, argv []string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	runtime.LockOSThread() // Pdeathsig is sent when the thread that forked ends
	defer runtime.UnlockOSThread()

	said := &output.Head{Max: 1024}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return cause(err)
	}
	group := -cmd.Process.Pid
	spare := context.AfterFunc(ctx, func() { unix.Kill(group, unix.SIGKILL) })
	awaitExit(cmd.Process.Pid)
	spare()
	unix.Kill(group, unix.SIGKILL)         // the leader is not reaped yet, so the group is still ours
	cmd.WaitDelay = 100 * time.Millisecond // for who holds the pipe but has left the group
	if ctx.Err() != nil {
		cmd.WaitDelay /= 10 // the verdict is due
	}
	err := cmd.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("killed: %w", context.Cause(ctx))
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	if text := firstLine(said.Bytes()); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// awaitExit returns when the child has ended, and leaves it to be reaped.
func awaitExit(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// firstLine returns the first line of text that is not empty, fit for a terminal.
func firstLine(text []byte) string {
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return printable(first)
}

// splitWords parts a command into words the way keepalived does for its scripts.
func splitWords(command string) ([]string, error) {
	var words []string
	var word []byte
	inWord, quote := false, byte(0)
	for i := 0; i < len(command); i++ {
		c := command[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(command):
			i++
			word, inWord = append(word, command[i]), true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, inWord = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if inWord {
				words, word, inWord = append(words, string(word)), nil, false
			}
		default:
			word, inWord = append(word, c), true
		}
	}
	if inWord {
		words = append(words, string(word))
	}
	switch {
	case quote != 0:
		return nil, fmt.Errorf("a quote %c is not closed", quote)
	case len(words) == 0:
		return nil, errors.New("want a command")
	}
	return words, nil
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
