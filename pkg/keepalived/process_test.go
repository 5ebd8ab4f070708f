package keepalived

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fakeProc is a proc(5) and a /run made of files.
type fakeProc struct {
	t    *testing.T
	dir  string
	proc string
	run  string
}

func newFakeProc(t *testing.T) *fakeProc {
	dir := t.TempDir()
	f := &fakeProc{t: t, dir: dir, proc: filepath.Join(dir, "proc"), run: filepath.Join(dir, "run")}
	f.link("proc/self/ns/net", "net:[1]")
	f.link("proc/self/ns/pid", "pid:[1]")
	f.write("proc/uptime", "1 1")
	f.write("run/lock/subsys", "")
	return f
}

func (f *fakeProc) options() FindOptions { return FindOptions{Proc: f.proc, Run: f.run} }

func (f *fakeProc) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeProc) link(name, to string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Symlink(to, path); err != nil {
		f.t.Fatal(err)
	}
}

// fakeProcess is a process of a fakeProc; zero fields are those of a keepalived.
type fakeProcess struct {
	pid, parent int
	exe         string // "" is /usr/sbin/keepalived, "-" is that of a kernel thread
	comm        string
	args        []string
	children    []int
	noChildren  bool // a kernel without CONFIG_PROC_CHILDREN
	vrrp        bool // has raw sockets of protocol 112, IPv6 for an odd pid
	net, pidNS  string
	nsPID       int
}

func (f *fakeProc) add(p fakeProcess) {
	dir := fmt.Sprintf("proc/%d/", p.pid)
	comm := p.comm
	if comm == "" {
		comm = "keepalived"
	}
	f.write(dir+"stat", fmt.Sprintf("%d (%s) S %d 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d 1 1 1\n", p.pid, comm, p.parent, 1000+p.pid))
	f.write(dir+"comm", comm+"\n")
	nsPID := strconv.Itoa(p.pid)
	if p.nsPID != 0 {
		nsPID += "\t" + strconv.Itoa(p.nsPID)
	}
	f.write(dir+"status", "Name:\t"+comm+"\nUid:\t0\t0\t0\t0\nNSpid:\t"+nsPID+"\n")
	f.write(dir+"cmdline", strings.Join(append([]string{"/usr/sbin/keepalived"}, p.args...), "\x00")+"\x00")
	switch p.exe {
	case "-":
	case "":
		f.link(dir+"exe", "/usr/sbin/keepalived")
	default:
		f.link(dir+"exe", p.exe)
	}
	if !p.noChildren {
		text := ""
		for _, c := range p.children {
			text += strconv.Itoa(c) + " "
		}
		f.write(fmt.Sprintf("%stask/%d/children", dir, p.pid), text)
	}
	f.link(dir+"fd/0", "/dev/null")
	f.link(dir+"fd/7", "socket:[7000]")
	table := "net/raw"
	if p.pid%2 == 1 {
		table = "net/raw6"
	}
	if p.vrrp {
		f.link(dir+"fd/14", fmt.Sprintf("socket:[%d]", 9000+p.pid))
		f.write(dir+table, fmt.Sprintf("  sl  local_address ...\n"+
			"   1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7000 2 0 0\n"+
			"  13: 120000E0:0070 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 %d 2 0 0\n", 9000+p.pid))
	}
	if p.net != "" {
		f.link(dir+"ns/net", p.net)
	}
	if p.pidNS != "" {
		f.link(dir+"ns/pid", p.pidNS)
	}
	f.link(dir+"root", filepath.Join(f.dir, "root", strconv.Itoa(p.pid)))
}

// pair adds a keepalived with its VRRP child.
func (f *fakeProc) pair(parent, child int, args ...string) {
	f.add(fakeProcess{pid: parent, parent: 1, args: args, children: []int{child}})
	f.add(fakeProcess{pid: child, parent: parent, args: args, vrrp: true})
}

func TestFind(t *testing.T) {
	type found struct {
		pids []int
		vrrp int
	}
	tests := []struct {
		name string
		make func(f *fakeProc)
		want []found
	}{
		{"pid file", func(f *fakeProc) {
			f.pair(100, 102)
			f.pair(200, 202) // another host of a lab: not looked for
			f.write("run/keepalived.pid", "100\n")
		}, []found{{[]int{100, 102}, 102}}},
		{"pid files of instances and namespaces", func(f *fakeProc) {
			f.pair(300, 301)
			f.pair(100, 102)
			f.pair(200, 203)
			f.write("run/keepalived/keepalived_web.pid", "300\n")
			f.write("run/keepalived/vrrp_web.pid", "301\n")
			f.write("run/keepalived/blue/keepalived_db.pid", "200\n")
			f.write("run/keepalived/keepalived.pid", "100\n")
		}, []found{{[]int{100, 102}, 102}, {[]int{200, 203}, 203}, {[]int{300, 301}, 301}}},
		{"pid file of the VRRP child under the parent's name", func(f *fakeProc) {
			f.pair(100, 102)
			f.write("run/keepalived.pid", "102\n")
		}, []found{{[]int{100, 102}, 102}}},
		{"stale pid file", func(f *fakeProc) {
			f.pair(100, 102)
			f.add(fakeProcess{pid: 50, parent: 1, exe: "/usr/sbin/cron", comm: "cron"})
			f.write("run/keepalived.pid", "50\n")
		}, []found{{[]int{100, 102}, 102}}},
		{"pid file of a dead process, and one of garbage", func(f *fakeProc) {
			f.pair(100, 102)
			f.write("run/keepalived.pid", "51\n")
			f.write("run/keepalived/keepalived.pid", "-1; rm\n")
		}, []found{{[]int{100, 102}, 102}}},
		{"no pid file", func(f *fakeProc) {
			f.add(fakeProcess{pid: 2, parent: 0, exe: "-", comm: "kthreadd"})
			f.pair(200, 202)
			f.pair(100, 102)
		}, []found{{[]int{100, 102}, 102}, {[]int{200, 202}, 202}}},
		{"all three children and a script before its exec", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, children: []int{103, 101, 102}})
			f.add(fakeProcess{pid: 101, parent: 100})
			f.add(fakeProcess{pid: 102, parent: 100, vrrp: true, children: []int{110}})
			f.add(fakeProcess{pid: 103, parent: 100})
			f.add(fakeProcess{pid: 110, parent: 102, vrrp: true})
		}, []found{{[]int{100, 101, 102, 103}, 102}}},
		{"a script of the parent", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, children: []int{101, 102}})
			f.add(fakeProcess{pid: 101, parent: 100, exe: "/bin/sh", comm: "notify.sh"})
			f.add(fakeProcess{pid: 102, parent: 100, vrrp: true})
		}, []found{{[]int{100, 102}, 102}}},
		{"names of their own", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, comm: "ka (1) S 7", children: []int{102}})
			f.add(fakeProcess{pid: 102, parent: 100, comm: "ka_vrrp", vrrp: true})
		}, []found{{[]int{100, 102}, 102}}},
		{"program replaced by an upgrade", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, exe: "/usr/sbin/keepalived (deleted)", children: []int{102}})
			f.add(fakeProcess{pid: 102, parent: 100, exe: "/usr/sbin/keepalived (deleted)", vrrp: true})
		}, []found{{[]int{100, 102}, 102}}},
		{"started by a script of that name", func(f *fakeProc) {
			f.add(fakeProcess{pid: 90, parent: 1, exe: "/bin/sh", comm: "keepalived", children: []int{100}})
			f.add(fakeProcess{pid: 100, parent: 90, children: []int{102}})
			f.add(fakeProcess{pid: 102, parent: 100, vrrp: true})
		}, []found{{[]int{100, 102}, 102}}},
		{"only checkers", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, children: []int{101}})
			f.add(fakeProcess{pid: 101, parent: 100})
		}, []found{{[]int{100, 101}, 0}}},
		{"all instances in FAULT have no socket", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, children: []int{101, 102}})
			f.add(fakeProcess{pid: 101, parent: 100})
			f.add(fakeProcess{pid: 102, parent: 100})
			f.write("root/100/run/vrrp.pid", "102\n")
			f.write("run/vrrp.pid", "101\n") // not of its file system
		}, []found{{[]int{100, 101, 102}, 102}}},
		{"the same, with a pid file of its own", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, args: []string{"-n", "-r", "/my/vrrp"}, children: []int{101, 102}})
			f.add(fakeProcess{pid: 101, parent: 100})
			f.add(fakeProcess{pid: 102, parent: 100})
			f.write("root/100/my/vrrp", "102\n")
			f.write("root/100/run/vrrp.pid", "101\n")
		}, []found{{[]int{100, 101, 102}, 102}}},
		{"the same, in a container", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, children: []int{101, 102}, nsPID: 1})
			f.add(fakeProcess{pid: 101, parent: 100, nsPID: 7})
			f.add(fakeProcess{pid: 102, parent: 100, nsPID: 8})
			f.write("root/100/run/keepalived/vrrp.pid", "8\n")
		}, []found{{[]int{100, 101, 102}, 102}}},
		{"a VRRP pid file that names no child", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, children: []int{101}})
			f.add(fakeProcess{pid: 101, parent: 100})
			f.pair(200, 202)
			f.write("root/100/run/vrrp.pid", "202\n")
			f.write("run/keepalived.pid", "100\n")
		}, []found{{[]int{100, 101}, 0}}},
		{"a kernel that does not list children", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, noChildren: true})
			f.add(fakeProcess{pid: 103, parent: 100, noChildren: true, vrrp: true})
			f.add(fakeProcess{pid: 101, parent: 100, noChildren: true})
			f.add(fakeProcess{pid: 104, parent: 103, noChildren: true})
		}, []found{{[]int{100, 101, 103}, 103}}},
		{"another host's in a lab, but a container's", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, net: "net:[2]", pidNS: "pid:[1]"})
			f.add(fakeProcess{pid: 200, parent: 1, net: "net:[3]", pidNS: "pid:[3]"})
			f.add(fakeProcess{pid: 300, parent: 1, net: "net:[1]", pidNS: "pid:[1]"})
		}, []found{{[]int{200}, 0}, {[]int{300}, 0}}},
		{"went to another network namespace itself", func(f *fakeProc) {
			f.add(fakeProcess{pid: 100, parent: 1, args: []string{"-sblue"}, net: "net:[2]", pidNS: "pid:[1]"})
			f.add(fakeProcess{pid: 200, parent: 1, args: []string{"-f", "/etc/k.conf"}, net: "net:[2]", pidNS: "pid:[1]"})
			f.write("root/200/etc/k.conf", "net_namespace green\n")
		}, []found{{[]int{100}, 0}, {[]int{200}, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeProc(t)
			tt.make(f)
			ps, err := Find(f.options())
			if err != nil {
				t.Fatal(err)
			}
			var got []found
			for _, p := range ps {
				got = append(got, found{p.PIDs(), p.VRRP})
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFindErrors(t *testing.T) {
	f := newFakeProc(t)
	f.add(fakeProcess{pid: 2, parent: 0, exe: "-", comm: "kthreadd"})
	f.add(fakeProcess{pid: 50, parent: 1, exe: "/usr/sbin/cron", comm: "cron"})
	f.write("garbage", "keepalived\n")
	f.write("empty", "")
	f.write("dead", "51")
	f.write("cron", "50")
	in := func(name string) string { return filepath.Join(f.dir, name) }
	tests := []struct {
		name, pidFile, err string
	}{
		{"none", "", "no keepalived is running: no pid file of a live one in " + f.run + ", none among the processes"},
		{"no file", in("missing"), "pid file " + in("missing") + ": no such file or directory"},
		{"a directory", f.dir, "pid file " + f.dir + ": is a directory"},
		{"garbage", in("garbage"), "pid file " + in("garbage") + `: "keepalived\n" is not a process id`},
		{"empty", in("empty"), "pid file " + in("empty") + `: "" is not a process id`},
		{"dead", in("dead"), "pid file " + in("dead") + ": process 51 is not a keepalived"},
		{"another program", in("cron"), "pid file " + in("cron") + ": process 50 is not a keepalived"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opt := f.options()
			opt.PIDFile = tt.pidFile
			ps, err := Find(opt)
			if ps != nil || err == nil || err.Error() != tt.err {
				t.Fatalf("got %v and %v, want %s", ps, err, tt.err)
			}
			if !errors.Is(err, ErrNotRunning) {
				t.Errorf("%v is not ErrNotRunning", err)
			}
		})
	}
	if ps, err := Find(FindOptions{Proc: in("nowhere"), Run: f.run}); err == nil {
		t.Errorf("found %v without a proc file system", ps)
	}
}

func TestProcessSaysHowItWasStarted(t *testing.T) {
	f := newFakeProc(t)
	f.add(fakeProcess{pid: 100, parent: 1, args: []string{"-D", "--use-file=k.conf", "-i", "loghost01"}})
	f.link("proc/100/cwd", "/etc/ha")
	f.write("root/100/etc/ha/k.conf", "instance web\nglobal_defs {\n data_use_instance\n}\n"+
		"vrrp_instance A {\n @loghost01 state MASTER\n interface eth0\n virtual_router_id 1\n}\n")
	ps, err := Find(f.options())
	if err != nil {
		t.Fatal(err)
	}
	p := ps[0]
	if p.ConfigFile != "/etc/ha/k.conf" || p.HostID != "loghost01" || p.Name != "web" || p.NetNamespace != "" {
		t.Errorf("config file %s, host id %s, name %q, network namespace %q", p.ConfigFile, p.HostID, p.Name, p.NetNamespace)
	}
	c, source, err := p.Config()
	if err != nil {
		t.Fatal(err)
	}
	if want := (ConfigSource{Path: "/etc/ha/k.conf"}); source != want || source.String() != want.Path {
		t.Errorf("source %+v (%s), want %+v", source, source, want)
	}
	if got := c.Instance("A").State; got != Master {
		t.Errorf("state %s, want MASTER by the @loghost01 line", got)
	}
	if p.NetNS() != f.proc+"/100/ns/net" || p.Root() != f.proc+"/100/root" {
		t.Errorf("NetNS %s, Root %s", p.NetNS(), p.Root())
	}
	if _, err := p.Dump(t.Context()); !errors.Is(err, ErrNoVRRP) || err.Error() != "keepalived 100 has nothing to run" {
		t.Errorf("Dump: %v", err)
	}
}

func TestProcessConfigUnreadable(t *testing.T) {
	f := newFakeProc(t)
	f.pair(100, 102, "-f/etc/k.conf")
	f.link("proc/102/fd/3", "/memfd:/keepalived/consolidated_configuration (deleted)") // dangles
	ps, err := Find(f.options())
	if err != nil {
		t.Fatal(err)
	}
	c, source, err := ps[0].Config()
	if c != nil || err == nil || source.Path != "/etc/k.conf" {
		t.Errorf("got %v from %v, error %v", c, source, err)
	}
}

func TestParseOptions(t *testing.T) {
	tests := []struct {
		args string
		want map[string]string
	}{
		{"", nil},
		{"-n -l -D", nil},
		{"-f /a -i host", map[string]string{"f": "/a", "i": "host"}},
		{"-f/a -lDp/b -nr /c", map[string]string{"f": "/a", "p": "/b", "r": "/c"}},
		{"--use-file /a --config-id=b --namespace c --vrrp_pid=/d --log-detail", map[string]string{"f": "/a", "i": "b", "s": "c", "r": "/d"}},
		{"-g/log -Mcore -f /a", map[string]string{"f": "/a"}},
		{"-S 7 -u 022 -A x -f /a -f /b", map[string]string{"S": "7", "u": "022", "A": "x", "f": "/b"}},
		{"--umask 022 word -x -f", map[string]string{"f": ""}},
	}
	for _, tt := range tests {
		if got := parseOptions(strings.Fields(tt.args)); !maps.Equal(got, tt.want) {
			t.Errorf("%q: got %v, want %v", tt.args, got, tt.want)
		}
	}
}

func TestIsLoadedConfig(t *testing.T) {
	yes := []string{
		"/memfd:/keepalived/consolidated_configuration (deleted)",
		"/var/tmp/#1234 (deleted)",
		"/#7 (deleted)",
	}
	no := []string{
		"/memfd:/keepalived/consolidated_configuration",
		"/memfd:other (deleted)",
		"/tmp/keepalived.conf (deleted)",
		"/tmp/# (deleted)",
		"/tmp/#12a (deleted)",
		"/tmp/#12",
		"socket:[1234]",
	}
	for _, link := range slices.Concat(yes, no) {
		if got, want := isLoadedConfig(link), slices.Contains(yes, link); got != want {
			t.Errorf("%s: %v, want %v", link, got, want)
		}
	}
}

func TestDumpFile(t *testing.T) {
	tests := []struct {
		name, config, tmpdir string
		dirs                 []string
		file                 string
	}{
		{"default", "", "", []string{"/tmp", "/run/keepalived"}, "keepalived.data"},
		{"TMPDIR", "", "/x", []string{"/x", "/tmp", "/run/keepalived"}, "keepalived.data"},
		{"relative TMPDIR", "", "x", []string{"/tmp", "/run/keepalived"}, "keepalived.data"},
		{"instance without data_use_instance", "instance web\n", "", []string{"/tmp", "/run/keepalived"}, "keepalived.data"},
		{"data_use_instance alone", "global_defs {\n data_use_instance\n}\n", "", []string{"/tmp", "/run/keepalived"}, "keepalived.data"},
		{"instance", "instance web\nglobal_defs {\n data_use_instance\n}\n", "", []string{"/tmp", "/run/keepalived"}, "keepalived.web.data"},
		{"namespace", "net_namespace ns\nglobal_defs {\n data_use_instance\n}\n", "", []string{"/tmp", "/run/keepalived"}, "keepalived.ns.data"},
		{"both", "net_namespace ns\ninstance web\nglobal_defs {\n data_use_instance\n}\n", "", []string{"/tmp", "/run/keepalived"}, "keepalived.ns_web.data"},
		{"state_dump_file", "global_defs {\n state_dump_file /d/f.txt\n}\n", "/x", []string{"/d/"}, "f.txt"},
		{"state_dump_file with instance", "instance web\nglobal_defs {\n data_use_instance\n state_dump_file /d/f.txt\n}\n", "", []string{"/d/"}, "f.web.txt"},
		{"state_dump_file, a directory", "instance web\nglobal_defs {\n data_use_instance\n state_dump_file /d/\n}\n", "", []string{"/d/"}, "keepalived.web.data"},
		{"state_dump_file, a name", "global_defs {\n state_dump_file other.data\n}\n", "/x", []string{"/x", "/tmp", "/run/keepalived"}, "other.data"},
		{"state_dump_file without extension", "instance web\nglobal_defs {\n data_use_instance\n state_dump_file /d/f\n}\n", "", []string{"/d/"}, "f.web"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeProc(t)
			f.pair(100, 102)
			f.write("root/102/etc/keepalived/keepalived.conf", tt.config)
			f.write("proc/100/environ", "A=b\x00TMPDIR="+tt.tmpdir+"\x00")
			ps, err := Find(f.options())
			if err != nil {
				t.Fatal(err)
			}
			dirs, file := (&ask{Process: ps[0]}).dumpFile()
			if !slices.Equal(dirs, tt.dirs) || file != tt.file {
				t.Errorf("got %v %s, want %v %s", dirs, file, tt.dirs, tt.file)
			}
		})
	}
}
