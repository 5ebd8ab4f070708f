package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/pkg/cli"
	"kad/pkg/keepalived"
)

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want string // lines
	}{
		{"syntax", "[hook.a\n", "f:1:8: expected '.' or ']' to end table name, but got '\\n' instead"},
		{"unknown key", "stat_dir = \"/x\"", "f:1:1: stat_dir: no such key (did you mean state_dir?)"},
		{"relative state_dir", `state_dir = "x"`, `f:1:1: state_dir: "x" is not an absolute path`},
		{"no kind", "[hook.a]\ntimeout = \"1s\"", "f:1:7: hook.a: there is no kind, want bgp, exec, state_file, unit or webhook"},
		{"unknown kind", "[hook.a]\nkind = \"exce\"", `f:2:1: hook.a.kind: found "exce", want bgp, exec, state_file, unit or webhook (did you mean exec?)`},
		{"key of another kind", "[hook.a]\nkind = \"bgp\"\nunit = \"x\"", "f:3:1: hook.a.unit: this is a key of kind unit, not of bgp"},
		{"missing keys", "[hook.a]\nkind = \"unit\"", "f:1:7: hook.a: there is no unit, which a hook of kind unit needs\nf:1:7: hook.a: there is no action, which a hook of kind unit needs"},
		{"unknown action", "[hook.a]\nkind = \"unit\"\nunit = \"x\"\naction = \"strat\"", `f:4:1: hook.a.action: found "strat", want reload, restart, start or stop (did you mean start?)`},
		{"unknown state", "[hook.a]\nkind = \"exec\"\ncommand = [\"/bin/true\"]\nstate = [\"MASTER\", \"backup\"]",
			`f:4:20: hook.a.state[1]: found "backup", want MASTER, BACKUP, FAULT, STOP, DELETED, MASTER_RX_LOWER_PRI, MASTER_PRIORITY or BACKUP_PRIORITY (did you mean BACKUP?)`},
		{"unknown state left", "[hook.a]\nkind = \"exec\"\ncommand = [\"/bin/true\"]\nfrom = [\"UP\"]",
			`f:4:9: hook.a.from[0]: found "UP", want MASTER, BACKUP, FAULT, STOP or DELETED`},
		{"states of bgp", "[hook.a]\nkind = \"bgp\"\nstate = [\"MASTER\"]",
			"f:3:1: hook.a.state: a hook of kind bgp announces on MASTER and withdraws on everything else, so it takes no states"},
		{"bad pattern", "[hook.a]\nkind = \"bgp\"\ninstance = [\"VI_[\"]", `f:3:13: hook.a.instance[0]: "VI_[" is not a pattern such as VI_* or loghost0[12]`},
		{"state is no array", "[hook.a]\nkind = \"exec\"\nstate = \"MASTER\"", "f:3:1: hook.a.state: found a string, want an array"},
		{"empty command", "[hook.a]\nkind = \"exec\"\ncommand = []", `f:3:1: hook.a.command: is empty, want ["/path/of/program", "argument", ...]`},
		{"relative command", "[hook.a]\nkind = \"exec\"\ncommand = [\"x\"]", `f:3:12: hook.a.command[0]: "x" is not an absolute path`},
		{"bad timeout", "[hook.a]\nkind = \"bgp\"\ntimeout = \"5\"", `"5" is not a time such as 500ms or 5s, above 0 and up to 1h`},
		{"endless timeout", "[hook.a]\nkind = \"bgp\"\ntimeout = \"0s\"", `"0s" is not a time such as 500ms or 5s, above 0 and up to 1h`},
		{"bad url", "[hook.a]\nkind = \"webhook\"\nurl = \"ftp://u:SECRET@h/\"", "f:3:1: hook.a.url: is not a URL such as https://alerts.example.com/kad"},
		{"too many retries", "[hook.a]\nkind = \"webhook\"\nurl = \"http://h/\"\nretries = 101", "f:4:1: hook.a.retries: found 101, want 0 to 100"},
		{"bad target", "[bgp]\ntarget = \"dns:///x\"", `f:2:1: bgp.target: found "dns:///x", want HOST:PORT or unix:///PATH`},
		{"relative socket", "[bgp]\ntarget = \"unix://x\"", `f:2:1: bgp.target: found "unix://x", want HOST:PORT or unix:///PATH`},
		{"half a key pair", "[bgp]\ntls = { cert_file = \"/x\" }", "f:2:1: bgp.tls: cert_file and key_file go together"},
		{"next hop of the other family", "[bgp]\nnext_hop = \"2001:db8::1\"", "f:2:1: bgp.next_hop: found 2001:db8::1, want an IPv4 address"},
		{"no next hop", "[bgp]\nnext_hop_ipv6 = \"::\"", "f:2:1: bgp.next_hop_ipv6: found ::, want an IPv6 address"},
		{"bad community", "[bgp]\ncommunities = [\"1:70000\"]", `"1:70000" is not a community such as 64512:100 or no-export`},
		{"bad med", "[bgp]\nmed = \"prio\"", `found prio, want a number from 0 to 4294967295, or "priority"`},
		{"negative med", "[bgp]\nmed = -1", `found -1, want a number from 0 to 4294967295, or "priority"`},
		{"two at once", "x = 1\n[hook.a]\nkind = \"bgp\"\nurl = \"x\"", "f:1:1: x: no such key\nf:4:1: hook.a.url: this is a key of kind webhook, not of bgp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := parseConfig("f", []byte(tt.text))
			if err == nil || cfg != nil {
				t.Fatalf("got %+v, %v", cfg, err)
			}
			whole := strings.HasPrefix(tt.want, "f:1:1:") || strings.Contains(tt.want, ": hook") || strings.Contains(tt.want, ": bgp.")
			if got := err.Error(); whole && got != tt.want || !strings.Contains(got, tt.want) || !strings.HasPrefix(got, "f:") {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("a secret in %v", err)
			}
		})
	}
}

// The file's order is that of the hooks, and what is not written has its default.
func TestConfig(t *testing.T) {
	cfg, err := parseConfig("f", []byte(`
[hook.zeta]
kind = "bgp"
[hook."a b"]
kind = "unit"
unit = "relay"
action = "stop"
from = ["MASTER"]
group = ["G*"]
timeout = "2s"
required = true
[bgp]
communities = ["64512:100", "no-export"]
med = "priority"
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Hooks) != 2 || cfg.StateDir != defaultStateDir {
		t.Fatalf("got %+v", cfg)
	}
	route, unit := cfg.Hooks[0], cfg.Hooks[1]
	if route.Name != "zeta" || route.Timeout != 5*time.Second || !slices.Equal(route.Instances, []string{"*"}) || route.Required {
		t.Errorf("got %+v", route)
	}
	if unit.Name != "a b" || unit.Timeout != 2*time.Second || !unit.Required || unit.Instances != nil ||
		!slices.Equal(unit.States, transitions) || !slices.Equal(unit.From, []keepalived.State{keepalived.Master}) ||
		*unit.action.(*unitAction) != (unitAction{"relay.service", "stop"}) {
		t.Errorf("got %+v, %+v", unit, unit.action)
	}
	if !slices.Equal(cfg.BGP.Communities, []uint32{64512<<16 | 100, 0xffffff01}) || !cfg.BGP.MED.byPriority {
		t.Errorf("got %+v", cfg.BGP)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("[hook.a]\nkind = \"bgp\"\n[bgp]\nmed = 1\n"))
	f.Add([]byte("[hook.a]\nkind = \"unit\"\nunit = \"x\"\naction = \"stop\"\n"))
	f.Add([]byte("[[hook]]\nkind = 1\n[hook.\"\"]\n"))
	f.Add([]byte("hook = {a = {kind = \"webhook\", url = \"http://x\"}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := parseConfig("f", data)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("got %v and %v", cfg, err)
		}
		if cfg == nil {
			return
		}
		c := &change{Event: keepalived.Event{Kind: keepalived.InstanceEvent, Name: "VI_1", State: keepalived.Stop}, relay: &relay{}}
		for _, h := range cfg.Hooks {
			if h.action.plan(c) == "" || h.Timeout <= 0 || len(h.States) == 0 {
				t.Errorf("hook %+v", h)
			}
		}
	})
}

// What somebody else could change is refused, with the part that is wrong and its mode.
func TestInsecure(t *testing.T) {
	r := newRoom(t, "[hook.a]\nkind = \"exec\"\ncommand = [\"@/open/hook\"]\n")
	if err := os.Mkdir(r.path("open"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.write("open/hook", "#!/bin/sh\ntouch @/ran\n", 0o755)
	chmod := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(r.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	event := []string{"INSTANCE", "VI_1", "BACKUP", "100"}
	chmod("notify.toml", 0o666)
	code, _, stderr := r.run(event...)
	if say := "kad-notify: " + r.path("notify.toml") + " is insecure: " + r.path("notify.toml") + " can be written by everybody (mode 0666)\n"; code != cli.BadConfig || !strings.Contains(stderr, say) {
		t.Errorf("writable notify.toml: %d, %s", code, stderr)
	}
	chmod("notify.toml", 0o644)
	chmod("open", 0o777)
	code, _, stderr = r.run(event...)
	if say := "hook a: " + r.path("open/hook") + " is insecure: " + r.path("open") + " can be written by everybody (mode 0777)\n"; code != cli.Failure || !strings.Contains(stderr, say) {
		t.Errorf("writable directory: %d, %s", code, stderr)
	}
	chmod("open", 0o755)
	if err := os.Chown(r.path("open/hook"), 1234, 0); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = r.run(event...)
	if say := r.path("open/hook") + " belongs to uid 1234\n"; code != cli.Failure || !strings.Contains(stderr, say) {
		t.Errorf("owner of the program: %d, %s", code, stderr)
	}
	if _, err := os.Stat(r.path("ran")); err == nil {
		t.Error("the program was run")
	}
	if err := os.Chown(r.path("open/hook"), 0, 0); err != nil {
		t.Fatal(err)
	}
	chmod("open", 0o777|os.ModeSticky) // with the sticky bit nobody else can replace the program
	if code, _, stderr = r.run(event...); code != cli.OK {
		t.Errorf("sticky directory: %d, %s", code, stderr)
	}
	if err := os.Symlink(r.path("open"), filepath.Join(r.dir, "link")); err != nil {
		t.Fatal(err)
	}
	chmod("open", 0o775)
	if err := keepalived.Secure(r.path("link/hook")); err != nil {
		t.Errorf("group root: %v", err)
	}
}
