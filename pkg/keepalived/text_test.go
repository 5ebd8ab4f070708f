package keepalived

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// small is the least that is a whole dump of 2.x: instance lines to be put at %s.
const small = `------< Global definitions >------
 Router ID = r1
------< VRRP Topology >------
 VRRP Instance = VI_1
   State = MASTER
   Virtual Router ID = 51
   Priority = 150
%s------< Interfaces >------
 Name = eth0
   index = 2
   State = UP, RUNNING
   MTU = 1500
`

func TestParseDumpErrors(t *testing.T) {
	in := func(lines string) string { return fmt.Sprintf(small, lines) }
	v1 := "------< VRRP Topology >------\n VRRP Instance = VI_1\n"
	tests := []struct {
		name, dump, want string
		truncated        bool
	}{
		{"empty", "", "truncated: the dump is empty", true},
		{"binary", "------< VRRP Topology >------\n\x00\x01", "not a keepalived dump: binary data, a NUL at byte 30", false},
		{"other text", "Nov 21 keepalived[1]: started\n", `not a keepalived text dump: no block "------< ... >------" at its start`, false},
		{"stats", "VRRP Instance: VI_1\n  Advertisements:\n", `not a keepalived text dump: no block "------< ... >------" at its start`, false},
		{"too large", strings.Repeat("x", MaxDump+1), "67108865 bytes are more than the 67108864 of the largest dump", false},

		{"priority", in("   Priority = 25x\n"), `line 8: VRRP Instance VI_1: priority "25x" is not a number`, false},
		{"priority 0", in("   Priority = 0\n"), `line 8: VRRP Instance VI_1: priority "0" is not within 1 and 255`, false},
		{"priority empty", in("   Priority = \n"), `line 8: VRRP Instance VI_1: priority "" is not a number`, false},
		{"priority overflow", in("   Priority = 99999999999999999999\n"), `line 8: VRRP Instance VI_1: priority "99999999999999999999" is not within 1 and 255`, false},
		{"VRID", in("   Virtual Router ID = 256\n"), `line 8: VRRP Instance VI_1: virtual router id "256" is not within 1 and 255`, false},
		{"state", in("   State = MASTR\n"), `line 8: VRRP Instance VI_1: state "MASTR" is not INIT, BACKUP, MASTER or FAULT`, false},
		{"VIP", in("   Virtual IP (1):\n     192.0.2.300/24 dev eth0\n"), `line 9: VRRP Instance VI_1: virtual ip "192.0.2.300/24" is not an address`, false},
		{"VIP bits", in("   Virtual IP Excluded :\n     192.0.2.3/33 dev eth0\n"), `line 9: VRRP Instance VI_1: virtual ip excluded "192.0.2.3/33" is not an address`, false},
		{"interval", in("   Advert interval = 1 fortnight\n"), `line 8: VRRP Instance VI_1: advert interval "1 fortnight" is not a number of seconds`, false},
		{"interval infinite", in("   Advert interval = inf sec\n"), `line 8: VRRP Instance VI_1: advert interval "inf" is not a number of seconds`, false},
		{"time", in("   Last transition = yesterday (noon)\n"), `line 8: VRRP Instance VI_1: last transition "yesterday" is not a time in seconds`, false},
		{"address", in("   Master router = gateway\n"), `line 8: VRRP Instance VI_1: master router "gateway" is not an address`, false},
		{"bool", in("   Preempt = maybe\n"), `line 8: VRRP Instance VI_1: preempt "maybe" is not yes or no`, false},
		{"weight", in("   Tracked scripts :\n     chk weight x\n"), `line 9: VRRP Instance VI_1: tracked scripts chk: weight "x" is not a number`, false},
		{"long value", in("   Priority = " + strings.Repeat("7z", 100) + "\n"), `line 8: VRRP Instance VI_1: priority "` + strings.Repeat("7z", 30) + `"... is not a number`, false},
		{"odd name", in(" VRRP Instance = a\x1b[31m\n   Priority = x\n"), `line 9: VRRP Instance "a\x1b[31m": priority "x" is not a number`, false},
		{"no name", in(" VRRP Instance = \n"), `line 8: VRRP Instance has no name`, false},
		{"group state", in("------< VRRP Sync groups >------\n VRRP Sync Group = G, FOO\n"), `line 9: VRRP Sync Group G: state "FOO" is not INIT, BACKUP, MASTER or FAULT`, false},
		{"script", in("------< VRRP Scripts >------\n VRRP Script = s\n   Rise = one\n"), `line 10: VRRP Script s: rise "one" is not a number`, false},
		{"track file", in("------< VRRP Track files >------\n Track file = f\n   Status = -\n"), `line 10: Track file f: status "-" is not a number`, false},
		{"process", in("------< VRRP Track processes >------\n VRRP Track process = p\n   Have quorum = 2\n"), `line 10: VRRP Track process p: have quorum "2" is not yes or no`, false},
		{"BFD", in("------< VRRP Track BFDs >------\n VRRP Track BFD = b\n   Weight = w\n"), `line 10: VRRP Track BFD b: weight "w" is not a number`, false},
		{"interface", in("") + "   IPv4 address = 10.0.0\n", `line 13: Interface eth0: ipv4 address "10.0.0" is not an address`, false},
		{"1.3 weight", v1 + "   Virtual Router ID = 1\n   Tracked scripts = 1\n VRRP Script = s\n   Interface weight x\n", `line 6: VRRP Instance VI_1: weight "x" is not a number`, false},

		{"line cut", strings.TrimSuffix(in(""), "00\n"), "line 12: truncated: the last line has no end", true},
		{"number cut", v1 + "   Virtual Router ID = 51\n   Priority = 24", "line 4: truncated: the last line has no end", true},
		{"no last block", in("")[:strings.Index(in(""), "------< Interfaces")], `line 7: truncated: no block "Interfaces" at the end`, true},
		{"of the parent", "------< Global definitions >------\n Router ID = r1\n", `line 2: truncated: no block "VRRP Topology" and none "Interfaces": is it of keepalived's VRRP process?`, true},
		{"last interface cut", strings.TrimSuffix(in(""), "   MTU = 1500\n"), "line 11: truncated: the last interface is not whole", true},
		{"only its head", strings.TrimSuffix(in(""), " Name = eth0\n   index = 2\n   State = UP, RUNNING\n   MTU = 1500\n"), "line 8: truncated: the last interface is not whole", true},
		{"interfaces of another dump", in("") + in("")[:strings.Index(in(""), "------< Interfaces")], `line 19: truncated: no block "Interfaces" at the end`, true},
		{"no VRID", v1 + "   Priority = 5\n", "line 4: truncated: VRRP Instance VI_1, line 2, has no Virtual Router ID", true},
		{"no priority", v1 + "   Virtual Router ID = 1\n VRRP Instance = VI_2\n", "line 4: truncated: VRRP Instance VI_1, line 2, has no Priority", true},
		{"too few VIPs", v1 + "   Virtual Router ID = 1\n   Priority = 5\n   Virtual IP = 2\n     192.0.2.1/32 dev eth0\n", "line 7: truncated: 1 more of Virtual IP", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ParseDump([]byte(tt.dump))
			var syntax *SyntaxError
			if d != nil || !errors.As(err, &syntax) || err.Error() != tt.want || syntax.Truncated != tt.truncated {
				t.Fatalf("got %v, %v\nwant %s", d, err, tt.want)
			}
			if got, want := Complete([]byte(tt.dump)), syntax.Line > 0 && !tt.truncated; got != want {
				t.Errorf("complete: got %v, want %v", got, want)
			}
		})
	}
}

func TestSyntaxErrorFile(t *testing.T) {
	_, err := ParseDump([]byte(fmt.Sprintf(small, "   Priority = 25x\n")))
	var syntax *SyntaxError
	if !errors.As(err, &syntax) {
		t.Fatal(err)
	}
	syntax.File = "keepalived.data"
	if got, want := err.Error(), `keepalived.data:8: VRRP Instance VI_1: priority "25x" is not a number`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	syntax.Line = 0
	if got, want := err.Error(), `keepalived.data: VRRP Instance VI_1: priority "25x" is not a number`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestInstanceLines has lines that no capture has.
func TestInstanceLines(t *testing.T) {
	tests := []struct {
		name, lines string
		want        func(*Instance)
	}{
		{"unknown ones", "   Colour = blue\n   Shape :\n     round\n", func(*Instance) {}},
		{"deeper below a known one", "   Master priority = 7\n     Priority = 8\n", func(i *Instance) { i.MasterPriority = 7 }},
		{"unknown state", "   State = unknown\n", func(i *Instance) { i.State = "" }},
		{"state as a number", "   State = 0\n", func(i *Instance) { i.State = Init }},
		{"no interface", "   Interface = not configured\n", func(i *Instance) { i.Interface = "" }},
		{"IPVLAN on nothing", "   Interface = ipv, ipvlan on (unknown)\n", func(i *Instance) { i.Interface = "ipv" }},
		{"VMAC of 2.0.0", "   Interface = vrrp.1, vmac on eth0, xmit base i/f\n", func(i *Instance) {
			i.Interface, i.BaseInterface, i.XmitBase = "vrrp.1", "eth0", true
		}},
		{"master heard of nobody", "   Master router = 0.0.0.0\n", func(*Instance) {}},
		{"no VIP", "   Virtual IP (1):\n     None\n", func(*Instance) {}},
		{"VIP cut at 255 bytes", "   Virtual IP (1):\n     ::1 dev\n", func(i *Instance) {
			i.VIPs = []VIP{{Prefix: netip.MustParsePrefix("::1/128")}}
		}},
		{"VIP on an interface that is gone", "   Virtual IP (1):\n     192.0.2.1 dev (null)@NOWHERE scope set label set\n", func(i *Instance) {
			i.VIPs = []VIP{{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Scope: "set", Label: "set"}}
		}},
		{"tracked name with all separators", "   Tracked files :\n     a, weight 3 = b:, weight -2 reverse\n", func(i *Instance) {
			i.TrackedFiles = []Tracked{{Name: "a, weight 3 = b:", Weight: -2, Reverse: true}}
		}},
		{"tracked without weight", "   Tracked BFDs :\n     b\n", func(i *Instance) {
			i.TrackedBFDs = []Tracked{{Name: "b", NoWeight: true}}
		}},
		{"name that starts with a blank", "   Tracked scripts :\n      s weight 0\n", func(i *Instance) {
			i.TrackedScripts = []Tracked{{Name: " s"}}
		}},
		{"checksums below a peer", "   Unicast Peer :\n     192.0.2.9 min_ttl 0 max_ttl 255\n       last rx checksum = 0x1, priority 2\n", func(i *Instance) {
			i.Unicast, i.UnicastPeers = true, append(i.UnicastPeers, netip.MustParsePrefix("192.0.2.9/32").Addr())
		}},
		{"password that looks like lines", "   Password = State = FAULT\n   Password =    Priority = 1\n", func(*Instance) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ParseDump([]byte(fmt.Sprintf(small, tt.lines)))
			if err != nil {
				t.Fatal(err)
			}
			want := Instance{Name: "VI_1", Line: 4, State: Master, VRID: 51, Priority: 150, Faults: -1}
			tt.want(&want)
			if got := *d.Instance("VI_1"); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestJoinedDumps: with other processes' dumps around it, and with another one of VRRP.
func TestJoinedDumps(t *testing.T) {
	other := "------< Global definitions >------\n Router ID = r1\n------< BFD Topology >------\n BFD Instance = b\n   State = UP\n   Priority = x\n"
	whole := fmt.Sprintf(small, "")
	for name, dump := range map[string]string{"before": other + whole, "after": whole + other, "between": whole + other + whole} {
		d, err := ParseDump([]byte(dump))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := len(d.Instances), strings.Count(dump, "VI_1"); got != want || !Complete([]byte(dump)) {
			t.Errorf("%s: %d instances, complete %v; want %d", name, got, Complete([]byte(dump)), want)
		}
	}
}

// TestCutDumps cuts captures at every byte. A dump of 2.x must be called truncated while
// it has no interface, and each when the cut is within a line.
func TestCutDumps(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "dumps", "*", "*", "keepalived.data"))
	if err != nil || len(files) == 0 {
		t.Fatal("no captures", err)
	}
	for _, file := range files {
		data := readFile(t, file)
		interfaces := bytes.Index(data, []byte("------< Interfaces"))
		for n := range data {
			cut := data[:n]
			_, err := ParseDump(cut)
			var syntax *SyntaxError
			truncated := errors.As(err, &syntax) && syntax.Truncated
			if err != nil && !truncated {
				t.Fatalf("%s: cut at %d: %v, not truncated", file, n, err)
			}
			if Complete(cut) == truncated {
				t.Fatalf("%s: cut at %d: complete %v, but error %v", file, n, Complete(cut), err)
			}
			must := n <= interfaces || n == 0 || cut[n-1] != '\n' && !endsUnended(string(cut))
			if must && !truncated {
				t.Fatalf("%s: cut at %d is not seen", file, n)
			}
		}
	}
}

// TestHostileDumps: what is long must not take long, whatever it is made of.
func TestHostileDumps(t *testing.T) {
	const size = 4 << 20
	v1 := "------< VRRP Topology >------\n VRRP Instance = VI_1\n   Virtual Router ID = 1\n   Priority = 1\n"
	for name, part := range map[string]string{
		"one line of blanks":   " ",
		"joined lines":         "   Master advert interval = 1 sec",
		"blocks":               "------< VRRP Topology >------\n",
		"scripts":              " VRRP Script = s\n",
		"words":                "     192.0.2.1/32 dev eth0 ",
		"headless assignments": " = = = ",
		"interfaces":           "------< NIC >------\n Name = eth0\n",
	} {
		start := time.Now()
		data := []byte(v1 + "   Tracked interfaces = 9\n" + strings.Repeat(part, size/len(part)) + "\n")
		ParseDump(data)
		Complete(data)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %v for %d bytes", name, took, len(data))
		}
	}
}

var passwordLine = regexp.MustCompile(`(?m)^   Password = .*$`)

// FuzzParseDump: a value or a *SyntaxError, never both; Complete is true unless the error
// says truncated; and the password makes no difference to either.
func FuzzParseDump(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("testdata", "dumps", "*", "*", "keepalived.data"))
	for _, file := range files {
		f.Add(readFile(f, file))
	}
	f.Add([]byte(fmt.Sprintf(small, "")))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDump(data)
		var syntax *SyntaxError
		if (d == nil) != errors.As(err, &syntax) || (err == nil) != (d != nil) {
			t.Fatalf("got %v and %v", d, err)
		}
		if !Complete(data) && err == nil {
			t.Fatal("not complete, but parsed")
		}
		if bytes.IndexByte(data, 0) >= 0 {
			return
		}
		other, otherErr := ParseDump(passwordLine.ReplaceAll(data, []byte("   Password = x")))
		if !reflect.DeepEqual(d, other) || fmt.Sprint(err) != fmt.Sprint(otherErr) {
			t.Fatalf("with another password\ngot %+v, %v\nwant %+v, %v", other, otherErr, d, err)
		}
	})
}

// BenchmarkParseDump parses the dump of a pair's host, and the same with more instances.
func BenchmarkParseDump(b *testing.B) {
	data := readFile(b, filepath.Join("testdata", "dumps", "2.4.3", "c-weightneg-loghost01", "keepalived.data"))
	start := bytes.Index(data, []byte(" VRRP Instance = "))
	end := bytes.Index(data, []byte("------< VRRP Sockpool"))
	for _, n := range []int{1, 25, 250} {
		many := bytes.Join([][]byte{data[:start], bytes.Repeat(data[start:end], n), data[end:]}, nil)
		b.Run(fmt.Sprintf("instances=%d", 2*n), func(b *testing.B) {
			b.SetBytes(int64(len(many)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseDump(many); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
