package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	entered    bool  // Main was
	rootErr    error // why Main could not make this process fit for namespaces
	singleUser bool  // root of a user namespace that has no other user
)

// The main thread stays with the main goroutine: one that Do had locked would haunt the process, as it
// cannot end before it.
func init() { runtime.LockOSThread() }

// Main has to be the first thing that a program with labs does: TestMain or main end with
// os.Exit(lab.Main(run)). It is also what runs as the pid 1 of each host. Without root it runs the
// program again as root of a user namespace; where that is not possible, run finds [New] skipping.
func Main(run func() int) int {
	if os.Args[0] == initName {
		if err := runInit(os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	entered = true
	if os.Geteuid() == 0 {
		rootErr = tolerateSetgroups()
		return run()
	}
	code, err := rerunAsRoot()
	if err != nil {
		rootErr = fmt.Errorf("user namespace: %w", err)
		return run()
	}
	return code
}

func rerunAsRoot() (int, error) {
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT)
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	return exitCode(cmd.Wait()), nil
}

// tolerateSetgroups lets setgroups(2) succeed and do nothing, here and in all children, where the user
// namespace denies it. keepalived makes that call before each script, as root too, and takes one that it
// could not start for a success.
func tolerateSetgroups() error {
	state, err := os.ReadFile("/proc/self/setgroups")
	if err != nil || !bytes.HasPrefix(state, []byte("deny")) {
		return err
	}
	singleUser = true
	const offsetNr = 0 // of the system call's number in struct seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offsetNr},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SETGROUPS, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO}, // with errno 0: success
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
