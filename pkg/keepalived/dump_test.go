package keepalived

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// captures returns the files of that name in testdata and, when it is there, in the
// corpus: KAD_TESTDATA, or the folder shared/testdata beside the repository.
func captures(t testing.TB, name string) []string {
	t.Helper()
	corpus := os.Getenv("KAD_TESTDATA")
	if corpus == "" {
		corpus = filepath.Join("..", "..", "..", "shared", "testdata")
	}
	var all []string
	for _, pattern := range []string{
		filepath.Join("testdata", "dumps", "*", "*", name),
		filepath.Join(corpus, "keepalived", "*", "*", name),
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, files...)
	}
	if len(all) == 0 {
		t.Fatalf("no %s in testdata", name)
	}
	return all
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parseFile(t *testing.T, path string, parse func([]byte) (*Dump, error)) *Dump {
	t.Helper()
	d, err := parse(readFile(t, path))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return d
}

func TestDumpGolden(t *testing.T) {
	for name, parse := range map[string]func([]byte) (*Dump, error){
		"keepalived.data": ParseDump,
		"keepalived.json": ParseDumpJSON,
	} {
		files, err := filepath.Glob(filepath.Join("testdata", "dumps", "*", "*", name))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s in testdata: %v", name, err)
		}
		for _, file := range files {
			t.Run(file, func(t *testing.T) {
				golden(t, file+".golden", parseFile(t, file, parse))
			})
		}
	}
}

// TestCaptures parses every capture, and compares what both of its formats know.
func TestCaptures(t *testing.T) {
	for _, file := range captures(t, "keepalived*.data") {
		if base := filepath.Base(file); strings.HasPrefix(base, "keepalived_") { // parent, checker, BFD
			continue
		}
		data := readFile(t, file)
		text, err := ParseDump(data)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if !Complete(data) {
			t.Errorf("%s: not complete", file)
		}
		noSecret(t, file, text)
		files, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*.json"))
		for _, file := range files {
			switch filepath.Base(file) {
			case "addr.json", "pids.json":
				continue
			}
			fromJSON := parseFile(t, file, ParseDumpJSON)
			noSecret(t, file, fromJSON)
			agree(t, file, text, fromJSON)
		}
	}
}

func noSecret(t *testing.T, file string, d *Dump) {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"LEAK", "****"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s: the dump holds %s", file, secret)
		}
	}
}

// agree compares the instances of the two dumps of one keepalived, written one after the
// other.
func agree(t *testing.T, file string, text, fromJSON *Dump) {
	t.Helper()
	if len(text.Instances) != len(fromJSON.Instances) {
		t.Errorf("%s: %d instances, in the text %d", file, len(fromJSON.Instances), len(text.Instances))
		return
	}
	for n := range text.Instances {
		i, j := &text.Instances[n], &fromJSON.Instances[n]
		bare := len(j.VIPs) > 0 && j.VIPs[0].Device == "" // up to 2.0.10
		got := known(j, bare, func(command string) string { return command })
		want := known(i, bare, func(name string) string { return text.Script(name).Command })
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s\n got %+v\nwant %+v", file, want.Name, got, want)
		}
	}
}

// inBoth is what text and JSON know of an instance and what does not move by itself.
type inBoth struct {
	Name                                                                              string
	Version, VRID, Priority, EffectivePriority                                        int
	State                                                                             State
	LastTransition                                                                    int64 // the text of 1.x has seconds
	AdvertInterval, PreemptDelay                                                      time.Duration
	NoPreempt, Accept, PromoteSecondaries, Strict, DontTrackPrimary, SkipCheckAdvAddr bool
	Interface                                                                         string
	GARP                                                                              GARP
	VIPs, Excluded                                                                    []VIP
	Routes, Rules, Scripts, Interfaces                                                []string
	Notify                                                                            []NotifyScript
}

func known(i *Instance, bare bool, command func(script string) string) inBoth {
	k := inBoth{
		Name: i.Name, Version: i.Version, VRID: i.VRID, Priority: i.Priority,
		EffectivePriority: i.EffectivePriority,
		State:             i.State, LastTransition: i.LastTransition.Unix(),
		AdvertInterval: i.AdvertInterval, PreemptDelay: i.PreemptDelay,
		NoPreempt: i.NoPreempt, Accept: i.Accept, PromoteSecondaries: i.PromoteSecondaries,
		Strict: i.Strict, DontTrackPrimary: i.DontTrackPrimary, SkipCheckAdvAddr: i.SkipCheckAdvAddr,
		Interface: i.Interface, GARP: i.GARP, VIPs: i.VIPs, Excluded: i.Excluded,
		Routes: i.Routes, Rules: i.Rules, Notify: i.Notify,
	}
	for _, s := range i.TrackedScripts {
		k.Scripts = append(k.Scripts, command(s.Name))
	}
	for _, n := range i.TrackedInterfaces {
		k.Interfaces = append(k.Interfaces, n.Name)
	}
	if bare {
		k.VIPs, k.Excluded = nil, nil // the excluded ones are wrong if of the other family
		for _, v := range i.VIPs {
			k.VIPs = append(k.VIPs, VIP{Prefix: netip.PrefixFrom(v.Prefix.Addr(), 0)})
		}
		k.Interfaces = nil
	}
	return k
}
