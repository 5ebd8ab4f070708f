package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kad/forwarder/internal/queue"
	"kad/pkg/conf"
)

func texts(list []*conf.Error) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}

// TestEnvironment: a certificate that has expired, a disk buffer that nobody has any more, and one that is damaged.
func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	writeKeyPair(t, dir)
	for _, name := range []string{"old", "d", "empty"} {
		q, err := queue.Open(name, diskOptions(t, dir), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if name != "empty" {
			b := queue.Get(0)
			b.Data, b.Ends = append(b.Data, "text\n"...), append(b.Ends, 5)
			q.Append(b)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(queue.Path(dir, "d") + "/*")
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil && len(data) > 60 { // the segment
			data[len(data)-3] ^= 0xff
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := Parse("f.toml", []byte(strings.ReplaceAll(`
[source.s]
driver = "network"
transport = "tls"
tls = { cert_file = "DIR/cert.pem", key_file = "DIR/key.pem" }
[destination.d]
driver = "stdout"
disk_buffer = { dir = "DIR" }
[log.a]
source = ["s"]
destination = ["d"]
`, "DIR", dir)))
	if err != nil {
		t.Fatal(err)
	}
	errs, warnings := c.CheckEnvironment()
	if got, want := texts(errs), "f.toml:5:9: source.s.tls.cert_file: "+dir+`/cert.pem: certificate of "" has expired at `; !strings.HasPrefix(got, want) || len(errs) != 1 {
		t.Errorf("got %s\nwant %s", got, want)
	}
	got := texts(warnings)
	for _, want := range []string{
		"f.toml:8:1: destination.d.disk_buffer: disk buffer old has 1 message and belongs to no destination (forwarder queue adopt moves them)\n",
		"f.toml:8:1: destination.d.disk_buffer: disk buffer " + queue.Path(dir, "d") + " has 1 damaged place (forwarder queue verify tells them)\n",
	} {
		if !strings.Contains(got, want) || len(warnings) != 2 {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

// diskOptions are those of disk buffers in dir.
func diskOptions(t *testing.T, dir string) *queue.Options {
	o := &queue.Options{Dir: dir, Reliable: true}
	if err := o.Init(); err != nil {
		t.Fatal(err)
	}
	return o
}
