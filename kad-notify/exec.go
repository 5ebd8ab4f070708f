package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kad/pkg/keepalived"
	"kad/pkg/output"
)

// execAction runs a program, without a shell.
type execAction struct{ Command []string }

// maxOutput is how much of what a program says goes to the journal, in bytes.
const maxOutput = 16 << 10

func (a *execAction) plan(c *change) string {
	return fmt.Sprintf("run %s with %s", strings.Join(quoted(a.Command), " "), strings.Join(quoted(environment(c)), " "))
}

func quoted(words []string) []string {
	var all []string
	for _, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\n\"'\\") {
			w = strconv.Quote(w)
		}
		all = append(all, w)
	}
	return all
}

// environment tells the program what has happened.
func environment(c *change) []string {
	env := []string{
		"KAD_KIND=" + string(c.Kind),
		"KAD_INSTANCE=" + c.Name,
		"KAD_STATE=" + string(c.State),
		"KAD_PREVIOUS_STATE=" + string(c.Previous),
		"KAD_VIPS=" + c.vipText(),
		"KAD_HOOK=" + c.Hook,
	}
	if c.Priority >= 0 {
		env = append(env, "KAD_PRIORITY="+strconv.Itoa(c.Priority))
	}
	return env
}

// run runs the program in a process group of its own, of which nothing is left when ctx ends. What
// it leaves behind when it ends by itself may go on, as daemons do.
func (a *execAction) run(ctx context.Context, n *notifier, c *change) error {
	if err := keepalived.Secure(a.Command[0]); err != nil {
		return err
	}
	runtime.LockOSThread() // Pdeathsig is sent when the thread that forked ends
	defer runtime.UnlockOSThread()
	said := &output.Head{Max: maxOutput}
	cmd := exec.CommandContext(ctx, a.Command[0], a.Command[1:]...)
	cmd.Env, cmd.Dir = append(os.Environ(), environment(c)...), "/"
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = 100 * time.Millisecond // for who holds the pipe
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	err := cmd.Run()
	n.output(c, told(said))
	switch {
	case ctx.Err() != nil && err != nil:
		return fmt.Errorf("%s: killed, %w", a.Command[0], context.Cause(ctx))
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return nil
	}
	return fmt.Errorf("%s: %w", a.Command[0], err)
}

// told returns what the program has said, and how much more.
func told(said *output.Head) string {
	if said.Lost() == 0 {
		return string(said.Bytes())
	}
	return fmt.Sprintf("%s\n%d more bytes are left out\n", said.Bytes(), said.Lost())
}
