package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEffective: what Effective writes is a configuration that is the same, and writes the same.
func TestEffective(t *testing.T) {
	examples, err := filepath.Glob("../../../examples/forwarder/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(examples, "reference.toml") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(name, data)
			if err != nil {
				t.Skip(err) // it needs files
			}
			text := c.Effective()
			again, err := Parse(name, []byte(text))
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if got := again.Effective(); got != text {
				t.Errorf("got\n%s\nwant\n%s", got, text)
			}
			if len(again.Destinations) != len(c.Destinations) || len(again.Graph.Paths) != len(c.Graph.Paths) {
				t.Errorf("%d destinations and %d log paths, want %d and %d", len(again.Destinations), len(again.Graph.Paths), len(c.Destinations), len(c.Graph.Paths))
			}
		})
	}
}

func TestEffectiveText(t *testing.T) {
	c, err := Parse("f.toml", []byte(`
[options]
ts_format = "rfc3339"
[destination.d]
driver = "network"
address = "192.0.2.1"
[destination.d.failover]
servers = ["192.0.2.2"]
[log.b]
source = [{ driver = "stdin" }]
steps = [{ filter = 'facility(mail)' }, { parser = { driver = "kv" } }]
[log.b.log.inner]
destination = ["d"]
[log.a]
`))
	if err != nil {
		t.Fatal(err)
	}
	got := c.Effective()
	for _, want := range []string{
		"\n[options]\nts_format = \"rfc3339\"\nkeep_hostname = false\n", "\ntransport = \"tcp\"\n", "\nport = 601\n", "\nts_format = \"rfc3339\"\n",
		"\n[destination.d.failover]\nservers = [\"192.0.2.2\"]\n",
		"  { parser = { driver = \"kv\", prefix = \"\", value_separator = \"=\"", "\n[log.b.log.inner]\n", "\n[log.a]\n", "\nperm = \"0600\"\n", "\ntime_reopen = \"1s\"\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Index(got, "[log.b]") > strings.Index(got, "[log.a]") {
		t.Error("the log paths are not in their order")
	}
}
