package keepalived

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// captureDirs are directories of captures of real keepalived: our own, and the whole
// corpus when it is there.
func captureDirs(t *testing.T) []string {
	t.Helper()
	corpus := os.Getenv("KAD_TESTDATA")
	if corpus == "" {
		corpus = "../../../shared/testdata"
	}
	dirs, err := filepath.Glob("testdata/config/*/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no captures in testdata/config (%v)", err)
	}
	more, err := filepath.Glob(filepath.Join(corpus, "keepalived/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(dirs, more...)
}

func loadCapture(t *testing.T, dir string) *Config {
	t.Helper()
	c, err := LoadConfig(filepath.Join(dir, "keepalived.conf"), captureOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// captureOptions: a capture's directory ends with the host it was taken on.
func captureOptions(dir string) ConfigOptions {
	return ConfigOptions{HostID: dir[strings.LastIndexByte(dir, '-')+1:]}
}

// A dumpedInstance is what a dump says of the things that a configuration says too.
type dumpedInstance struct {
	Name           string
	VRID, Priority int
	VIPs           []string
}

var dumpedVIP = regexp.MustCompile(`^     ([0-9a-f.:]+)(/\d+)?(?: brd \S+)? dev `)

func readDumped(t *testing.T, file string) []dumpedInstance {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []dumpedInstance
	var in *dumpedInstance
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		key, value, _ := strings.Cut(line, " = ")
		switch {
		case key == " VRRP Instance":
			all = append(all, dumpedInstance{Name: value})
			in = &all[len(all)-1]
		case strings.HasPrefix(line, "------<"):
			in = nil
		case in == nil:
		case key == "   Virtual Router ID":
			in.VRID, _ = strconv.Atoi(value)
		case key == "   Priority":
			in.Priority, _ = strconv.Atoi(value)
		default:
			if m := dumpedVIP.FindStringSubmatch(line); m != nil {
				if m[2] == "" {
					m[2] = map[bool]string{true: "/128", false: "/32"}[strings.Contains(m[1], ":")]
				}
				in.VIPs = append(in.VIPs, m[1]+m[2])
			}
		}
	}
	return all
}

func configured(c *Config) []dumpedInstance {
	var all []dumpedInstance
	for _, in := range c.Instances {
		d := dumpedInstance{Name: in.Name, VRID: in.VRID, Priority: in.Priority}
		for _, v := range slices.Concat(in.VIPs, in.Excluded) {
			d.VIPs = append(d.VIPs, v.Prefix.String())
		}
		all = append(all, d)
	}
	return all
}

func TestConfigAgreesWithDump(t *testing.T) {
	for _, dir := range captureDirs(t) {
		dump := filepath.Join(dir, "keepalived.data")
		if _, err := os.Stat(dump); err != nil {
			continue
		}
		t.Run(dir, func(t *testing.T) {
			got, want := configured(loadCapture(t, dir)), readDumped(t, dump)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("configured\n%v, the dump has\n%v", got, want)
			}
		})
	}
}

var (
	notedMaster = regexp.MustCompile(`configured MASTER here: ([\w, ]+)`)
	notedBackup = regexp.MustCompile(`configured BACKUP(?: still)?: ([\w, ]+)`)
)

// TestConfigRoles compares with what a capture's NOTES say of the configured roles: what
// keepalived was made to run with, not what it reports.
func TestConfigRoles(t *testing.T) {
	checked := 0
	for _, dir := range captureDirs(t) {
		notes, err := os.ReadFile(filepath.Join(dir, "NOTES"))
		if err != nil {
			t.Fatal(err)
		}
		for role, noted := range map[State]*regexp.Regexp{Master: notedMaster, Backup: notedBackup} {
			m := noted.FindSubmatch(notes)
			if m == nil {
				continue
			}
			c := loadCapture(t, dir)
			for _, name := range strings.Split(string(m[1]), ", ") {
				checked++
				if in := c.Instance(name); in == nil || in.State != role {
					t.Errorf("%s: instance %s is %+v, want %s", dir, name, in, role)
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no NOTES tell configured roles")
	}
}

// TestConsolidated: the copy that keepalived holds says what the files say, at the same places.
func TestConsolidated(t *testing.T) {
	for _, dir := range captureDirs(t) {
		text, err := os.ReadFile(filepath.Join(dir, "consolidated_configuration"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		t.Run(dir, func(t *testing.T) {
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseConsolidated(text, "/etc/keepalived/keepalived.conf", captureOptions(dir))
			if err != nil {
				t.Fatal(err)
			}
			want := loadCapture(t, dir)
			walkPos(reflect.ValueOf(got), func(p *Pos) { p.File = path.Base(p.File) })
			walkPos(reflect.ValueOf(want), func(p *Pos) { p.File = path.Base(p.File) })
			if !reflect.DeepEqual(got, want) {
				t.Errorf("consolidated:\n%+v\nfiles:\n%+v", got, want)
			}
		})
	}
}

// walkPos calls f for each Pos in v.
func walkPos(v reflect.Value, f func(*Pos)) {
	switch v.Kind() {
	case reflect.Pointer:
		walkPos(v.Elem(), f)
	case reflect.Slice:
		for i := range v.Len() {
			walkPos(v.Index(i), f)
		}
	case reflect.Struct:
		if p, ok := v.Addr().Interface().(*Pos); ok {
			f(p)
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				walkPos(v.Field(i), f)
			}
		}
	}
}

func TestConfigKeepsNoPassword(t *testing.T) {
	seen := false
	for _, dir := range captureDirs(t) {
		text, err := os.ReadFile(filepath.Join(dir, "keepalived.conf"))
		if err != nil {
			t.Fatal(err)
		}
		seen = seen || strings.Contains(string(text), "LEAKME")
		if all := fmt.Sprintf("%+v", loadCapture(t, dir)); strings.Contains(all, "LEAKME") {
			t.Errorf("%s: the password is kept: %s", dir, all)
		}
	}
	if !seen {
		t.Error("no capture has a password")
	}
}

// summary is a line for each instance: what keepalived's dump shows of it.
func summary(c *Config) string {
	var b strings.Builder
	for _, in := range c.Instances {
		fmt.Fprintf(&b, "%s: %s %d vrid %d %s", in.Name, in.State, in.Priority, in.VRID, in.Interface)
		if in.VMAC != "" {
			fmt.Fprintf(&b, " vmac %s", in.VMAC)
		}
		for _, v := range in.VIPs {
			b.WriteString(" " + v.Prefix.String())
			if v.Device != "" {
				b.WriteString("@" + v.Device)
			}
		}
		for _, v := range in.Excluded {
			b.WriteString(" (" + v.Prefix.String() + ")")
		}
		for _, t := range slices.Concat(in.TrackScripts, in.TrackFiles, in.TrackInterfaces, in.TrackProcesses, in.TrackBFDs) {
			fmt.Fprintf(&b, " track %s", t.Name)
			if t.Unknown {
				b.WriteString("?")
			}
			if t.Weight != 0 {
				fmt.Fprintf(&b, "%+d", t.Weight)
			}
			if t.Reverse {
				b.WriteString(" reverse")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func loadFiles(files map[string]string, opt ConfigOptions) (*Config, error) {
	return readConfig(readerOf(files, opt))
}

// readerOf reads files as if they were all there is; it begins with /etc/keepalived/keepalived.conf.
func readerOf(files map[string]string, opt ConfigOptions) *confReader {
	m := fstest.MapFS{}
	for name, text := range files {
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o755
		}
		m[name] = &fstest.MapFile{Data: []byte(text), Mode: mode}
	}
	r := newConfReader(slashFS{m}, opt)
	r.include("/etc/keepalived/keepalived.conf", 'a', Pos{File: "/etc/keepalived/keepalived.conf"})
	return r
}

// A slashFS is an fs.FS with names that start with a slash, as confRootFS has them.
// A name with "secret" in it may not be read.
type slashFS struct{ fs.FS }

func (s slashFS) Open(name string) (fs.File, error) {
	if strings.Contains(name, "secret") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	if name = strings.TrimPrefix(path.Clean(name), "/"); name == "" {
		name = "."
	}
	return s.FS.Open(name)
}

const mainFile = "etc/keepalived/keepalived.conf"

func conf(text string) map[string]string { return map[string]string{mainFile: text} }

// configCases are configurations, and what the real keepalived 2.2.7 made of each when
// started with -i loghost01: its dump, the role as its -d logs it at the start. Trackers
// with a question mark it ignored.
var configCases = []struct {
	name  string
	files map[string]string
	want  string
}{
	{"defaults", conf(`
vrrp_instance none {
  interface eth0
  virtual_router_id 1
}
vrrp_instance owner {
  interface eth0
  virtual_router_id 2
  priority 255
}
vrrp_instance master {
  state MASTER
  interface eth0
  virtual_router_id 3
}
vrrp_instance odd {
  state master
  interface eth0
  virtual_router_id 4
  priority 300
}`), `
none: BACKUP 100 vrid 1 eth0
owner: MASTER 255 vrid 2 eth0
master: MASTER 255 vrid 3 eth0
odd: BACKUP 100 vrid 4 eth0
`},
	{"a later line counts, but MASTER stays", conf(`
vrrp_instance a { state MASTER
  interface eth1
  interface eth0
  virtual_router_id 10
  virtual_router_id 11
  state BACKUP
  priority 120
  priority 300 # out of range: 100
}
vrrp_instance b {
  state BACKUP
  state MASTER
  interface eth0
  virtual_router_id 12
  virtual_router_id 300
  priority 7x
}`), `
a: MASTER 100 vrid 11 eth0
b: MASTER 100 vrid 12 eth0
`},
	{"strict mode", conf(`
global_defs {
  vrrp_strict
}
vrrp_instance a {
  state MASTER
  interface eth0
  virtual_router_id 1
  priority 200
  virtual_ipaddress { 10.0.0.1 }
}
vrrp_instance b {
  state BACKUP
  interface eth0
  virtual_router_id 2
  priority 255
  virtual_ipaddress { 10.0.0.2 }
}
vrrp_instance c {
  strict_mode off
  state MASTER
  interface eth0
  virtual_router_id 3
  priority 200
  virtual_ipaddress { 10.0.0.3 }
}`), `
a: BACKUP 200 vrid 1 eth0 10.0.0.1/32
b: MASTER 255 vrid 2 eth0 10.0.0.2/32
c: MASTER 200 vrid 3 eth0 10.0.0.3/32
`},
	{"AH starts as BACKUP", conf(`
vrrp_instance ah {
  state MASTER
  interface eth0
  virtual_router_id 1
  priority 200
  authentication {
    auth_type AH
    auth_pass secret
  }
}
vrrp_instance without {
  state MASTER
  interface eth0
  virtual_router_id 2
  priority 200
  authentication {
    auth_type AH
  }
}
vrrp_instance v3 {
  version 3
  state MASTER
  interface eth0
  virtual_router_id 3
  priority 200
  authentication {
    auth_type AH
    auth_pass secret
  }
  virtual_ipaddress { 10.0.0.3 }
}`), `
ah: BACKUP 200 vrid 1 eth0
without: MASTER 200 vrid 2 eth0
v3: MASTER 200 vrid 3 eth0 10.0.0.3/32
`},
	{"several tokens on a line", conf(`
vrrp_instance A { state MASTER
  interface eth0 priority 9
  virtual_router_id 11
  virtual_ipaddress { 192.168.245.100 192.168.245.109
  192.168.245.101/24 dev eth1 label eth1:x } priority 8
}
vrrp_instance B
{
  interface eth0
  virtual_router_id 12
  virtual_ipaddress { 192.168.245.102 } }
vrrp_instance C{interface eth0
virtual_router_id 13}`), `
A: MASTER 8 vrid 11 eth0 192.168.245.100/32 192.168.245.101/24@eth1
B: BACKUP 100 vrid 12 eth0 192.168.245.102/32
C: BACKUP 100 vrid 13 eth0
`},
	{"the brace of an unknown keyword ends the block around it", conf(`
vrrp_instance A {
  interface eth0
  virtual_router_id 1
  foo { state MASTER
  }
  priority 7
}
vrrp_instance B {
  interface eth0
  virtual_router_id 2
}`), `
A: MASTER 255 vrid 1 eth0
B: BACKUP 100 vrid 2 eth0
`},
	{"names", conf(`
vrrp_instance "with # hash" { # comment }
  interface eth0
  virtual_router_id 1
}
vrrp_instance 'sq {
  interface eth0
  virtual_router_id 2
}
vrrp_instance a"b c"d {
  virtual_router_id 3
}
vrrp_instance "sp ace" junk {
  virtual_router_id 4
}
vrrp_instance {
  virtual_router_id 5
}
vrrp_instance "{x}" {
  interface eth0
  virtual_router_id 6
}
vrrp_instance "State = MASTER" {
  interface eth0
  virtual_router_id 7
}
vrrp_instance a=b!c {
  interface eth0
  virtual_router_id 8
}
{
  virtual_router_id 9
}
vrrp_instance 'sq {
  virtual_router_id 10
}
vrrp_instance last {
  interface eth0
  virtual_router_id 11
`), `
with # hash: BACKUP 100 vrid 1 eth0
'sq: BACKUP 100 vrid 2 eth0
{x}: BACKUP 100 vrid 6 eth0
State = MASTER: BACKUP 100 vrid 7 eth0
a=b: BACKUP 100 vrid 8 eth0
last: BACKUP 100 vrid 11 eth0
`},
	{"comments", conf("vrrp_instance A { ! state MASTER\r\n" + `
# vrrp_instance no { state MASTER }
	! state MASTER
  interface eth0
  priority 7 # state MASTER { "
  virtual_router_id 4
}
vrrp_instance B {
  interface eth0
  virtual_router_id 5
  priority 7
  priority 8 # a backslash at the end stays in the line \
}
vrrp_instance c\#d {
  interface eth0
  virtual_router_id 6
}
`), `
A: BACKUP 7 vrid 4 eth0
B: BACKUP 100 vrid 5 eth0
c: BACKUP 100 vrid 6 eth0
`},
	{"variables", conf(`
$A=10.0.0
$B=$C
$C=MASTER
$_p1 = 3
$P=7
vrrp_instance x$A {
  state $B
  interface eth0
  virtual_router_id 1
  priority $P
  virtual_ipaddress {
    $A.1
    ${A}.2
    ${A}${A}
    ${NONE}.4
  }
}
$P=8
$C=BACKUP
vrrp_instance x${A}/$A, {
  state ${B}
  interface eth0
  virtual_router_id 2
  priority $P # $A
}
$NAME="a b"
vrrp_instance $NAME {
  interface eth0
  virtual_router_id 3
}
vrrp_instance $A-1 {
  interface eth0
  virtual_router_id 4
}`), `
x10.0.0: MASTER 7 vrid 1 eth0 10.0.0.2/32
x10.0.0/10.0.0,: BACKUP 8 vrid 2 eth0
a b: BACKUP 100 vrid 3 eth0
$A-1: BACKUP 100 vrid 4 eth0
`},
	{"multi-line definitions", conf(`
$VIPS= \
  virtual_ipaddress { \
  10.0.0.1 \
  10.0.0.2 }
$STATE=state MASTER \
  priority 9
$LATE=priority 5 \

$CUT= \
  priority 6 \
  # a comment ends it: in the copy that keepalived reads it is an empty line
  state MASTER \
  priority 7
vrrp_instance A {
  interface eth0
  virtual_router_id 1
  $STATE
  $VIPS
}
vrrp_instance B {
  interface eth0
  virtual_router_id 2
  $LATE
  $CUT
  $STATE x
}`), `
A: MASTER 9 vrid 1 eth0 10.0.0.1/32 10.0.0.2/32
B: BACKUP 6 vrid 2 eth0
`},
	{"host lines", conf(`
@loghost01 $ROLE=MASTER
@loghost02 $ROLE=BACKUP
vrrp_instance A {
  state $ROLE
  interface eth0
  @loghost01 priority 10
  @^loghost01 priority 20
	@loghost02	virtual_router_id 2
  @loghost01	virtual_router_id 1
  @loghost01
}
@loghost02 vrrp_instance B {
@loghost02 }
@loghost01 @loghost01 vrrp_instance C {
@^loghost02 vrrp_instance D { @loghost01 priority 4
  interface eth0
  virtual_router_id 3
}`), `
A: MASTER 10 vrid 1 eth0
D: BACKUP 4 vrid 3 eth0
`},
	{"standard definitions", conf(`
vrrp_instance "${_INSTANCE}${_HASH}${_BANG}" {
  interface eth0
  virtual_router_id ${_RANDOM 7 7}
}
vrrp_instance ${_PWD} {
  interface eth0
  virtual_router_id 3 ${_BANG} 4
}
$_HASH=x
vrrp_instance ${_HASH} {
  interface eth0
  virtual_router_id 5
}`), `
loghost01#!: BACKUP 100 vrid 7 eth0
/etc/keepalived: BACKUP 100 vrid 3 eth0
x: BACKUP 100 vrid 5 eth0
`},
	{"SEQ", conf(`
$IN= \
vrrp_instance ${P}${I} { \
  interface eth0 \
  virtual_router_id ${I} \
  ~SEQ(J, 1, 2) priority ${I}${J} \
  virtual_ipaddress { \
    ~SEQ(J, 0x1, 0x2) 10.0.${I}.${J} \
  } \
}
$P=one
~SEQ(I, 1, 1) $IN
$P=two
~SEQ(I, 4, -2, 1) $IN
$P=three
$N=8
~SEQ(I,7,$N)$IN
vrrp_instance hex {
  interface eth0
  virtual_router_id 9
  virtual_ipaddress {
~SEQx(J, 0xe, 2, 0x12) fe80::${J}
  }
}
~SEQ(I, 2, 1, 1) vrrp_instance wrong${I} {
$ONE= \
vrrp_instance m${I} { \
interface eth0 \
virtual_router_id 1${J} \
}
$J=0
~SEQ(I, -1) $ONE
$J=1
~SEQ(I, 1) $ONE
`), `
one1: BACKUP 12 vrid 1 eth0 10.0.1.1/32 10.0.1.2/32
two4: BACKUP 42 vrid 4 eth0 10.0.4.1/32 10.0.4.2/32
two2: BACKUP 22 vrid 2 eth0 10.0.2.1/32 10.0.2.2/32
three7: BACKUP 72 vrid 7 eth0 10.0.7.1/32 10.0.7.2/32
three8: BACKUP 82 vrid 8 eth0 10.0.8.1/32 10.0.8.2/32
hex: BACKUP 100 vrid 9 eth0 fe80::e/128 fe80::10/128 fe80::12/128
m-1: BACKUP 100 vrid 10 eth0
m1: BACKUP 100 vrid 11 eth0
`},
	{"LST", conf(`
$IN= \
vrrp_instance $NAME { \
  interface eth0 \
  virtual_router_id $ID \
  priority 3 $REST \
}
~LST({NAME, ID, REST}, {a, 1,$X}, {b,2}) $IN
~LST({NAME}, {a, 1}) vrrp_instance toomany { }
$IN= \
vrrp_instance n${ID} { \
  interface eth0 \
  virtual_router_id ${ID} \
}
~LST(ID, 7, 8) $IN
`), `
a: BACKUP 3 vrid 1 eth0
b: BACKUP 3 vrid 2 eth0
n7: BACKUP 100 vrid 7 eth0
n8: BACKUP 100 vrid 8 eth0
`},
	{"includes", map[string]string{
		mainFile: `
include conf.d/*.conf
include /etc/keepalived/x/{two,one,none}.conf # a comment
$D=x
includer ${D}/deep.conf
include nothing/*.conf
includer none.conf
vrrp_instance main {
  interface eth0
  virtual_router_id 1
  include body.inc
}
include x/run.sh`,
		"etc/keepalived/conf.d/b.conf":    "vrrp_instance b {\ninterface eth0\nvirtual_router_id 2\n}",
		"etc/keepalived/conf.d/a.conf":    "vrrp_instance a {\ninterface eth0\nvirtual_router_id 3\n}\n",
		"etc/keepalived/conf.d/.hid.conf": "vrrp_instance hidden {\n}\n",
		"etc/keepalived/conf.d/c.bak":     "vrrp_instance bak {\n}\n",
		"etc/keepalived/x/one.conf":       "vrrp_instance one {\ninterface eth0\nvirtual_router_id 4\n}\n",
		"etc/keepalived/x/two.conf":       "vrrp_instance two {\ninterface eth0\nvirtual_router_id 5\n}\n",
		"etc/keepalived/x/deep.conf":      "include y/deeper.conf\ninclude ../body.inc\n",
		"etc/keepalived/x/y/deeper.conf":  "vrrp_instance ${_PWD} {\ninterface eth0\nvirtual_router_id 6\n}\n",
		"etc/keepalived/x/run.sh":         "vrrp_instance script {\n}\n",
		"etc/keepalived/body.inc":         "priority 77\n",
	}, `
a: BACKUP 100 vrid 3 eth0
b: BACKUP 100 vrid 2 eth0
two: BACKUP 100 vrid 5 eth0
one: BACKUP 100 vrid 4 eth0
/etc/keepalived/x/y: BACKUP 100 vrid 6 eth0
main: BACKUP 77 vrid 1 eth0
`},
	{"addresses", conf(`
vrrp_instance A {
  interface eth0
  virtual_router_id 1
  virtual_ipaddress {
    10.0.0.1/24 brd + scope link
    10.0.0.2 dev eth0
    10.0.0.3 dev eth1
    10.0.0.4/33
    10.0.0.5/8x
    10.0.0.6/24 peer 10.0.0.66
    10.0.0.7 dev
    10.0.0.8 dev eth1 dev eth0
    10.0.0.9 label abcdefghijklmnop
    10.0.0.10 unknown word no_track
    10.0.0.300
    fe80::1
  }
  virtual_ipaddress_excluded {
    2001:DB8::1/64
    10.0.0.11
  }
}
vrrp_instance B {
  interface eth0
  virtual_router_id 2
  virtual_ipaddress
  {
    fe80::1%eth0
    fe80::2 brd 10.0.0.1
    FE80::3/64
    10.0.0.1
  }
}
vrrp_instance C {
  interface eth0
  virtual_router_id 3
  unicast_peer {
    fe80::9
  }
  virtual_ipaddress {
    10.0.0.1
    fe80::8
  }
}
vrrp_instance D {
  interface eth0
  virtual_router_id 4
  version 2
  native_ipv6
  virtual_ipaddress {
    10.0.0.2
    fe80::7
  }
}`), `
A: BACKUP 100 vrid 1 eth0 10.0.0.1/24 10.0.0.2/32 10.0.0.3/32@eth1 10.0.0.4/32 10.0.0.5/8 10.0.0.6/32 10.0.0.10/32 (2001:db8::1/64) (10.0.0.11/32)
B: BACKUP 100 vrid 2 eth0 fe80::3/64
C: BACKUP 100 vrid 3 eth0 fe80::8/128
D: BACKUP 100 vrid 4 eth0 fe80::7/128
`},
	{"VMAC names", conf(`
vrrp_instance a {
  interface eth0
  virtual_router_id 5
  use_vmac vm0 00:11:22:33:44:55
}
vrrp_instance b {
  interface eth0
  virtual_router_id 6
  use_vmac
  virtual_ipaddress {
    10.0.0.1 dev eth0
  }
}
vrrp_instance c {
  interface eth1
  virtual_router_id 6
  use_vmac vm0
  virtual_ipaddress {
    10.0.0.2 dev eth0
  }
}
vrrp_instance d {
  interface eth0
  virtual_router_id 6
  use_vmac
  virtual_ipaddress {
    fe80::1
  }
}
vrrp_instance e {
  interface eth0
  virtual_router_id 8
  use_vmac bad/name
  priority 250
}
vrrp_instance f {
  interface eth0
  virtual_router_id 9
  use_ipvlan bridge ipv.9 10.0.0.9
}`), `
a: BACKUP 100 vrid 5 eth0 vmac vm0
b: BACKUP 100 vrid 6 eth0 vmac vrrp.6 10.0.0.1/32
c: BACKUP 100 vrid 6 eth1 vmac vrrp1.6 10.0.0.2/32@eth0
d: BACKUP 100 vrid 6 eth0 vmac vrrp6.6 fe80::1/128
e: BACKUP 250 vrid 8 eth0 vmac vrrp.8
f: BACKUP 100 vrid 9 eth0 vmac ipv.9
`},
	{"trackers", conf(`
vrrp_script s1 {
  script /bin/true
  weight -5 reverse
}
vrrp_script empty {
  interval 1
}
vrrp_track_file f1 {
  file /run/f1
}
track_file f2 {
  weight 3
  file /run/f2
}
vrrp_track_process p1 {
  process syslog-ng
  weight 7
}
bfd_instance b1 {
  neighbor_ip 10.0.0.9
  weight 2
}
vrrp_instance A {
  interface eth0
  virtual_router_id 1
  track_script {
    s1
    s1 weight 9
    empty
    later weight 4
  }
  track_file { f1
    f2 weight 0 }
  track_interface {
    eth1 weight -11 reverse
    eth0 foo
    eth0 weight
  }
  track_process { p1 weight 3 noreverse }
  track_bfd { b1 }
}
vrrp_instance B {
  interface eth0
  virtual_router_id 2
  track_script {
    s1 weight 254 noreverse
  }
}
vrrp_script later {
  script /bin/true
}`), `
A: BACKUP 100 vrid 1 eth0 track s1-5 reverse track empty? track later?+4 track f1+1 track f2 track eth1-11 reverse track p1+3 track b1+2
B: BACKUP 100 vrid 2 eth0 track s1+253
`},
	{"blocks of other processes are skipped", conf(`
virtual_server 10.0.0.1 80 {
  real_server 10.0.0.2 80 {
    vrrp_instance no { state MASTER }
  }
}
virtual_server_group G
{
  10.0.0.1 80
}
track_group tg { group { a b } }
static_ipaddress { 10.0.0.1
 vrrp_instance no }
vrrp_instance yes { interface eth0
  virtual_router_id 1
}
`), `
yes: BACKUP 100 vrid 1 eth0
`},
}

func TestConfigCases(t *testing.T) {
	for _, c := range configCases {
		t.Run(c.name, func(t *testing.T) {
			got, err := loadFiles(c.files, ConfigOptions{HostID: "loghost01"})
			if err != nil {
				t.Fatal(err)
			}
			if s := "\n" + summary(got); s != c.want {
				t.Errorf("got%swant%s", s, c.want)
			}
		})
	}
}

// TestConfigGlobals has what is not of an instance, with hooks of all kinds.
func TestConfigGlobals(t *testing.T) {
	got, err := loadFiles(conf(`
instance web
instance other
net_namespace ns1
global_defs {
  router_id x
  notification_email { a@example.com
    b@example.com }
  enable_script_security
  script_user keepalived_script nogroup
  dynamic_interfaces allow_if_changes
  data_use_instance
  state_dump_file /run/dump/
  notify_fifo /run/fifo
  notify_fifo /run/second
  notify_fifo_script "/usr/bin/reader --all 'a b'" root
  vrrp_notify_fifo /run/vrrp.fifo user group
}
vrrp_sync_group G {
  group { a "b c"
    d
  }
  notify "/bin/hook G"
  track_interface { eth1 }
}
vrrp_sync_group G {
  group { x }
}
vrrp_script s {
  script "/bin/check --x \"a b\" 'c d' \x41\t\061"
  user nobody nogroup
  weight -2
}
vrrp_script s {
  script /bin/second with ignored words
}
vrrp_instance a {
  notify_master '/bin/hook master' root wheel
  notify_master "/bin/other"
  notify_deleted
}`), ConfigOptions{HostID: "loghost01"})
	if err != nil {
		t.Fatal(err)
	}
	at := func(line int) Pos { return Pos{"/etc/keepalived/keepalived.conf", line} }
	want := &Config{
		Instances: []ConfigInstance{{
			Name: "a", Pos: at(37), State: Backup, Priority: 100,
			Notify: []ConfigNotify{
				{Keyword: "notify_master", Pos: at(38), Command: "/bin/hook master", Argv: []string{"/bin/hook", "master"}, User: "root", Group: "wheel"},
			},
		}},
		Groups: []ConfigGroup{{
			Name: "G", Pos: at(19), Members: []string{"a", "b c", "d"},
			TrackInterfaces: []ConfigTrack{{Name: "eth1", Pos: at(24)}},
			Notify:          []ConfigNotify{{Keyword: "notify", Pos: at(23), Command: "/bin/hook G", Argv: []string{"/bin/hook", "G"}}},
		}},
		Scripts: []ConfigScript{
			{
				Name: "s", Pos: at(29), Command: "/bin/check --x \"a b\" 'c d' A\t1",
				Argv: []string{"/bin/check", "--x", "a b", "c d", "A", "1"}, User: "nobody", Group: "nogroup", Weight: -2,
			},
			{Name: "s", Pos: at(34), Command: "/bin/second", Argv: []string{"/bin/second"}},
		},
		Notify: []ConfigNotify{
			{Keyword: "notify_fifo", Pos: at(14), Command: "/run/fifo"},
			{Keyword: "notify_fifo_script", Pos: at(16), Command: "/usr/bin/reader --all 'a b'", Argv: []string{"/usr/bin/reader", "--all", "a b"}, User: "root"},
			{Keyword: "vrrp_notify_fifo", Pos: at(17), Command: "/run/vrrp.fifo", User: "user", Group: "group"},
		},
		ScriptSecurity: true, ScriptUser: "keepalived_script", ScriptGroup: "nogroup",
		InstanceName: "web", NetNamespace: "ns1",
		DataUseInstance: true, StateDumpFile: "/run/dump/", DynamicInterface: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestConfigErrors(t *testing.T) {
	const dir = "/etc/keepalived/"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"no file", nil, []string{dir + "keepalived.conf: cannot be read: file does not exist"}},
		{"missing parameters", conf(`
vrrp_instance a {
  state
  priority "" 7
  virtual_router_id
  notify
  authentication {
    auth_type PASS
    auth_pass
  }
}
vrrp_script {
}`), []string{
			dir + "keepalived.conf:3: state has no value: keepalived does not start with that",
			dir + "keepalived.conf:5: virtual_router_id has no value: keepalived does not start with that",
			dir + "keepalived.conf:6: notify has no value: keepalived does not start with that",
			dir + "keepalived.conf:9: auth_pass has no value: keepalived does not start with that",
			dir + "keepalived.conf:12: vrrp_script has no value: keepalived does not start with that",
		}},
		{"includes", map[string]string{
			mainFile: `
include none.conf
includer none.conf
includem none.conf
includew conf.d/*.conf
includeb {a,b}.conf
includea run.sh
include secret.conf
include secret/*.conf
include loop.conf
vrrp_instance a {
  state
}`,
			"etc/keepalived/a.conf":    "\n",
			"etc/keepalived/run.sh":    "\n",
			"etc/keepalived/loop.conf": "\ninclude ./keepalived.conf\n",
		}, []string{
			dir + "keepalived.conf:4: include " + dir + "none.conf: file does not exist",
			dir + "keepalived.conf:5: include " + dir + "conf.d/*.conf: file does not exist",
			dir + "keepalived.conf:6: include " + dir + "b.conf: file does not exist",
			dir + "keepalived.conf:7: include " + dir + "run.sh: not a regular file without execute permission: keepalived skips it",
			dir + "keepalived.conf:8: include " + dir + "secret.conf: permission denied",
			dir + "keepalived.conf:9: include " + dir + "secret/*.conf: permission denied",
			dir + "loop.conf:2: include " + dir + "keepalived.conf: includes itself",
			dir + "keepalived.conf:12: state has no value: keepalived does not start with that",
		}},
		{"a variable that stands for itself", conf("$A=${A}\n\nx $A\nvrrp_instance b {\nstate\n"), []string{
			dir + "keepalived.conf:3: $A: more than 1024 variables in a line: does it stand for itself?",
		}},
		{"an endless sequence", conf("\n~SEQ(I, 1, 9223372036854775807) x\n"), []string{
			dir + "keepalived.conf:2: the configuration, its variables and sequences expanded, is larger than 16 MiB",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := loadFiles(c.files, ConfigOptions{HostID: "loghost01"})
			if err == nil {
				t.Fatalf("no error, but %+v", got)
			}
			if s := strings.Split(err.Error(), "\n"); !slices.Equal(s, c.want) {
				t.Errorf("got\n%s\nwant\n%s", err, strings.Join(c.want, "\n"))
			}
			var ce *ConfigError
			if !errors.As(err, &ce) {
				t.Errorf("no ConfigError in %v", err)
			}
		})
	}
}

// TestConfigBounds: texts that grow without end are refused, and quickly.
func TestConfigBounds(t *testing.T) {
	lines := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format+"\n", i, i+1)
		}
		return b.String()
	}
	for _, c := range []struct {
		name  string
		files map[string]string
	}{
		{"a multi-line definition that ends with itself", conf("$A=x \\\n$A\n$A\n")},
		{"definitions that double", conf(lines(40, "$V%[2]d=x \\\n$V%[1]d \\\n$V%[1]d") + "$V40\n")},
		{"sequences in sequences", conf(strings.Repeat("~SEQ(I,1,1000000) ", 50) + "x\n")},
		{"a list of empty lines", conf("~SEQ(I,-9223372036854775808,9223372036854775807)\n")},
		{"braces that double", conf("include " + strings.Repeat("{a,b}", 100) + "\n")},
		{"includes that double", map[string]string{
			mainFile:                "$N=0\ninclude a.conf\n",
			"etc/keepalived/a.conf": "include b.conf\ninclude b.conf\n",
			"etc/keepalived/b.conf": "include c.conf\ninclude c.conf\ninclude c.conf\n" + strings.Repeat("include c.conf\n", 1<<16),
			"etc/keepalived/c.conf": "x\n",
		}},
		{"a large file", conf(strings.Repeat("# 0123456789\n", 3<<20))},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := loadFiles(c.files, ConfigOptions{})
			if got != nil || err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// TestConfigLongLines: a line that does not fit keepalived's buffer is cut; a variable
// that would not fit stays as it is.
func TestConfigLongLines(t *testing.T) {
	got, err := loadFiles(conf(fmt.Sprintf(`
vrrp_instance a {%spriority 7
  $A=%s
  state MASTER $A$A$A
  virtual_router_id 3
}`, strings.Repeat(" ", 1023-len("vrrp_instance a {")), strings.Repeat("x", 500))), ConfigOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s, want := summary(got), "a: MASTER 7 vrid 3 \n"; s != want {
		t.Errorf("got %q, want %q", s, want)
	}
}

func TestConfigErrorsEnd(t *testing.T) {
	_, err := loadFiles(conf("vrrp_instance a {\n"+strings.Repeat("state\n", 1000)), ConfigOptions{})
	if n := strings.Count(fmt.Sprint(err), "\n") + 1; n != maxConfigErrors {
		t.Errorf("%d errors, want %d", n, maxConfigErrors)
	}
}

func TestConfigHostIDs(t *testing.T) {
	got, err := ConfigHostIDs("testdata/config/2.2.7/s-conf-loghost01/keepalived.conf")
	if want := []string{"loghost01", "loghost02"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// TestConfigRoot: paths and absolute links mean files below Root.
func TestConfigRoot(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"srv/ka/main.conf": "include sub.conf\ninclude /abs.conf\nvrrp_instance main {\n}\n",
		"etc/ka/sub.conf":  "vrrp_instance sub {\n}\n",
		"abs.conf":         "vrrp_instance ${_ENV NAME} {\n}\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/srv/ka/main.conf", filepath.Join(root, "etc/ka/ka.conf")); err != nil {
		t.Fatal(err)
	}
	env := func(name string) string { return "value-of-" + name }
	got, err := LoadConfig("/etc/ka/ka.conf", ConfigOptions{Root: root, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	for _, in := range got.Instances {
		places = append(places, in.Name+" "+in.Pos.String())
	}
	want := []string{"sub /etc/ka/sub.conf:1", "value-of-NAME /abs.conf:1", "main /etc/ka/ka.conf:3"}
	if !slices.Equal(places, want) {
		t.Errorf("got %q, want %q", places, want)
	}
}

// FuzzConfig: value or error, never both; what a value says is in range and has a place;
// and the copy that keepalived makes of a file means what the file means.
func FuzzConfig(f *testing.F) {
	for _, c := range configCases {
		f.Add(c.files[mainFile], "")
	}
	f.Add("include sub.conf\ninclude sub*\n@h x\n", "vrrp_instance ${_PWD} {\n")
	f.Add("~LST({A,B},{1,2},{3}) $A$B ${_ENV X}\n", "")
	f.Fuzz(func(t *testing.T, text, included string) {
		opt := ConfigOptions{HostID: "loghost01", Env: func(string) string { return "" }}
		r := readerOf(map[string]string{mainFile: text, "etc/keepalived/sub.conf": included}, opt)
		r.size = maxConfigSize - 256<<10 // less, so that what grows without end ends soon
		got, err := readConfig(r)
		if (got == nil) == (err == nil) {
			t.Fatalf("got %v and error %v", got, err)
		}
		if got == nil {
			return
		}
		walkPos(reflect.ValueOf(got), func(p *Pos) {
			if p.Line < 1 || p.File == "" {
				t.Errorf("place %+v", *p)
			}
		})
		for _, in := range got.Instances {
			if in.State != Master && in.State != Backup || in.Priority < 1 || in.Priority > 255 || in.VRID < 0 || in.VRID > 255 {
				t.Errorf("%+v", in)
			}
			for _, v := range slices.Concat(in.VIPs, in.Excluded) {
				if !v.Prefix.IsValid() {
					t.Errorf("%s: %+v", in.Name, v)
				}
			}
		}
		if copied, ok := consolidate(text); ok {
			again, err := ParseConsolidated([]byte(copied), "keepalived.conf", opt)
			if err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("the copy %q gives\n%+v (%v), the file\n%+v", copied, again, err, got)
			}
		}
	})
}

// consolidate copies a file as keepalived does; not ok for what the copy cannot hold:
// includes, a line that looks like one of the copy's own, or that is cut.
func consolidate(text string) (copied string, ok bool) {
	if strings.ContainsAny(text, "\\\x00\r") || strings.Contains(text, "include") {
		return "", false
	}
	var b strings.Builder
	b.WriteString("# /etc/keepalived/keepalived.conf\n")
	for line := range strings.Lines(text) {
		if len(line) >= maxConfigLine {
			return "", false
		}
		b.WriteString(confDecomment(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String() + "!\n", true
}
