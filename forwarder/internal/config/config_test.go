package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeKeyPair makes a certificate for the reference.
func writeKeyPair(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReference(t *testing.T) {
	data, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeKeyPair(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "kafka.password"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "/etc/forwarder/", dir+"/")
	if _, err := Parse("reference.toml", []byte(text)); err != nil {
		t.Error(err)
	}
}

// Every mistake is reported at its place, all at once.
func TestErrors(t *testing.T) {
	const text = `
[options]
keep_hostnam = true
time_reopen = "soon"
unmatched_embedded = "maybe"
[sorce.x]
[source.s]
driver = "netwrk"
[source.t]
driver = "network"
port = "x"
ip = "nowhere"
flags = ["no_parse", "nonsense"]
[source.u]
driver = "network"
transport = "quic"
[filter.f]
expr = 'facility(mial)'
[filter.g]
expr = 'filter(h)'
[filter.empty]
[parser.p]
driver = "regexp"
patterns = ["a", "(a"]
[rewrite.r]
drivers = [{ driver = "set", value = "PRI", template = "1" }, { driver = "set", value = "x", template = "$(" }]
[destination.d]
driver = "network"
[destination.e]
driver = "stdout"
frac_digits = 7
template = "$(template nowhere)"
[log.a]
source = ["t", "v", { driver = "stdin" }]
steps = [
  { filter = "ff" },
  { filter = 'host("a' },
  { parser = "q" },
  { fliter = "f" },
  { if = "f", then = [{ destination = "dd" }], else = 3 },
  { junction = [{ steps = [], flags = ["catchall", "finel"] }] },
  {},
]
destination = ["e", "ee"]
flags = ["final", "flow-control"]
[log.a.log.b]
source = ["t"]
stops = []
`
	want := []string{
		`x.toml:3:1: options.keep_hostnam: no option "keep_hostnam" (did you mean keep_hostname?)`,
		`x.toml:4:1: options.time_reopen: duration "soon" is not a number of seconds, nor one with a unit like "1m30s"`,
		`x.toml:5:1: options.unmatched_embedded: found "maybe", want one of ["processed" "unprocessed"]`,
		`x.toml:6:2: sorce: no such key (did you mean source?)`,
		`x.toml:8:1: source.s.driver: no driver "netwrk", want one of file, internal, journal, kafka, nats, network, relp, stdin, syslog, unix_dgram, unix_stream (did you mean network?)`,
		`x.toml:11:1: source.t.port: found a string, want a whole number of at most 2147483647`,
		`x.toml:13:22: source.t.flags[1]: flag "nonsense" is not known, want `,
		`x.toml:16:1: source.u.transport: transport "quic" is not known, want tcp, udp or tls`,
		`x.toml:18:1: filter.f.expr: filter "facility(mial)": at 10: facility "mial" is not known, want `,
		`x.toml:20:1: filter.g.expr: no filter "h"`,
		`x.toml:21:9: filter.empty: expr is required`,
		`x.toml:24:18: parser.p.patterns[1]: regular expression "(a": missing closing ): "(a"`,
		`x.toml:26:30: rewrite.r.drivers[0].value: PRI is a macro, it cannot be set`,
		`x.toml:26:94: rewrite.r.drivers[1].template: template "$(": at 1: ) is missing`,
		`x.toml:27:14: destination.d.address: the name or address of a server is required`,
		`x.toml:31:1: destination.e.frac_digits: 7 is not from 0 to 6`,
		`x.toml:32:1: destination.e.template: no template "nowhere"`,
		`x.toml:34:16: log.a.source[1]: no source "v"`,
		`x.toml:36:5: log.a.steps[0].filter: no filter "ff"`,
		`x.toml:37:5: log.a.steps[1].filter: filter "host(\"a": at 6: the closing " is missing`,
		`x.toml:38:5: log.a.steps[2].parser: no parser "q"`,
		`x.toml:39:5: log.a.steps[3].fliter: no step "fliter", want one of filter, parser, rewrite, destination, if, junction (did you mean filter?)`,
		`x.toml:40:25: log.a.steps[4].then[0].destination: no destination "dd"`,
		`x.toml:40:48: log.a.steps[4].else: found a whole number, want an array`,
		`x.toml:41:31: log.a.steps[5].junction[0].flags: catchall is only for log statements at the top`,
		`x.toml:41:52: log.a.steps[5].junction[0].flags[1]: no flag "finel", want one of catchall, drop_unmatched, fallback, final, flow_control (did you mean final?)`,
		`x.toml:42:3: log.a.steps[6]: an empty step, want one of filter, parser, rewrite, destination, if, junction`,
		`x.toml:44:21: log.a.destination[1]: no destination "ee"`,
		`x.toml:45:19: log.a.flags[1]: no flag "flow-control", want `,
		`x.toml:47:1: log.a.log.b.source: an embedded log statement has no sources, only the one at the top has`,
		`x.toml:48:1: log.a.log.b.stops: no option "stops" (did you mean steps?)`,
	}
	c, err := Parse("x.toml", []byte(text))
	if err == nil || c != nil {
		t.Fatalf("got %v, %v", c, err)
	}
	got := strings.Split(err.Error(), "\n")
	for i := range max(len(got), len(want)) {
		g, w := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g == "" || w == "" || !strings.HasPrefix(g, w) {
			t.Errorf("error %d\n got %s\nwant %s", i, g, w)
		}
	}
}

func TestDiskBuffer(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"unknown key", "capacity_byte = 1", `x.toml:4:1: destination.d.disk_buffer.capacity_byte: no option "capacity_byte" (did you mean capacity_bytes?)`},
		{"too small", "capacity_bytes = 512", `x.toml:4:1: destination.d.disk_buffer.capacity_bytes: 512 is below the minimum 1048576`},
		{"relative directory", `dir = "queue"`, `x.toml:4:1: destination.d.disk_buffer.dir: "queue" is not an absolute path`},
		{"unknown policy", `when_full = "wait"`, `x.toml:4:1: destination.d.disk_buffer.when_full: "wait" is not known, want drop_newest, drop_oldest or block`},
		{"negative cache", "front_cache_size = -1", `x.toml:4:1: destination.d.disk_buffer.front_cache_size: -1 is below the minimum 1`},
		{"negative count", "sync_messages = -1", `x.toml:4:1: destination.d.disk_buffer.sync_messages: -1 is below the minimum 1`},
		{
			"destination without a name", "[log.a]\ndestination = [{ driver = \"stdout\", disk_buffer = { reliable = true } }]",
			`x.toml:5:37: log.a.destination[0].disk_buffer: a disk buffer is found again by the name of its destination, and this one has none`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("x.toml", []byte("[destination.d]\ndriver = \"stdout\"\n[destination.d.disk_buffer]\n"+test.text+"\n"))
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

// FuzzParse: a configuration or an error, never both.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("reference.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, section := range strings.Split(string(data), "\n\n") {
		f.Add(section)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("x.toml", []byte(text))
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
	})
}

// What stands in the steps of a driver is resolved as everything else: an unknown name is an error, and not one at run time.
func TestStepsOfDrivers(t *testing.T) {
	const text = `
[source.s]
driver = "stdin"
steps = [{ rewrite = { driver = "set", value = "x", template = "$(if filter(FILTER) a b)" } }]
[filter.f]
expr = "facility(mail)"
[destination.d]
driver = "stdout"
steps = [{ rewrite = { driver = "unset", value = "x", condition = "filter(FILTER)" } }]
[log.a]
source = ["s"]
destination = ["d"]
`
	if _, err := Parse("f.toml", []byte(strings.ReplaceAll(text, "FILTER", "f"))); err != nil {
		t.Error(err)
	}
	_, err := Parse("f.toml", []byte(strings.ReplaceAll(text, "FILTER", "none")))
	if err == nil || strings.Count(err.Error(), `no filter "none"`) != 2 {
		t.Errorf("%v, want two filters that are not there", err)
	}
}
