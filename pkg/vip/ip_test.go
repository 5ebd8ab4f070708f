package vip

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseIP(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want []Address
		err  string
	}{
		{name: "no interface", in: `[]`, want: []Address{}},
		{name: "filtered", in: `[{},{"ifindex":2,"ifname":"eth0","addr_info":[]}]`, want: []Address{}},
		{
			name: "secondary with label",
			in: `[{"ifindex":2,"ifname":"eth0","addr_info":[{"family":"inet","local":"192.0.2.10","prefixlen":24,
				"scope":"global","secondary":true,"label":"eth0:vip1"}]}]`,
			want: []Address{{Addr: netip.MustParseAddr("192.0.2.10"), Bits: 24, Interface: "eth0", Index: 2, Label: "eth0:vip1", Scope: "global"}},
		},
		{
			name: "IPv6 flags",
			in: `[{"ifindex":3,"ifname":"vrrp.51","link":"eth0","addr_info":[{"family":"inet6","local":"2001:db8::1","prefixlen":128,
				"scope":"global","deprecated":true,"tentative":true,"dadfailed":true}]}]`,
			want: []Address{{Addr: netip.MustParseAddr("2001:db8::1"), Bits: 128, Interface: "vrrp.51", Index: 3, Scope: "global",
				Tentative: true, DADFailed: true, Deprecated: true}},
		},
		{name: "empty", in: "", err: "line 1: not the JSON of `ip -j addr show`: unexpected end of JSON input"},
		{name: "null", in: "null", err: "line 1: not the JSON of `ip -j addr show`: null"},
		{name: "cut", in: "[{\"ifname\":\n\"eth0\",", err: "line 2: not the JSON of `ip -j addr show`: unexpected end of JSON input"},
		{name: "not JSON", in: "1: lo: <LOOPBACK>", err: "line 1: not the JSON of `ip -j addr show`: invalid character ':' after top-level value"},
		{name: "an object", in: `{}`, err: "line 1: not the JSON of `ip -j addr show`: the document: found object"},
		{name: "wrong type", in: "[{\"ifname\":\"eth0\",\n\"addr_info\":[{\"prefixlen\":\"24\"}]}]", err: "line 2: not the JSON of `ip -j addr show`: addr_info.prefixlen: found string"},
		{name: "no ifname", in: `[{"addr_info":[{"local":"192.0.2.1","prefixlen":32}]}]`, err: "interface 0: addresses without ifname"},
		{name: "bad local", in: `[{"ifname":"eth0","addr_info":[{"local":"192.0.2","prefixlen":32}]}]`, err: `interface "eth0": addr_info[0]: local "192.0.2" is not an IP address`},
		{name: "zone", in: `[{"ifname":"eth0","addr_info":[{"local":"fe80::1%eth0","prefixlen":64}]}]`, err: `interface "eth0": addr_info[0]: local "fe80::1%eth0" is not an IP address`},
		{name: "no prefixlen", in: `[{"ifname":"eth0","addr_info":[{"local":"192.0.2.1"}]}]`, err: `interface "eth0": addr_info[0]: no prefixlen`},
		{name: "long prefixlen", in: `[{"ifname":"eth0","addr_info":[{"local":"192.0.2.1","prefixlen":33}]}]`, err: `interface "eth0": addr_info[0]: prefixlen 33 is not within 0 to 32`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseIP([]byte(tt.in))
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Fatalf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got == nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// The files are what ip printed on hosts that ran keepalived 2.2.7; the wanted addresses
// are those of their notes, taken from the kernel by other means.
func TestParseIPSaved(t *testing.T) {
	tests := []struct {
		file  string
		addr  string
		iface string
		bits  int
		label string
	}{
		{"vmac.json", "192.168.245.100", "vrrp.51", 24, "vrrp.51"},
		{"multivip.json", "192.168.245.110", "eth0", 24, "eth0:vip1"},
		{"multivip.json", "192.168.245.112", "eth0", 32, "eth0"},
		{"multivip.json", "2001:db8:1::120", "eth0", 64, ""},
	}
	for _, tt := range tests {
		data, err := os.ReadFile(filepath.Join("testdata", tt.file))
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := ParseIP(data)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := Held(addrs, netip.MustParseAddr(tt.addr))
		if !ok || got.Interface != tt.iface || got.Bits != tt.bits || got.Label != tt.label {
			t.Errorf("%s: %s: held %v as %+v", tt.file, tt.addr, ok, got)
		}
		if got, ok := Held(addrs, netip.MustParseAddr("192.168.245.199")); ok {
			t.Errorf("%s: 192.168.245.199 is held as %+v", tt.file, got)
		}
	}
}

func TestHeld(t *testing.T) {
	a := netip.MustParseAddr("fe80::1")
	failed := Address{Addr: a, Interface: "eth0", DADFailed: true}
	good := Address{Addr: a, Interface: "eth1", Tentative: true}
	if got, ok := Held([]Address{failed}, a); ok {
		t.Errorf("a duplicate is held as %+v", got)
	}
	if got, ok := Held([]Address{failed, good}, a.WithZone("eth1")); !ok || got != good {
		t.Errorf("held %v as %+v, want %+v", ok, got, good)
	}
}

func FuzzParseIP(f *testing.F) {
	saved, err := os.ReadFile(filepath.Join("testdata", "vmac.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(saved)
	f.Add([]byte(`[{},{"ifname":"eth0","addr_info":[{"local":"::1","prefixlen":128}]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		addrs, err := ParseIP(data)
		if (addrs == nil) != (err != nil) {
			t.Fatalf("both or neither of %v and %v", addrs, err)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("error of more than one line: %q", err)
		}
		for _, a := range addrs {
			if !netip.PrefixFrom(a.Addr, a.Bits).IsValid() || a.Interface == "" {
				t.Errorf("impossible address %+v", a)
			}
			if _, ok := Held(addrs, a.Addr); !ok && !a.DADFailed {
				t.Errorf("%s is listed but not held", a.Addr)
			}
		}
	})
}
