package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kad/kad-notify/internal/bgp"
	"kad/pkg/dbustest"
)

const gobgpdAddr = "127.0.0.1:50051" // of this network namespace

// newGobgpd starts a gobgpd that speaks to nobody, and returns a client of it.
func newGobgpd(t *testing.T) *bgp.Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gobgpd.toml")
	if err := os.WriteFile(file, []byte("[global.config]\nas = 64512\nrouter-id = \"192.0.2.254\"\nport = -1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, "gobgpd", "--api-hosts", gobgpdAddr, "--pprof-disable", "--log-level", "error", "--config-file", file)
	c, err := bgp.New(bgp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	eventually(t, "gobgpd has its AS", func() bool { _, err := c.Server(t.Context()); return err == nil })
	return c
}

// startDaemon starts a program that ends with the test, or by the function returned.
func startDaemon(t *testing.T, argv ...string) (stop func(os.Signal)) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, said
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", argv[0], said)
		}
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	stop = func(s os.Signal) {
		if s == os.Kill {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // children too: keepalived's clean up when it ends
		}
		_ = cmd.Process.Signal(s)
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	}
	t.Cleanup(func() { stop(os.Kill) })
	return stop
}

// announced returns which of the VIPs of vipConf gobgpd has, as "last byte of the address/next hop/MED".
func announced(t *testing.T, c *bgp.Client) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var found []string
	for _, addr := range []string{"192.168.245.100", "192.168.245.101", "192.168.245.102", "2001:db8::100"} {
		p, ok, err := c.Find(ctx, netip.MustParseAddr(addr))
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			text := addr + " " + p.NextHop.String()
			if p.MED != nil {
				text += fmt.Sprintf(" %d", *p.MED)
			}
			found = append(found, text)
		}
	}
	return strings.Join(found, ", ")
}

// hold puts addresses on eth0 until the test ends.
func hold(t *testing.T, addrs ...string) {
	t.Helper()
	for _, a := range addrs {
		if out, err := exec.Command("ip", "address", "add", a, "dev", "eth0", "nodad").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		t.Cleanup(func() { release(t, a) })
	}
}

func release(t *testing.T, addr string) {
	t.Helper()
	_ = exec.Command("ip", "address", "del", addr, "dev", "eth0").Run()
}

const route = "[hook.route]\nkind = \"bgp\"\ninstance = [\"VI_1\"]\n"

func TestBGP(t *testing.T) {
	c := newGobgpd(t)
	r := newRoom(t, route+"[bgp]\nmed = \"priority\"\n")
	hold(t, "192.168.245.100/32", "192.168.245.101/24", "2001:db8::100/128")
	const all = "192.168.245.100 192.168.245.52 %[1]d, 192.168.245.101 192.168.245.52 %[1]d, 2001:db8::100 2001:db8::52 %[1]d"
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"master", []string{"INSTANCE", "VI_1", "MASTER", "240"}, 0, fmt.Sprintf(all, 15)},
		{"again, with another priority", []string{"INSTANCE", "VI_1", "MASTER", "200"}, 0, fmt.Sprintf(all, 55)},
		{"without a priority", []string{"INSTANCE", "VI_1", "MASTER"}, 0, fmt.Sprintf(all, 15)},
		{"another instance", []string{"INSTANCE", "VI 2", "BACKUP", "240"}, 0, fmt.Sprintf(all, 15)},
		{"backup", []string{"INSTANCE", "VI_1", "BACKUP", "240"}, 0, ""},
		{"again", []string{"INSTANCE", "VI_1", "BACKUP", "240"}, 0, ""},
		{"no hook for it", []string{"INSTANCE", "VI 2", "MASTER", "100"}, 0, ""},
		{"master again", []string{"INSTANCE", "VI_1", "MASTER", "254"}, 0, fmt.Sprintf(all, 1)},
		{"fault", []string{"INSTANCE", "VI_1", "FAULT", "240"}, 0, ""},
	} {
		code, _, stderr := r.run(tt.args...)
		if code != tt.code || stderr != "" {
			t.Errorf("%s: code %d, stderr %q", tt.name, code, stderr)
		}
		if got := announced(t, c); got != tt.want {
			t.Errorf("%s: announced %q, want %q", tt.name, got, tt.want)
		}
	}

	t.Run("not held", func(t *testing.T) {
		release(t, "192.168.245.101/24")
		code, _, stderr := r.run("INSTANCE", "VI_1", "MASTER", "240")
		if code != 1 || !strings.Contains(stderr, "hook route: 192.168.245.101 is not announced: this host does not hold it") {
			t.Errorf("code %d, stderr %q", code, stderr)
		}
		if got, want := announced(t, c), "192.168.245.100 192.168.245.52 15, 2001:db8::100 2001:db8::52 15"; got != want {
			t.Errorf("announced %q, want %q", got, want)
		}
	})
	t.Run("gone from the configuration", func(t *testing.T) {
		r.write("keepalived.conf", strings.Replace(vipConf, "2001:db8::100/128", "", 1), 0o644)
		r.run("INSTANCE", "VI_1", "MASTER", "240")
		if got, want := announced(t, c), "192.168.245.100 192.168.245.52 15"; got != want {
			t.Errorf("announced %q, want %q", got, want)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		r.write("keepalived.conf", strings.Replace(vipConf, "VI_1", "VI_9", 1), 0o644)
		r.write("keepalived.conf", vipConf[strings.Index(vipConf, `vrrp_instance "VI 2"`):], 0o644)
		r.run("INSTANCE", "VI_1", "DELETED", "240")
		if got := announced(t, c); got != "" {
			t.Errorf("announced %q", got)
		}
		r.write("keepalived.conf", vipConf, 0o644)
	})
	t.Run("no configuration to be found", func(t *testing.T) {
		r.run("INSTANCE", "VI_1", "MASTER", "240")
		if err := os.Remove(r.path("keepalived.conf")); err != nil {
			t.Fatal(err)
		}
		r.run("INSTANCE", "VI_1", "BACKUP", "240")
		if got := announced(t, c); got != "" {
			t.Errorf("announced %q", got)
		}
		r.write("keepalived.conf", vipConf, 0o644)
	})
	t.Run("broken configuration", func(t *testing.T) {
		r.run("INSTANCE", "VI_1", "MASTER", "240")
		if announced(t, c) == "" {
			t.Fatal("nothing is announced")
		}
		good := r.read("notify.toml")
		defer r.write("notify.toml", good, 0o644)
		r.write("notify.toml", "x = 1\n"+good, 0o644)
		code, _, _ := clitestRun(t, r, "INSTANCE", "VI_1", "BACKUP", "240")
		if got := announced(t, c); got != "" || code != 78 {
			t.Errorf("code %d, announced %q", code, got)
		}
	})
	t.Run("unknown state", func(t *testing.T) {
		r.run("INSTANCE", "VI_1", "MASTER", "240")
		if announced(t, c) == "" {
			t.Fatal("nothing is announced")
		}
		if code, _, _ := r.run("INSTANCE", "VI_1", "MASTER_OF_ALL", "240"); announced(t, c) != "" || code != 2 {
			t.Errorf("code %d, announced %q", code, announced(t, c))
		}
	})
	t.Run("required hook failed", func(t *testing.T) {
		r.run("INSTANCE", "VI_1", "MASTER", "240")
		if announced(t, c) == "" {
			t.Fatal("nothing is announced")
		}
		r.write("notify.toml", "state_dir = \"@/state\"\n[hook.first]\nkind = \"exec\"\ncommand = [\"/bin/false\"]\nrequired = true\n"+route, 0o644)
		if code, _, stderr := r.run("INSTANCE", "VI_1", "MASTER", "240"); code != 1 {
			t.Errorf("code %d, stderr %q", code, stderr)
		}
		if got := announced(t, c); got != "" {
			t.Errorf("announced %q", got)
		}
	})
	t.Run("group", func(t *testing.T) {
		r.write("notify.toml", "state_dir = \"@/state\"\n[hook.route]\nkind = \"bgp\"\ngroup = [\"G1\"]\n[bgp]\nmed = \"priority\"\nnext_hop = \"192.0.2.7\"\n", 0o644)
		r.run("GROUP", "G1", "MASTER", "0")
		if got, want := announced(t, c), "192.168.245.100 192.0.2.7 15, 2001:db8::100 2001:db8::52 15"; got != want {
			t.Errorf("announced %q, want %q", got, want)
		}
		r.run("GROUP", "G1", "BACKUP", "0")
		if got := announced(t, c); got != "" {
			t.Errorf("announced %q", got)
		}
	})
}

// clitestRun runs kad-notify with the room's state directory in the place of the default one.
func clitestRun(t *testing.T, r *room, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(defaultStateDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(defaultStateDir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(r.path("state"), defaultStateDir); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(defaultStateDir)
	return r.run(args...)
}

// With gobgpd away a hook ends with its time, and says why.
func TestBGPAway(t *testing.T) {
	r := newRoom(t, "[hook.route]\nkind = \"bgp\"\ntimeout = \"2s\"\n"+stateFile)
	begin := time.Now()
	code, _, stderr := r.run("INSTANCE", "VI_1", "BACKUP", "240")
	if d := time.Since(begin); d > 30*time.Second || code != 1 || !strings.Contains(stderr, "hook route: withdraw 192.168.245.100/32: gobgpd at 127.0.0.1:50051: connection refused") {
		t.Errorf("after %v: code %d, stderr %q", d, code, stderr)
	}
	if got := r.read("at/VI_1"); got != "BACKUP\n" {
		t.Errorf("the next hook wrote %q", got)
	}
}

// startKeepalived starts keepalived with vipConf after those global definitions. It becomes MASTER of VI_1 in half a
// second.
func startKeepalived(t *testing.T, r *room, global string) (stop func(os.Signal)) {
	t.Helper()
	r.write("keepalived.conf", global+vipConf, 0o644)
	// One that a test has killed leaves its pid files, and for a moment its processes: it would count as running.
	for _, file := range []string{"/run/keepalived.pid", "/run/vrrp.pid"} {
		_ = os.Remove(file)
	}
	return startDaemon(t, "keepalived", "--dont-fork", "--log-console", "--no-syslog", "--vrrp", "--use-file", r.path("keepalived.conf"))
}

func master(t *testing.T) {
	t.Helper()
	eventually(t, "keepalived has the VIP", func() bool {
		out, _ := exec.Command("ip", "address", "show", "dev", "eth0").Output()
		return strings.Contains(string(out), "192.168.245.100/32")
	})
}

func TestSync(t *testing.T) {
	c := newGobgpd(t)
	s := dbustest.StartSystemd(t)
	s.SetUnit("on-backup.service", dbustest.Unit{State: "active"})
	r := newRoom(t, route+`
[hook.on]
kind = "unit"
instance = ["VI_1"]
state = ["MASTER"]
unit = "on-master"
action = "start"
[hook.off]
kind = "unit"
instance = ["VI_1"]
state = ["BACKUP", "FAULT", "STOP"]
unit = "on-master"
action = "stop"
[hook.off-backup]
kind = "unit"
instance = ["VI_1"]
state = ["MASTER"]
unit = "on-backup"
action = "stop"
`)
	const all = "192.168.245.100 192.168.245.52, 192.168.245.101 192.168.245.52, 2001:db8::100 2001:db8::52"
	stop := startKeepalived(t, r, "")
	master(t)

	code, stdout, stderr := r.run("sync", "--dry-run")
	want := "announce 192.168.245.100 with next hop 192.168.245.52\nannounce 192.168.245.101 with next hop 192.168.245.52\nannounce 2001:db8::100 with next hop 2001:db8::52\n"
	if !strings.HasPrefix(stdout, want) || code != 0 || announced(t, c) != "" || s.Jobs() != nil {
		t.Errorf("dry run: %d, %s%s", code, stdout, stderr)
	}
	code, _, stderr = r.run("sync")
	jobs := s.Jobs()
	slices.Sort(jobs)
	if got := announced(t, c); got != all || code != 0 || !slices.Equal(jobs, []string{"start on-master.service replace", "stop on-backup.service replace"}) {
		t.Errorf("MASTER: code %d, stderr %q, announced %q, units %q", code, stderr, got, jobs)
	}
	if code, stdout, stderr = r.run("sync"); code != 0 || stdout != "" || stderr != "" || s.Jobs() != nil {
		t.Errorf("again: code %d, %s%s", code, stdout, stderr)
	}
	if got := history(t, r, "VI_1"); len(got) != 1 || got[0].Mode != "sync" || got[0].State != "MASTER" {
		t.Errorf("history %+v", got)
	}
	// Somebody takes the path away: the next sync puts it back.
	if err := c.Withdraw(t.Context(), netip.MustParseAddr("192.168.245.100")); err != nil {
		t.Fatal(err)
	}
	if _, stdout, _ = r.run("sync"); stdout != "announce 192.168.245.100 with next hop 192.168.245.52\n" || announced(t, c) != all {
		t.Errorf("after a withdrawal: %s", stdout)
	}
	// An event that is being handled is not interfered with.
	held := &record{dir: r.path("state/instance/VI_1")}
	if err := held.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr = r.run("sync", "--timeout", "300ms"); code != 1 || !strings.Contains(stderr, "VI_1 is left as it is: lock ") {
		t.Errorf("locked: code %d, %s", code, stderr)
	}
	held.release()
	// keepalived dies and leaves its VIPs behind.
	stop(os.Kill)
	eventually(t, "keepalived's children have ended", func() bool {
		code, stdout, stderr = r.run("sync")
		return announced(t, c) == ""
	})
	if !slices.Contains(s.Jobs(), "stop on-master.service replace") {
		t.Errorf("keepalived killed: code %d, %s%s", code, stdout, stderr)
	}
	out, _ := exec.Command("ip", "address", "show", "dev", "eth0").Output()
	if !strings.Contains(string(out), "192.168.245.100/32") {
		t.Errorf("the case is not the one meant: the VIP is gone\n%s", out)
	}
	for _, a := range []string{"192.168.245.100/32", "192.168.245.101/24", "2001:db8::100/128", "192.168.245.102/32"} {
		release(t, a)
	}
}

func TestSyncWithoutHooks(t *testing.T) {
	r := newRoom(t, stateFile)
	if code, stdout, stderr := r.run("sync"); code != 0 || stdout+stderr != "" {
		t.Errorf("code %d, %s%s", code, stdout, stderr)
	}
}
