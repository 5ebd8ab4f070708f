package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDemo(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		bin    func(*testing.T) string
		want   bool
		ending string
	}{
		{"right", nil, func(*testing.T) string { return bin }, true, "All 5 answers were right."},
		{"forwarder", []string{"-forwarder"}, func(*testing.T) string { return bin }, true, "All 4 answers were right."},
		{"kad-status prints nonsense", nil, nonsense, false, "4 of 5 answers were wrong."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("go", append([]string{"run", "./integration/demo", "-bin", c.bin(t)}, c.args...)...)
			cmd.Dir = ".."
			out, err := cmd.Output()
			if (err == nil) != c.want || !strings.HasSuffix(string(out), c.ending+"\n") {
				t.Errorf("%v, want the ending %q\n%s", err, c.ending, out)
			}
			for line := range strings.Lines(string(out)) {
				if len(line) > 121 {
					t.Errorf("a line of more than 120 columns: %s", line)
				}
			}
		})
	}
}

// nonsense returns a directory with the tools, but kad-status says one thing whatever happens.
func nonsense(t *testing.T) string {
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(bin, "kad-track"), filepath.Join(dir, "kad-track")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kad-status"), []byte("#!/bin/sh\necho all is well\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
