package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// initName is argv[0] of a host's pid 1, argv[1] is the host's name, argv[2] how it sees the machine.
const initName = "kad-lab-init"

// bridgeName is the name of the host that is only a network namespace with the bridge.
const bridgeName = "(bridge)"

// ready is what a host's pid 1 writes to its stdout once the host can be used.
const ready = "ready\n"

const (
	bridgeNamespaces = unix.CLONE_NEWNET
	hostNamespaces   = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC
)

// How a host sees the machine's files.
const (
	readOnly = "read-only"
	ownCopy  = "own copy" // it may change all of them, and the machine's stay
)

func spawnBridge() (*Host, error) { return spawn(bridgeName, bridgeNamespaces, "") }

func spawnHost(name, view string) (*Host, error) { return spawn(name, hostNamespaces, view) }

// spawn starts the process that holds the namespaces of a host and waits until they can be used.
func spawn(name string, ns int, view string) (*Host, error) {
	var stderr bytes.Buffer
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{initName, name, view}, Stderr: &stderr}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(ns), Setsid: true}
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if said, _ := io.ReadAll(stdout); string(said) != ready {
		return nil, fmt.Errorf("init: %w: %s", cmd.Wait(), strings.TrimSpace(stderr.String()))
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		life.Close()
		return nil, errors.Join(fmt.Errorf("pidfd_open: %w", err), cmd.Wait())
	}
	return &Host{Name: name, init: cmd, life: life, pidfd: pidfd, ns: ns}, nil
}

// runInit is a host's pid 1: it makes the host's view of the machine, then reaps orphans until its
// stdin ends.
func runInit(name, view string) error {
	if name != bridgeName {
		if err := makeRoot(view); err != nil {
			return fmt.Errorf("make the root directory: %w", err)
		}
		if err := unix.Sethostname([]byte(name)); err != nil {
			return fmt.Errorf("set the host name: %w", err)
		}
	}
	go reap()
	io.WriteString(os.Stdout, ready)
	os.Stdout.Close()
	io.Copy(io.Discard, os.Stdin)
	return nil
}

func reap() {
	orphans := make(chan os.Signal, 1)
	signal.Notify(orphans, unix.SIGCHLD)
	for range orphans {
		for {
			if pid, _ := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 {
				break
			}
		}
	}
}

// privateDirs are the directories that a host has for itself, empty.
var privateDirs = []string{
	"/etc/forwarder", "/etc/kad", "/etc/keepalived", "/etc/ssh", "/etc/syslog-ng",
	"/proc", "/root", "/run", "/sys", "/tmp", "/usr/local/bin",
	"/var/lib/forwarder", "/var/lib/kad", "/var/lib/syslog-ng", "/var/log", "/var/spool/forwarder", "/var/tmp",
}

// privateFiles are the machine's files that a host does not have.
var privateFiles = []string{"/etc/hosts", "/etc/shadow"}

// newRoot is where a host's root is built. What is below /sys is not wanted in a host.
const newRoot = "/sys"

// makeRoot gives the process a root directory of its own, on a tmpfs.
func makeRoot(view string) error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", newRoot, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	root, fill := newRoot, mirrorMachine
	if view == ownCopy {
		root, fill = newRoot+"/root", overlayMachine
	}
	if err := fill(); err != nil {
		return err
	}
	if err := unix.Mount("proc", root+"/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	return os.Chdir("/")
}

// overlayMachine lays a tmpfs over the machine's files.
func overlayMachine() error {
	root, changes, work := newRoot+"/root", newRoot+"/changes", newRoot+"/work"
	for _, dir := range []string{root, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for _, dir := range privateDirs {
		if err := os.MkdirAll(changes+dir, 0o755); err != nil {
			return err
		}
		// What the machine has there is not seen (Documentation/filesystems/overlayfs.rst, opaque directories).
		if err := unix.Setxattr(changes+dir, "trusted.overlay.opaque", []byte("y"), 0); err != nil {
			return fmt.Errorf("make %s opaque: %w", dir, err)
		}
	}
	if err := unix.Mount("overlay", root, "overlay", 0, "lowerdir=/,upperdir="+changes+",workdir="+work); err != nil {
		return fmt.Errorf("mount an overlay: %w", err)
	}
	if err := unix.Mount("/dev", root+"/dev", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	return nil
}

// mirrorMachine mounts what is not private from the machine, read-only. The directories above private places are new ones
// too, and so belong to root, as keepalived's script security demands, even in a user namespace, where those of the machine do
// not.
func mirrorMachine() error {
	if err := mirror("/"); err != nil {
		return err
	}
	for _, dir := range privateDirs {
		if err := os.MkdirAll(newRoot+dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// mirror makes what is in dir appear in newRoot.
func mirror(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		err := mirrorEntry(name, e)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the machine lives on meanwhile
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func mirrorEntry(name string, e fs.DirEntry) error {
	switch {
	case slices.Contains(privateFiles, name):
		return nil
	case e.Type() == fs.ModeSymlink:
		to, err := os.Readlink(name)
		if err != nil {
			return err
		}
		return os.Symlink(to, newRoot+name)
	case !e.IsDir():
		if err := os.WriteFile(newRoot+name, nil, 0o644); err != nil {
			return err
		}
		return bind(name)
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	if err := os.Mkdir(newRoot+name, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(newRoot+name, info.Mode()); err != nil { // not subject to the umask
		return err
	}
	switch {
	case slices.Contains(privateDirs, name):
		return nil
	case slices.ContainsFunc(privateDirs, func(dir string) bool { return strings.HasPrefix(dir, name+"/") }):
		return mirror(name)
	}
	return bind(name)
}

// bind mounts a file or directory of the machine in newRoot, with all that is mounted below it, read-only.
func bind(name string) error {
	if err := unix.Mount(name, newRoot+name, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	return unix.MountSetattr(unix.AT_FDCWD, newRoot+name, unix.AT_RECURSIVE, &attr)
}
