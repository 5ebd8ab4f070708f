// Package layers reads the imports of the whole repository and holds them against the rules of
// docs/style.md, "Who imports whom".
package layers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rooms has the packages from the top row to the bottom one. A package may import from rows below
// its own, and what belongs to its own room: the directories under it.
var rooms = [][]string{
	{"integration", "examples"},
	{"kad-status", "kad-track", "kad-notify", "forwarder"},
	{"kad-track/internal/dbus", "kad-notify/internal/bgp", "forwarder/internal/daemon", "forwarder/internal/convert"},
	{"forwarder/internal/config", "forwarder/internal/control"},
	{"forwarder/internal/source", "forwarder/internal/destination", "forwarder/internal/loadgen"},
	{"forwarder/internal/logpath", "forwarder/internal/queue"},
	{"forwarder/internal/parser", "forwarder/internal/rewrite"},
	{"forwarder/internal/filter"},
	{"forwarder/internal/jetstream", "forwarder/internal/kafka", "forwarder/internal/template"},
	{"forwarder/internal/match"},
	{"forwarder/internal/letter", "forwarder/internal/logmsg", "forwarder/internal/option", "forwarder/internal/rawsocket", "forwarder/internal/relp", "forwarder/internal/stats"},
	{"pkg/conf", "pkg/control", "pkg/keepalived", "pkg/syslog", "pkg/vip", "pkg/cli", "pkg/dbustest"},
	{"pkg/atomicfile", "pkg/output", "pkg/spelling", "pkg/testneed"},
}

// doors has the rooms that may import a dependency. golang.org/x is as free as the standard library.
var doors = map[string][]string{
	"github.com/BurntSushi/toml":     {"pkg/conf", "forwarder/internal/config"},
	"github.com/coreos/go-systemd":   {"kad-track", "kad-notify", "forwarder/internal/daemon"},
	"github.com/godbus/dbus":         {"pkg/dbustest"},
	"github.com/nats-io":             {"forwarder/internal/jetstream"},
	"github.com/osrg/gobgp":          {"kad-notify/internal/bgp"},
	"github.com/pelletier/go-toml":   {"pkg/conf"},
	"github.com/pires/go-proxyproto": {"forwarder/internal/source"},
	"github.com/twmb/franz-go":       {"forwarder/internal/kafka"},
	"github.com/urfave/cli":          {"pkg/cli"},
	"github.com/vishvananda":         {"pkg/vip"},
	"google.golang.org/grpc":         {"kad-notify/internal/bgp"},
	"google.golang.org/protobuf":     {"kad-notify/internal/bgp"},
}

// heavy has what costs each start of a binary, and the binaries that may pay; no tool has a test in it.
var heavy = map[string][]string{
	"github.com/nats-io":                 {"forwarder"},
	"github.com/osrg/gobgp":              {"kad-notify"},
	"github.com/twmb/franz-go":           {"forwarder"},
	"github.com/twmb/franz-go/pkg/kfake": nil,
	"google.golang.org/grpc":             {"kad-notify"},
	"testing":                            nil,
}

// pkg is what `go list` says of a package, without its tests.
type pkg struct {
	ImportPath string
	Name       string
	Imports    []string
	Deps       []string
}

func TestRepository(t *testing.T) {
	for _, broken := range check(list(t, "../..")) {
		t.Error(broken)
	}
}

// The rules find what is wrong: testdata/bad breaks each of them once.
func TestBadRepository(t *testing.T) {
	got := check(list(t, "testdata/bad"))
	want := []string{
		"forwarder imports github.com/vishvananda/netlink, whose door is pkg/vip",
		"forwarder/internal/logmsg imports forwarder/internal/logpath, which is above it",
		"forwarder/internal/logpath imports github.com/example/left-pad, which has no door in doors",
		"forwarder/internal/util stands in no row of rooms",
		"integration/lab imports pkg/vip: integration knows binaries, not packages",
		"kad-notify/internal/bgp imports pkg/cli, which is for main packages",
		"kad-status contains testing",
		"kad-status imports kad-track, which is beside it",
		"kad-track contains testing",
		"pkg/vip imports pkg/keepalived, which is beside it",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// list returns the packages of the module in dir that have more than tests.
func list(t *testing.T, dir string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Imports,Deps", "./...")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list in %s: %v", dir, err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Name != "" && !strings.HasSuffix(p.Name, "_test") {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no packages in %s", dir)
	}
	return all
}

// check returns a sentence for each rule that a package breaks, sorted.
func check(all []pkg) []string {
	var broken []string
	for _, p := range all {
		path := local(p.ImportPath)
		if rank(room(path)) < 0 {
			broken = append(broken, path+" stands in no row of rooms")
			continue
		}
		for _, imported := range p.Imports {
			if why := judge(p, imported); why != "" {
				broken = append(broken, fmt.Sprintf("%s imports %s%s", path, local(imported), why))
			}
		}
		broken = append(broken, burdens(p)...)
	}
	slices.Sort(broken)
	return broken
}

// judge returns what is wrong with p importing another package, "" when nothing is.
func judge(p pkg, imported string) string {
	from := room(local(p.ImportPath))
	if !strings.HasPrefix(imported, "kad/") {
		return judgeDoor(from, imported)
	}
	to := room(local(imported))
	switch {
	case from == to:
		return ""
	case from == "integration":
		return ": integration knows binaries, not packages"
	case to == "pkg/cli" && p.Name != "main":
		return ", which is for main packages"
	case rank(to) == rank(from):
		return ", which is beside it"
	case rank(to) < rank(from) && rank(to) >= 0:
		return ", which is above it"
	}
	return ""
}

func judgeDoor(from, imported string) string {
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") || strings.HasPrefix(imported, "golang.org/x/") {
		return ""
	}
	for dependency, through := range doors {
		if within(imported, dependency) {
			if slices.Contains(through, from) {
				return ""
			}
			return ", whose door is " + strings.Join(through, ", ")
		}
	}
	return ", which has no door in doors"
}

// burdens returns what a binary must not contain.
func burdens(p pkg) []string {
	if p.Name != "main" || room(local(p.ImportPath)) == "integration" {
		return nil
	}
	var broken []string
	for dependency, allowed := range heavy {
		contained := slices.ContainsFunc(p.Deps, func(d string) bool { return within(d, dependency) })
		if contained && !slices.Contains(allowed, local(p.ImportPath)) {
			broken = append(broken, local(p.ImportPath)+" contains "+dependency)
		}
	}
	return broken
}

// room returns the room that path is in: the longest one it lies within, "" for none. What lies under
// an internal directory is a room of its own.
func room(path string) string {
	best := ""
	for _, row := range rooms {
		for _, r := range row {
			if within(path, r) && len(r) > len(best) {
				best = r
			}
		}
	}
	if strings.Contains(strings.TrimPrefix(path, best), "/internal/") {
		return ""
	}
	return best
}

// rank returns the row of a room, from the top, -1 for none.
func rank(room string) int {
	return slices.IndexFunc(rooms, func(row []string) bool { return slices.Contains(row, room) })
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func local(path string) string { return strings.TrimPrefix(path, "kad/") }
