package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// reload writes another notify.toml, has it read, and waits until the reader says what came of it.
func (f *reader) reload(text, want string) {
	f.t.Helper()
	f.write("notify.toml", text, 0o644)
	before := f.said.String()
	_ = f.cmd.Process.Signal(unix.SIGHUP)
	eventually(f.t, "it says "+want, func() bool {
		return strings.Contains(strings.TrimPrefix(f.said.String(), before), strings.ReplaceAll(want, "@/", f.dir+"/"))
	})
}

func TestReload(t *testing.T) {
	const stateDir = "state_dir = \"@/state\"\n"
	f := startReader(t, newRoom(t, order))
	f.put("INSTANCE \"VI_1\" BACKUP 240\n")
	f.awaitOrder("VI_1 BACKUP  240\n")

	f.reload(stateDir+strings.ReplaceAll(order, "echo", "echo new"), "kad-notify: reloaded, hooks: 1\n")
	f.put("INSTANCE \"VI_1\" MASTER 240\n")
	handled := "VI_1 BACKUP  240\nnew VI_1 MASTER BACKUP 240\n"
	f.awaitOrder(handled)

	const refused = "kad-notify: not reloaded, the hooks remain as they are: "
	for _, tt := range []struct{ text, want string }{
		{stateDir + "[hook.order]\nkind = \"exce\"\n", "@/notify.toml:3:1: hook.order.kind: found \"exce\""},
		{stateDir + "[hook", "@/notify.toml:2"},
		{"state_dir = \"@/other\"\n" + order, "state_dir: a reload cannot move it from @/state to @/other, a restart does\n"},
	} {
		f.reload(tt.text, refused+tt.want)
	}
	f.put("INSTANCE \"VI_1\" FAULT 240\n")
	f.awaitOrder(handled + "new VI_1 FAULT MASTER 240\n")
	if code := f.stop(); code != 0 {
		t.Errorf("code %d, %s", code, f.said)
	}
}

// Routes follow the hooks, also when there is no hook for them any more.
func TestReloadBGP(t *testing.T) {
	c := newGobgpd(t)
	r := newRoom(t, route)
	stop := startKeepalived(t, r, "")
	defer stop(unix.SIGTERM) // takes its addresses along
	master(t)
	f := startReader(t, r)
	for _, tt := range []struct{ text, want string }{
		{route + "[bgp]\nmed = 7\n", "192.168.245.100 192.168.245.52 7, 192.168.245.101 192.168.245.52 7, 2001:db8::100 2001:db8::52 7"},
		{"", ""},
		{route, "192.168.245.100 192.168.245.52, 192.168.245.101 192.168.245.52, 2001:db8::100 2001:db8::52"},
		{route + "[bgp]\ntarget = \"127.0.0.1:9\"\n", ""},
	} {
		f.reload("state_dir = \"@/state\"\n"+tt.text, "kad-notify: reloaded, hooks: ")
		eventually(t, "announced are "+tt.want, func() bool { return announced(t, c) == tt.want })
	}
}
