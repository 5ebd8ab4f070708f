package keepalived

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kad/pkg/testneed"

	"golang.org/x/sys/unix"
)

// A liveHost is a set of namespaces with an eth0 of 192.0.2.1/24 and an empty /run and
// /tmp, so that a real keepalived in it meets no other. It ends with the test.
type liveHost struct {
	t    testing.TB
	pid  int // of the process that holds it
	root string
	args []string // of nsenter
}

func newLiveHost(t testing.TB, flags uintptr) *liveHost {
	t.Helper()
	testneed.Root(t, "to make namespaces")
	for _, tool := range []string{"keepalived", "ip", "mount", "nsenter"} {
		_, err := exec.LookPath(tool)
		testneed.That(t, err == nil, tool)
	}
	cmd := exec.Command("sh", "-ec", `
		mount --make-rprivate /
		mount -t proc proc /proc
		mount -t tmpfs tmpfs /run
		mount -t tmpfs tmpfs /tmp
		ip link set lo up
		ip link add eth0 type veth peer name eth1
		ip link set eth0 up
		ip link set eth1 up
		ip addr add 192.0.2.1/24 dev eth0
		echo ready
		read forever`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | flags, Pdeathsig: unix.SIGKILL}
	cmd.Stderr = os.Stderr
	if flags&unix.CLONE_NEWPID == 0 {
		cmd.Args[2] = strings.Replace(cmd.Args[2], "mount -t proc proc /proc", "", 1)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	if ready, err := io.ReadAll(io.LimitReader(out, 6)); string(ready) != "ready\n" {
		t.Fatalf("the host says %q, %v", ready, err)
	}
	h := &liveHost{t: t, pid: cmd.Process.Pid, root: fmt.Sprintf("/proc/%d/root", cmd.Process.Pid)}
	h.args = []string{"-t", strconv.Itoa(h.pid), "-m", "-n"}
	if flags&unix.CLONE_NEWUTS != 0 {
		h.args = append(h.args, "-u")
	}
	if flags&unix.CLONE_NEWPID != 0 {
		h.args = append(h.args, "-p")
	}
	return h
}

// run runs a shell command on the host.
func (h *liveHost) run(command string) {
	h.t.Helper()
	if out, err := exec.Command("nsenter", append(h.args, "sh", "-ec", command)...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func (h *liveHost) write(path, text string) {
	h.t.Helper()
	if err := os.WriteFile(h.root+path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *liveHost) usual() FindOptions { return FindOptions{Run: h.root + "/run"} }

// start starts keepalived with that configuration; it is stopped before the host ends.
func (h *liveHost) start(conf string, env []string, args ...string) {
	h.t.Helper()
	name := fmt.Sprintf("/run/%d.conf", time.Now().UnixNano())
	h.write(name, conf)
	cmd := exec.Command("nsenter", slices.Concat(h.args, []string{"keepalived", "-n", "-l", "-f", name}, args)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM}
	log, err := os.Create(filepath.Join(h.t.TempDir(), "log"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		cmd.Process.Signal(unix.SIGTERM)
		time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		cmd.Wait()
		if h.t.Failed() {
			said, _ := os.ReadFile(log.Name())
			h.t.Logf("keepalived says:\n%s", said)
		}
	})
}

// find waits until a number of keepalived run VRRP on the host.
func (h *liveHost) find(opt FindOptions, n int) []*Process {
	h.t.Helper()
	var ps []*Process
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		ps, err = Find(opt)
		if len(ps) == n && !slices.ContainsFunc(ps, func(p *Process) bool { return p.VRRP == 0 || !h.holds(p) }) {
			return ps
		}
	}
	h.t.Fatalf("found %v, %v; want %d", ps, err, n)
	return nil
}

// holds reports whether p is on this host and not on one of our neighbours' here.
func (h *liveHost) holds(p *Process) bool {
	own, err := os.Stat(h.root + "/run")
	its, err2 := os.Stat(p.Root() + "/run")
	return err == nil && err2 == nil && os.SameFile(own, its)
}

const liveInstance = `
vrrp_instance A {
	state MASTER
	interface eth0
	virtual_router_id 10
	priority 150
	virtual_ipaddress {
		192.0.2.100
	}
}
`

func dump(t *testing.T, p *Process) *Dump {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a reload may lose the signal: half of it then goes by
	defer cancel()
	d, err := p.Dump(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLive(t *testing.T) {
	const stale = "echo stale >/tmp/keepalived.data; "
	const blue = "ip netns add blue; ip link set eth0 netns blue; ip -n blue link set eth0 up; ip -n blue addr add 192.0.2.1/24 dev eth0"
	tests := []struct {
		name    string
		prepare string
		global  string
		block   string // of global_defs
		env     []string
		args    []string
		pidFile string // below /run
		want    Process
		file    string // the dump
	}{
		{name: "plain", prepare: stale, pidFile: "keepalived.pid", file: "/tmp/keepalived.data"},
		{name: "instance", prepare: stale, global: "instance web", block: "data_use_instance",
			pidFile: "keepalived/keepalived_web.pid", want: Process{Name: "web"}, file: "/tmp/keepalived.web.data"},
		{name: "instance without data_use_instance", prepare: stale, global: "instance web",
			pidFile: "keepalived/keepalived_web.pid", want: Process{Name: "web"}, file: "/tmp/keepalived.data"},
		{name: "network namespace", prepare: blue, global: "net_namespace blue",
			pidFile: "keepalived/blue/keepalived.pid", want: Process{NetNamespace: "blue"}, file: "/tmp/keepalived.data"},
		{name: "network namespace by option", prepare: blue, args: []string{"--namespace=blue"},
			pidFile: "keepalived/blue/keepalived.pid", want: Process{NetNamespace: "blue"}, file: "/tmp/keepalived.data"},
		{name: "network namespace and instance", prepare: blue,
			global: "net_namespace blue\ninstance web", block: "data_use_instance",
			pidFile: "keepalived/blue/keepalived_web.pid", want: Process{Name: "web", NetNamespace: "blue"}, file: "/tmp/keepalived.blue_web.data"},
		{name: "use_pid_dir and process_names", global: "use_pid_dir", block: "process_names\nprocess_name odd",
			pidFile: "keepalived/keepalived.pid", file: "/tmp/keepalived.data"},
		{name: "TMPDIR", prepare: stale + "mkdir /run/dump", env: []string{"TMPDIR=/run/dump"},
			pidFile: "keepalived.pid", file: "/run/dump/keepalived.data"},
		{name: "temporary directory by an absolute link", prepare: "mkdir /run/dump; ln -s /run/dump /run/link", env: []string{"TMPDIR=/run/link"},
			pidFile: "keepalived.pid", file: "/run/dump/keepalived.data"},
		{name: "configuration copy in a directory", prepare: "mkdir /run/copy", block: "tmp_config_directory /run/copy",
			pidFile: "keepalived.pid", file: "/tmp/keepalived.data"},
		{name: "readable by all", block: "umask 022", pidFile: "keepalived.pid", file: "/tmp/keepalived.data"},
		{name: "pid files of its own, no socket open", block: "dynamic_interfaces", args: []string{"-p", "/run/p", "-r/run/r"},
			pidFile: "p", file: "/tmp/keepalived.data"},
		{name: "no socket open", block: "dynamic_interfaces", pidFile: "keepalived.pid", file: "/tmp/keepalived.data"},
		{name: "host id", args: []string{"-i", "loghost01"}, pidFile: "keepalived.pid", want: Process{HostID: "loghost01"}, file: "/tmp/keepalived.data"},
		{name: "link in the dump's place", prepare: "echo x >/run/other; ln -s /run/other /tmp/keepalived.data",
			pidFile: "keepalived.pid", file: "/tmp/keepalived.data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newLiveHost(t, 0)
			if tt.prepare != "" {
				h.run(tt.prepare)
			}
			instance := liveInstance
			if strings.Contains(tt.name, "no socket") {
				instance = strings.Replace(instance, "eth0", "missing", 1)
			}
			h.start(tt.global+"\nglobal_defs {\n"+tt.block+"\n}\n"+instance, tt.env, tt.args...)
			p := h.find(FindOptions{PIDFile: h.root + "/run/" + tt.pidFile}, 1)[0]
			if p.Name != tt.want.Name || p.NetNamespace != tt.want.NetNamespace || tt.want.HostID != "" && p.HostID != tt.want.HostID {
				t.Errorf("found %q, network namespace %q, host id %q", p.Name, p.NetNamespace, p.HostID)
			}
			if len(p.PIDs()) != 2 || p.PIDs()[1] != p.VRRP {
				t.Errorf("processes %v, VRRP %d", p.PIDs(), p.VRRP)
			}
			d := dump(t, p)
			if len(d.Instances) != 1 || d.Instances[0].Name != "A" || d.InstanceName != tt.want.Name || d.NetworkNamespace != tt.want.NetNamespace {
				t.Errorf("dump of %q with %d instances", d.InstanceName, len(d.Instances))
			}
			c, source, err := p.Config()
			if err != nil || !source.Loaded || len(c.Instances) != 1 || c.Instances[0].State != Master {
				t.Errorf("configuration from %+v: %+v, %v", source, c, err)
			}
			text, err := os.ReadFile(p.Root() + tt.file)
			if err != nil || !Complete(text) {
				t.Errorf("%s: %v", tt.file, err)
			}
			if tt.pidFile != "p" {
				if ps := h.find(h.usual(), 1); ps[0].PID != p.PID {
					t.Errorf("by the usual pid files %d, want %d", ps[0].PID, p.PID)
				}
			}
		})
	}
}

// In a container pids, the host name and the root directory are others than ours.
func TestLiveContainer(t *testing.T) {
	h := newLiveHost(t, unix.CLONE_NEWPID|unix.CLONE_NEWUTS)
	h.run("hostname loghost07.example.com")
	h.start(strings.Replace(liveInstance, "state MASTER", "@loghost07 state MASTER\n@^loghost07 state BACKUP", 1), nil)
	var p *Process
	for end := time.Now().Add(time.Minute); p == nil; time.Sleep(10 * time.Millisecond) {
		ps, err := Find(FindOptions{Run: t.TempDir()})
		if i := slices.IndexFunc(ps, h.holds); i >= 0 && ps[i].VRRP != 0 {
			p = ps[i]
		} else if time.Now().After(end) {
			t.Fatalf("found %v, %v", ps, err)
		}
	}
	if p.HostID != "loghost07" {
		t.Errorf("host id %s", p.HostID)
	}
	if d := dump(t, p); len(d.Instances) != 1 {
		t.Errorf("%d instances", len(d.Instances))
	}
	c, source, err := p.Config()
	if err != nil || !source.Loaded || c.Instance("A").State != Master {
		t.Errorf("configuration from %+v: %+v, %v", source, c, err)
	}
	if own, _ := os.Hostname(); strings.HasPrefix(own, "loghost07") {
		t.Errorf("our own host name is now %s", own)
	}
}

// Two keepalived that write to the same file, asked at the same time.
func TestLiveTwo(t *testing.T) {
	h := newLiveHost(t, 0)
	for i, name := range []string{"red", "blue"} {
		h.start(fmt.Sprintf("instance %s\n%s", name, strings.Replace(liveInstance, "_id 10", fmt.Sprintf("_id %d", 20+i), 1)), nil)
	}
	ps := h.find(h.usual(), 2)
	var all sync.WaitGroup
	for _, p := range ps {
		all.Go(func() {
			for range 30 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				d, err := p.Dump(ctx)
				cancel()
				if err != nil {
					t.Error(err)
				} else if d.InstanceName != p.Name {
					t.Errorf("asked %s, got the dump of %s", p.Name, d.InstanceName)
				}
			}
		})
	}
	all.Wait()
}

func TestLiveNoVRRP(t *testing.T) {
	h := newLiveHost(t, 0)
	h.start("bfd_instance b {\n neighbor_ip 192.0.2.2\n source_ip 192.0.2.1\n}\n", nil)
	var ps []*Process
	for end := time.Now().Add(time.Minute); len(ps) == 0 || len(ps[0].Children) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("found %v", ps)
		}
		ps, _ = Find(FindOptions{PIDFile: h.root + "/run/keepalived.pid"})
	}
	_, err := ps[0].Dump(t.Context())
	if want := fmt.Sprintf("keepalived %d runs no VRRP, only checkers or BFD", ps[0].PID); !errors.Is(err, ErrNoVRRP) || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// While keepalived reloads, or others ask all the time, each dump is whole and new.
func TestLiveUnrest(t *testing.T) {
	var conf strings.Builder
	for i := range 60 {
		fmt.Fprintf(&conf, "vrrp_instance A%d {\n interface eth0\n virtual_router_id %d\n priority 100\n virtual_ipaddress {\n 192.0.2.%d\n }\n}\n", i, i+1, i+100)
	}
	for _, tt := range []struct {
		name   string
		signal unix.Signal
		times  int // for each dump: while it reloads on and on it answers nobody
	}{
		{"reload", unix.SIGHUP, 1},
		{"asked by others", unix.SIGUSR1, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newLiveHost(t, 0)
			h.start(conf.String(), nil)
			p := h.find(h.usual(), 1)[0]
			for range 30 {
				var others sync.WaitGroup
				others.Go(func() {
					for range tt.times {
						time.Sleep(rand.N(5 * time.Millisecond))
						unix.Kill(p.PID, tt.signal)
					}
				})
				d := dump(t, p)
				others.Wait()
				if len(d.Instances) != 60 || len(d.Interfaces) < 3 {
					t.Fatalf("%d instances, %d interfaces", len(d.Instances), len(d.Interfaces))
				}
			}
		})
	}
}

func TestLiveReloadShows(t *testing.T) {
	h := newLiveHost(t, 0)
	h.start(liveInstance, nil)
	p := h.find(h.usual(), 1)[0]
	dump(t, p)
	h.write(p.ConfigFile, liveInstance+strings.NewReplacer(" A ", " B ", "_id 10", "_id 11", ".100", ".101").Replace(liveInstance))
	if c, _, err := p.Config(); err != nil || len(c.Instances) != 1 {
		t.Errorf("before the reload: %+v, %v", c, err)
	}
	if err := unix.Kill(p.PID, unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		d := dump(t, p)
		c, source, err := p.Config()
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Instances) == 2 && len(c.Instances) == 2 && source.Loaded {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d instances in the dump, %d in the configuration", len(d.Instances), len(c.Instances))
		}
	}
}

func TestLiveStopped(t *testing.T) {
	h := newLiveHost(t, 0)
	h.start(liveInstance, nil)
	p := h.find(h.usual(), 1)[0]
	dump(t, p) // is there when it stops, and must not be shown again
	if err := unix.Kill(p.VRRP, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer unix.Kill(p.VRRP, unix.SIGCONT)
	for s, err := p.proc.stat(p.VRRP); s.state != 'T'; s, err = p.proc.stat(p.VRRP) {
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	d, err := p.Dump(ctx)
	want := fmt.Sprintf("keepalived %d wrote no dump /tmp/keepalived.data in time: the process is stopped (SIGSTOP)", p.VRRP)
	if d != nil || !errors.Is(err, ErrNoAnswer) || inTime(err) != want {
		t.Errorf("got %v and error %v, want %s", d, err, want)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if err := unix.Kill(p.VRRP, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	dump(t, p)
}

// keepalived 2.2.7 then writes nothing, newer ones write to /tmp.
func TestLiveNoTemporaryDirectory(t *testing.T) {
	h := newLiveHost(t, 0)
	h.start(liveInstance, []string{"TMPDIR=/run/missing"})
	p := h.find(h.usual(), 1)[0]
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := p.Dump(ctx)
	want := fmt.Sprintf("keepalived %d wrote no dump /tmp/keepalived.data in time: /run/missing: no such file or directory", p.VRRP)
	if err == nil || inTime(err) != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestLiveRestarted(t *testing.T) {
	h := newLiveHost(t, 0)
	h.start(liveInstance, nil)
	p := h.find(h.usual(), 1)[0]
	dump(t, p)
	if err := unix.Kill(p.VRRP, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for p.proc.isKeepalived(p.VRRP) {
		time.Sleep(time.Millisecond)
	}
	if d, err := p.Dump(t.Context()); d != nil || !errors.Is(err, ErrGone) {
		t.Errorf("got %v and error %v, want %v", d, err, ErrGone)
	}
	again := h.find(h.usual(), 1)[0] // the parent starts another one
	if again.PID != p.PID || again.VRRP == p.VRRP {
		t.Errorf("found %v after %v", again.PIDs(), p.PIDs())
	}
	dump(t, again)
}

func TestLiveDiskFull(t *testing.T) {
	h := newLiveHost(t, 0)
	h.run("mkdir /run/small; mount -t tmpfs -o size=4k tmpfs /run/small")
	h.start(liveInstance, []string{"TMPDIR=/run/small"})
	p := h.find(h.usual(), 1)[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d, err := p.Dump(ctx)
	if d != nil || !errors.Is(err, ErrBadDump) || !strings.Contains(err.Error(), "dump /run/small/keepalived.data:") {
		t.Errorf("got %v and error %v, want %v", d, err, ErrBadDump)
	}
}

// TestLiveAsNobody runs itself again without privileges.
func TestLiveAsNobody(t *testing.T) {
	if file := os.Getenv("KEEPALIVED_TEST_PID_FILE"); file != "" {
		ps, err := Find(FindOptions{PIDFile: file})
		if err != nil {
			fmt.Println(err)
			os.Exit(0)
		}
		_, err = ps[0].Dump(t.Context())
		fmt.Println(errors.Is(err, ErrPermission), err)
		_, _, err = ps[0].Config()
		fmt.Println(errors.Is(err, ErrPermission), err)
		os.Exit(0)
	}
	h := newLiveHost(t, 0)
	h.start(liveInstance, nil)
	p := h.find(h.usual(), 1)[0]
	file := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(file, []byte(strconv.Itoa(p.PID)), 0o644); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(file); len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestLiveAsNobody$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "KEEPALIVED_TEST_PID_FILE="+file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := fmt.Sprintf("true keepalived %d: open /proc/%[2]d/fd: permission denied, asking it for a dump needs root\n"+
		"true keepalived %[1]d: open /proc/%[2]d/fd: permission denied, reading its configuration needs root\n", p.PID, p.VRRP)
	if string(out) != want {
		t.Errorf("got %s, want %s", out, want)
	}
}

// BenchmarkDump compares Dump with the least that any asker has to wait: from the signal
// to the event that keepalived has closed its file.
func BenchmarkDump(b *testing.B) {
	for _, n := range []int{2, 100} {
		var conf strings.Builder
		for i := range n {
			fmt.Fprintf(&conf, "vrrp_instance A%d {\n interface eth0\n virtual_router_id %d\n virtual_ipaddress {\n 192.0.2.%d\n }\n}\n", i, i+1, i+100)
		}
		h := newLiveHost(b, 0)
		h.start(conf.String(), nil)
		p := h.find(h.usual(), 1)[0]
		b.Run(fmt.Sprintf("instances=%d/keepalived", n), func(b *testing.B) {
			fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
			if err != nil {
				b.Fatal(err)
			}
			defer unix.Close(fd)
			if _, err := unix.InotifyAddWatch(fd, p.Root()+"/tmp", unix.IN_CLOSE_WRITE); err != nil {
				b.Fatal(err)
			}
			var buf [4096]byte
			for b.Loop() {
				if err := unix.Kill(p.VRRP, unix.SIGUSR1); err != nil {
					b.Fatal(err)
				}
				if _, err := unix.Read(fd, buf[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("instances=%d/find", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := Find(h.usual()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("instances=%d/dump", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := p.Dump(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
