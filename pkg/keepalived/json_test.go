package keepalived

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const oneInstance = `[{"data":{"iname":"VI_1","vrid":51,"base_priority":150%s}}]`

func TestParseDumpJSONErrors(t *testing.T) {
	in := func(fields string) string { return strings.Replace(oneInstance, "%s", fields, 1) }
	tests := []struct {
		name, dump, want string
		truncated        bool
	}{
		{"empty", "", "truncated: the dump is empty", true},
		{"binary", "[\x00", "not a keepalived dump: binary data, a NUL at byte 1", false},
		{"text dump", "------< VRRP Topology >------\n", "byte 0: not JSON", false},
		{"too large", strings.Repeat("[", MaxDump+1), "67108865 bytes are more than the 67108864 of the largest dump", false},
		{"other JSON", `"x"`, "byte 3: not a keepalived JSON dump: want an array or an object", false},
		{"addresses", `[1]`, "byte 2: instance 1: want a {", false},
		{"instances no array", `{"vrrp":7}`, "byte 9: want a [", false},
		{"two dumps", `[][]`, "byte 3: something follows the end of the dump", false},

		{"vrid", in(`,"vrid":"x"`), `byte 65: VRRP Instance VI_1: vrid "\"x\"" is not a number`, false},
		{"priority", in(`,"base_priority":2.5`), `byte 74: VRRP Instance VI_1: base_priority "2.5" is not a number`, false},
		{"priority range", in(`,"base_priority":256`), `byte 74: VRRP Instance VI_1: base_priority "256" is not within 1 and 255`, false},
		{"state", in(`,"state":7`), `byte 64: VRRP Instance VI_1: state "7" is not INIT, BACKUP, MASTER or FAULT`, false},
		{"name", in(`,"iname":[]`), `byte 65: instance 1: iname "[]" is not a string`, false},
		{"vips", in(`,"vips":"192.0.2.1"`), `byte 73: VRRP Instance VI_1: vips "\"192.0.2.1\"" is not an array of strings`, false},
		{"vip", in(`,"vips":["192.0.2.1","gw dev eth0"]`), `byte 89: VRRP Instance VI_1: vips "gw" is not an address`, false},
		{"bool", in(`,"nopreempt":2`), `byte 68: VRRP Instance VI_1: nopreempt "2" is not true or false`, false},
		{"interval", in(`,"adver_int":-1`), `byte 69: VRRP Instance VI_1: adver_int "-1" is not a number of seconds`, false},
		{"time", in(`,"last_transition":true`), `byte 77: VRRP Instance VI_1: last_transition "true" is not a time in seconds`, false},
		{"stats", `[{"data":{"iname":"VI_1"},"stats":{"advert_sent":"many"}}]`, `byte 56: VRRP Instance VI_1: stats: advert_sent is a string, not a number`, false},
		{"process", `{"track_process":[{"process":"p","weight":"w"}]}`, `byte 45: VRRP Track process p: weight "\"w\"" is not a number`, false},
		{"no name", `[{"data":{"vrid":1,"base_priority":1}}]`, `byte 38: instance 1 has no iname`, false},
		{"no vrid", `[{"data":{"iname":"VI_1","base_priority":1}}]`, `byte 44: VRRP Instance VI_1 has no vrid`, false},
		{"no priority", `[{"data":{"iname":"VI_1","vrid":1}}]`, `byte 35: VRRP Instance VI_1 has no base_priority`, false},
		{"password breaks JSON", in(`,"auth_data":"LEAK"ME42"`), "byte 73: not JSON", false},

		{"cut in a field", in("")[:40], "truncated: the JSON stops after byte 35", true},
		{"cut after an instance", in("")[:len(in(""))-1], "truncated: the JSON stops after byte 56", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ParseDumpJSON([]byte(tt.dump))
			var syntax *SyntaxError
			if d != nil || !errors.As(err, &syntax) || err.Error() != tt.want || syntax.Truncated != tt.truncated {
				t.Fatalf("got %v, %v\nwant %s", d, err, tt.want)
			}
		})
	}
}

func TestParseDumpJSONFields(t *testing.T) {
	tests := []struct {
		name, fields string
		want         func(*Instance)
	}{
		{"unknown ones", `,"colour":{"a":[1]},"auth_data":"LEAKME42"`, func(*Instance) {}},
		{"deleted", `,"state":97`, func(i *Instance) { i.State = Deleted }},
		{"stopping", `,"state":98,"wantstate":0`, func(i *Instance) { i.State, i.WantState = Stop, Init }},
		{"bare addresses", `,"vipset":true,"vips":["192.0.2.1","2001:db8::1"],"track_ifp":["\u0080\u0012"],"evips":[]`, func(i *Instance) {
			i.VIPs = []VIP{
				{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Set: true},
				{Prefix: netip.MustParsePrefix("2001:db8::1/128"), Set: true},
			}
		}},
		{"as in the text", `,"vipset":false,"vips":["192.0.2.1\/24 dev vrrp.51@eth0 scope global set"],"track_ifp":["eth1"]`, func(i *Instance) {
			i.VIPs = []VIP{{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Device: "vrrp.51", Scope: "global", Set: true}}
			i.TrackedInterfaces = []Tracked{{Name: "eth1", NoWeight: true}}
		}},
		{"backslash and quote", `,"iname":"it\'s","track_script":["\'/bin/check\'"]`, func(i *Instance) {
			i.Name = "it's"
			i.TrackedScripts = []Tracked{{Name: "/bin/check", NoWeight: true}}
		}},
		{"control characters", ",\"iname\":\"a\x01\tb\"", func(i *Instance) { i.Name = "a\x01\tb" }},
		{"invalid UTF-8", ",\"iname\":\"Gr\xf6\xdfe\"", func(i *Instance) { i.Name = "Gr\ufffd\ufffde" }},
		{"scripts", `,"script_stop":"'\/bin\/n' 'x'","script":"'\/bin\/n'"`, func(i *Instance) {
			i.Notify = []NotifyScript{{"Stop", "'/bin/n' 'x'"}, {"Generic", "/bin/n"}}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ParseDumpJSON([]byte(strings.Replace(oneInstance, "%s", tt.fields, 1)))
			if err != nil {
				t.Fatal(err)
			}
			want := Instance{Name: "VI_1", VRID: 51, Priority: 150, Faults: -1}
			tt.want(&want)
			if got := d.Instances[0]; !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestJSONVersion2 puts a capture into the object of json_version 2 (>= 2.2.8), as
// vrrp_json_dump does.
func TestJSONVersion2(t *testing.T) {
	array := readFile(t, filepath.Join("testdata", "dumps", "2.4.3", "j-bfddown-loghost01", "keepalived.json"))
	want, err := ParseDumpJSON(array)
	if err != nil {
		t.Fatal(err)
	}
	want.Processes = []TrackProcess{{Name: "tp_sleep", Min: 1, Max: 3, Current: 2, Quorum: true, Weight: -7}}
	object := `{"vrrp":` + string(array) + `,"track_process":[{"process":"tp_sleep","param_match":"none","min_processes":1,"max_processes":3,` +
		`"current_processes":2,"have_quorum":true,"weight":-7,"terminate_delay":0,"full_command":false}],"more":[{}]}`
	got, err := ParseDumpJSON([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// FuzzParseDumpJSON: a value or a *SyntaxError, never both; and valid JSON is not mended.
func FuzzParseDumpJSON(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("testdata", "dumps", "*", "*", "keepalived.json"))
	for _, file := range files {
		f.Add(readFile(f, file))
	}
	f.Add([]byte(`{"vrrp":[],"track_process":[{"process":"p"}]}`))
	f.Add([]byte("[{\"data\":{\"iname\":\"a\\'\x01\"}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDumpJSON(data)
		var syntax *SyntaxError
		if (d == nil) != errors.As(err, &syntax) || (err == nil) != (d != nil) {
			t.Fatalf("got %v and %v", d, err)
		}
		if mended := mendJSON(data); json.Valid(data) && !bytes.Equal(mended, data) {
			t.Fatalf("mended to %q", mended)
		}
	})
}

func BenchmarkParseDumpJSON(b *testing.B) {
	data := readFile(b, filepath.Join("testdata", "dumps", "2.2.7", "k-odd-loghost01", "keepalived.json"))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseDumpJSON(data); err != nil {
			b.Fatal(err)
		}
	}
}
